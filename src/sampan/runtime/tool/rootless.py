"""What a runtime without root's rights leaves out, and says so; what was asked for expressly it refuses."""

from __future__ import annotations

import errno
import os

from sampan.linux.cgroup import Hierarchies
from sampan.runtime.tool.state import ToolError
from sampan.spec.typing import Any

_WRITABLE_NEEDED = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT)


def default_root(mode: str) -> str:
    """`--root` when it is not given."""
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if is_rootless(mode) and runtime_dir:
        return os.path.join(runtime_dir, "sampan-runtime")
    return "/run/sampan-runtime"


def is_rootless(mode: str) -> bool:
    return mode == "true" or (mode != "false" and os.geteuid() != 0)


def adapt(config: dict[str, Any], hierarchies: Hierarchies | None) -> list[str]:
    """Take the cgroup out of the configuration where we may not make one. Returns warnings.

    Raises ToolError when limits were asked for, or a user namespace is missing without which nothing goes.
    """
    if os.geteuid() == 0 and _may_make_cgroups(hierarchies):
        return []
    linux = config["linux"]
    if os.geteuid() != 0:
        kinds = {entry["type"] for entry in linux.get("namespaces") or []}
        if "user" not in kinds:
            raise ToolError("linux.namespaces: a rootless container needs a user namespace")
    if _may_make_cgroups(hierarchies, linux.get("cgroupsPath") or ""):
        return []
    wanted = [
        f"linux.resources.{name}"
        for name, value in (linux.get("resources") or {}).items()
        if name != "devices" and value not in (None, {}, [])
    ]
    if wanted:
        raise ToolError(f"{wanted[0]}: no permission to make a cgroup, so it cannot be limited")
    linux["cgroupsPath"] = ""
    linux.pop("resources", None)
    return ["no permission to make a cgroup: no limits, no pause, no statistics for this container"]


def _may_make_cgroups(hierarchies: Hierarchies | None, path: str = "") -> bool:
    if hierarchies is None:
        return False
    groups = [h for h in (*hierarchies.v1, hierarchies.unified) if h is not None]
    for hierarchy in groups:
        place = hierarchy.mountpoint + os.path.dirname(path.rstrip("/"))
        while place != hierarchy.mountpoint and not os.path.isdir(place):
            place = os.path.dirname(place)
        if not os.access(place, os.W_OK):
            return False
    return True
