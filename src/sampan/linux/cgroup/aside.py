"""Out of the way of controllers: on v2 a cgroup with processes in it hands none down to its children.

That matters where the daemon itself is started in the cgroup above its containers': a delegated service
that is its own cgroup parent, or the root of a cgroup namespace (a container). The root of the host is
exempt. Out of scope: processes that are not ours.
"""

from __future__ import annotations

import errno
import os

from sampan.linux.cgroup import files
from sampan.linux.cgroup.hierarchies import Hierarchies
from sampan.linux.cgroup.v2 import unified_path

LEAF = "sampand"
_PASSES = 10


def step_aside(parent: str, hierarchies: Hierarchies) -> str | None:
    """Move this process and its descendants from a cgroup above (or at) `parent` into a leaf of it.

    Returns the path of the leaf; None where nothing stood in the way. Raises OSError.
    """
    if hierarchies.mode != "v2" or hierarchies.unified is None:
        return None
    own = unified_path(files.read_text("/proc/self/cgroup"))
    root = hierarchies.unified.root.rstrip("/")
    if not own.startswith(root) or not _is_above(own[len(root) :] or "/", parent):
        return None
    folder = hierarchies.unified.mountpoint + own[len(root) :].rstrip("/")
    if not os.path.exists(folder + "/cgroup.type"):
        return None  # the host's root
    leaf = f"{folder}/{LEAF}"
    os.makedirs(leaf, 0o755, exist_ok=True)
    # A descendant may fork meanwhile.
    for _ in range(_PASSES):
        ours = _descendants(files.read_text(folder + "/cgroup.procs").split())
        if not ours:
            break
        for pid in ours:
            _move(pid, leaf)
    return f"{own.rstrip('/')}/{LEAF}"


def _is_above(path: str, other: str) -> bool:
    return path == "/" or f"{other}/".startswith(f"{path}/")


def _move(pid: str, leaf: str) -> None:
    try:
        files.write_text(leaf + "/cgroup.procs", pid)
    except ProcessLookupError:
        pass


def _descendants(pids: list[str]) -> list[str]:
    """Those of `pids` that are this process or come from it."""
    parents = {pid: _parent(pid) for pid in pids}
    me = str(os.getpid())
    return [pid for pid in pids if me in _line(pid, parents)]


def _line(pid: str, parents: dict[str, str]) -> list[str]:
    line = [pid]
    while line[-1] in parents and parents[line[-1]] not in line:
        line.append(parents[line[-1]])
    return line


def _parent(pid: str) -> str:
    """Field 4 of /proc/PID/stat, after a name that may hold anything."""
    try:
        return files.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
        return "0"
