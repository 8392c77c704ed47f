"""Roles for a volume whose driver options name a file system: it is mounted where its folder is.

    mount-volume    args: target, source, kind, flags, propagation, data     {}
    unmount-volume  args: target                                             {}

In children of the spawner, for a server of a network file system may take as long as it likes to answer.
"""

from __future__ import annotations

import errno
from typing import Any

from sampan.linux import constants as c
from sampan.linux.channel import Message
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.store.role import answer

_NOTHING_THERE = (errno.EINVAL, errno.ENOENT)


def mount(args: dict[str, Any], fds: list[int]) -> None:
    answer(fds[0], lambda channel: _mount(args))


def unmount(args: dict[str, Any], fds: list[int]) -> None:
    answer(fds[0], lambda channel: _unmount(str(args["target"])))


def _mount(args: dict[str, Any]) -> Message:
    kernel = LinuxKernel()
    target, source, flags = str(args["target"]), str(args["source"]), int(args["flags"])
    kernel.mount(source, target, str(args["kind"]), flags, str(args["data"]) or None)
    try:
        _settle(kernel, target, flags, int(args["propagation"]))
    except OSError:
        kernel.umount2(target, c.MNT_DETACH)
        raise
    return {}


def _settle(kernel: Kernel, target: str, flags: int, propagation: int) -> None:
    """What one call of mount(2) does not do: a bind is read-only, and of another propagation, by a second."""
    if flags & c.MS_BIND and flags & c.MS_RDONLY:
        kernel.mount(None, target, None, flags | c.MS_REMOUNT, None)
    if propagation:
        kernel.mount(None, target, None, propagation, None)


def _unmount(target: str) -> Message:
    """Every mount that lies there. A busy one goes when its last user does."""
    kernel = LinuxKernel()
    while True:
        try:
            kernel.umount2(target, c.MNT_DETACH)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return {}
            raise


MOUNT_ROLES = {"mount-volume": mount, "unmount-volume": unmount}
