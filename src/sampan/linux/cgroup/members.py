"""Cgroups below a container's, in the v2 hierarchy: one for each exec'd process, with whatever it starts."""

from __future__ import annotations

import errno
import os

from sampan.linux import signals as signal
from sampan.linux.cgroup import files
from sampan.linux.cgroup.tree import kill_at_once


def open_member(folder: str, name: str) -> int:
    path = _path(folder, name)
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        pass
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def kill_member(folder: str, name: str) -> bool:
    path = _path(folder, name)
    if not os.path.isdir(path):
        return False
    if not kill_at_once(path):  # before Linux 5.14
        while pids := files.processes(path):
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    return True


def remove_member(folder: str, name: str) -> None:
    try:
        os.rmdir(_path(folder, name))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
            raise


def _path(folder: str, name: str) -> str:
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"invalid name of a cgroup: {name!r}")
    return f"{folder}/{name}"
