"""What stands in the container's /dev: nodes, links, made through descriptors below its root.

runtime-spec config-linux.md, "Default Devices" and "Dev symbolic links".
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from sampan.linux import constants as c
from sampan.linux import inroot
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.mounts import attach, clone_tree
from sampan.spec.record import dataclass
from sampan.spec.typing import Any

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


@dataclass(frozen=True, slots=True)
class Device:
    path: str
    kind: int  # stat.S_IFCHR, …
    device: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


DEFAULT_DEVICES = tuple(
    Device(f"/dev/{name}", stat.S_IFCHR, os.makedev(major, minor))
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)
LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


def parse_device(device: dict[str, Any]) -> Device:
    """An entry of OCI `linux.devices`."""
    kind = device["type"]
    if kind not in _KINDS:
        raise ValueError(f"unknown device type {kind!r}")
    return Device(
        device["path"],
        _KINDS[kind],
        os.makedev(device.get("major") or 0, device.get("minor") or 0) if kind != "p" else 0,
        (0o666 if device.get("fileMode") is None else device["fileMode"]) & 0o7777,
        device.get("uid") or 0,
        device.get("gid") or 0,
    )


@dataclass(frozen=True, slots=True)
class MakeDevices(Operation):
    devices: tuple[Device, ...]

    def describe(self) -> str:
        return "error creating device nodes"

    def execute(self, kernel: Kernel, context: Context) -> None:
        folders: dict[str, int] = {}
        for device in self.devices:
            folder, name = posixpath.split(posixpath.normpath(device.path))
            if folder not in folders:
                folders[folder] = inroot.make_directory(kernel, context.root_fd, folder)
            _make_device(kernel, context, device, folders[folder], name)
        for fd in folders.values():
            kernel.close(fd)


def _make_device(kernel: Kernel, context: Context, device: Device, folder: int, name: str) -> None:
    try:
        kernel.mknodat(folder, name, device.kind | device.mode, device.device)
    except FileExistsError:
        _require_same(kernel, device, folder, name)
        return
    except PermissionError:
        # In a user namespace, or where the device cgroup forbids it: the host's own node.
        _bind_device(kernel, context, device)
        return
    if device.uid or device.gid:
        kernel.fchownat(folder, name, device.uid, device.gid)


def _is(status: os.stat_result, device: Device) -> bool:
    return stat.S_IFMT(status.st_mode) == device.kind and status.st_rdev == device.device


def _require_same(kernel: Kernel, device: Device, folder: int, name: str) -> None:
    fd = kernel.openat2(folder, name, os.O_PATH | os.O_NOFOLLOW)
    same = _is(kernel.fstat(fd), device)
    kernel.close(fd)
    if not same:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), device.path)


def _bind_device(kernel: Kernel, context: Context, device: Device) -> None:
    source = kernel.openat2(c.AT_FDCWD, device.path, os.O_PATH | os.O_NOFOLLOW)
    if not _is(kernel.fstat(source), device):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), device.path)
    place = inroot.make_file(kernel, context.root_fd, device.path, mode=0o666)
    tree = clone_tree(kernel, source, "")
    attach(kernel, tree, place)
    for fd in (source, place, tree):
        kernel.close(fd)


@dataclass(frozen=True, slots=True)
class MakeLinks(Operation):
    """Links that an image already has stay as they are: they only lead its own processes."""

    def describe(self) -> str:
        return "error creating links in /dev"

    def execute(self, kernel: Kernel, context: Context) -> None:
        folder = inroot.make_directory(kernel, context.root_fd, "/dev")
        for target, name in LINKS:
            try:
                kernel.symlinkat(target, folder, name)
            except FileExistsError:
                pass
        kernel.close(folder)
