"""A bundle on disk → the configuration as the runtime takes it: paths absolute, a cgroup of its own."""

from __future__ import annotations

import os
import posixpath

from sampan.runtime.tool.state import DEFAULT_PARENT, ToolError
from sampan.runtime.tool.validate import check_config, check_process
from sampan.spec import quickjson
from sampan.spec.typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.linux.systemd import Scope

CONFIG = "config.json"
_LIMIT = 64 * 1024 * 1024


def read_json(path: str, what: str) -> Any:
    """Raises ToolError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise ToolError(f"{what} {path} not found") from None
    except OSError as error:
        raise ToolError(f"{what} {path}: {error.strerror}") from None
    if len(text) > _LIMIT:
        raise ToolError(f"{what} {path} is larger than {_LIMIT} bytes")
    try:
        return quickjson.loads(text)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"{what} {path}: {error}") from None


def load_bundle(
    folder: str, container_id: str, *, systemd: bool
) -> tuple[dict[str, Any], Scope | None]:
    """With `systemd` its cgroup is to be a scope of systemd's.

    Raises ToolError, with the path of the field that is wrong.
    """
    base = os.path.abspath(folder)
    config = read_json(os.path.join(base, CONFIG), "JSON specification file")
    check_config(config)
    root = config["root"]
    root["path"] = os.path.join(base, root["path"])
    if not os.path.isdir(root["path"]):
        raise ToolError(f"root.path: {root['path']} is not a directory")
    for mount in config.get("mounts") or []:
        if mount.get("type") == "bind" or {"bind", "rbind"} & set(mount.get("options") or ()):
            mount["source"] = os.path.join(base, mount.get("source") or "")
    linux = config.setdefault("linux", {})
    _allow_default_devices(linux)
    scope = _scope(linux.get("cgroupsPath") or "", container_id) if systemd else None
    path = linux.get("cgroupsPath") or f"/{DEFAULT_PARENT}/{container_id}"
    path = path if scope is None else scope.cgroup
    linux["cgroupsPath"] = posixpath.normpath("/" + path.lstrip("/"))
    return dict(config), scope


def _scope(path: str, container_id: str) -> Scope:
    from sampan.linux.systemd import parse_path

    try:
        return parse_path(path, container_id)
    except ValueError as error:
        raise ToolError(f"linux.cgroupsPath: {error}") from None


# Every container may use these, config-linux.md, "Default Devices", and make nodes (which it then may not open).
_DEFAULT_DEVICES = (
    *(("c", None, None, "m"), ("b", None, None, "m")),
    *(("c", 1, minor, "rwm") for minor in (3, 5, 7, 8, 9)),
    *(("c", 5, minor, "rwm") for minor in (0, 1, 2)),
    ("c", 136, None, "rwm"),
)


def _allow_default_devices(linux: dict[str, Any]) -> None:
    """Where devices are limited at all; also those that the container's /dev gets are not given by that."""
    rules = (linux.get("resources") or {}).get("devices")
    if not rules:
        return
    for kind, major, minor, access in _DEFAULT_DEVICES:
        numbers = {"major": major, "minor": minor}
        rule = {"allow": True, "type": kind, "access": access}
        rules.append(rule | {key: n for key, n in numbers.items() if n is not None})


def load_process(path: str) -> dict[str, Any]:
    process = read_json(path, "process specification file")
    check_process(process, "process")
    return dict(process)
