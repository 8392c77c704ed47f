"""Devices that a container asks for, with what the host says about them. Blocking, a few `stat`s."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from sampan.errors import SampanError
from sampan.spec.container import DeviceMapping
from sampan.spec.oci import Device

# What a container has of its own below /dev, or must never get of the host's.
_SKIPPED = frozenset(("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"))
_DEEPEST = 8


def requested(mappings: Sequence[DeviceMapping]) -> list[Device]:
    """Raises SampanError with Docker's text."""
    found: list[Device] = []
    for mapping in mappings:
        access = mapping.cgroup_permissions or "rwm"
        target = mapping.path_in_container or mapping.path_on_host
        try:
            found += _expand(mapping.path_on_host, target, access)
        except OSError as error:
            raise SampanError(
                "error gathering device information while adding custom device "
                f'"{mapping.path_on_host}": {_text(error)}'
            ) from None
    return found


def everything() -> list[Device]:
    """All of the host's, for a privileged container."""
    return list(_walk("/dev", "/dev", "rwm", 0))


def _expand(source: str, target: str, access: str) -> list[Device]:
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        return list(_walk(source, target, access, 0))
    device = _describe(status, target, access)
    if device is None:
        raise OSError(0, "not a device node")
    return [device]


def _walk(folder: str, target: str, access: str, depth: int) -> Iterator[Device]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name in _SKIPPED and folder == "/dev":
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone meanwhile; devices come and go
            place = f"{target}/{entry.name}"
            if stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
                yield from _walk(entry.path, place, access, depth + 1)
            elif device := _describe(status, place, access):
                yield device


def _describe(status: os.stat_result, target: str, access: str) -> Device | None:
    if stat.S_ISCHR(status.st_mode):
        kind = "c"
    elif stat.S_ISBLK(status.st_mode):
        kind = "b"
    else:
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    mode = stat.S_IMODE(status.st_mode)
    return Device(
        path=target,
        type=kind,
        major=major,
        minor=minor,
        mode=mode,
        uid=status.st_uid,
        gid=status.st_gid,
        access=access,
    )


def _text(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
