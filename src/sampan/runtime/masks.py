"""Paths that a container must not see, or must not write.

A file is covered by a null device, a folder by an empty one. Both lie in one small read-only tmpfs
of the container's own: the host's /dev/null would let `chmod /proc/keys` inside change the host's
node, and the container's /dev/null may be anything (CVE-2025-31133). Only a path that does not exist
is left out.
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.linux import constants as c
from sampan.linux import inroot
from sampan.linux.filesystems import make_file_system
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.mounts import attach, clone_tree
from sampan.spec.record import dataclass

_COVER = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC


@dataclass(frozen=True, slots=True)
class MaskPaths(Operation):
    paths: tuple[str, ...]

    def describe(self) -> str:
        return "error masking paths"

    def execute(self, kernel: Kernel, context: Context) -> None:
        covers, null = _make_covers(kernel)
        for path in self.paths:
            try:
                place = inroot.open_in_root(kernel, context.root_fd, path, os.O_PATH)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(kernel.fstat(place).st_mode):
                cover = clone_tree(kernel, covers, "empty")
            else:
                cover = clone_tree(kernel, null, "")
            attach(kernel, cover, place)
            kernel.close(cover)
            kernel.close(place)
        kernel.close(null)
        kernel.close(covers)


def _make_covers(kernel: Kernel) -> tuple[int, int]:
    """The tmpfs and the null device in it.

    It is attached in the old root, which takes it along when it goes: only what is attached can be
    copied before kernel 6.15.
    """
    covers = make_file_system(kernel, "tmpfs", "tmpfs", ("mode=755", "nr_inodes=8"), _COVER)
    kernel.mkdirat(covers, "empty", 0o555)
    null = -1
    try:
        kernel.mknodat(covers, "null", stat.S_IFCHR | 0o666, os.makedev(*c.NULL_DEVICE))
    except PermissionError:
        # In a user namespace: the host's, which root in there cannot change.
        null = kernel.openat2(c.AT_FDCWD, "/dev/null", os.O_PATH | os.O_NOFOLLOW)
    kernel.mount_setattr(covers, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)
    kernel.move_mount(covers, "", c.AT_FDCWD, "/dev", c.MOVE_MOUNT_F_EMPTY_PATH)
    if null < 0:
        null = kernel.openat2(covers, "null", os.O_PATH | os.O_NOFOLLOW)
    status = kernel.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(*c.NULL_DEVICE):
        raise OSError(errno.ENODEV, "not the null device", "/dev/null")
    return covers, null


@dataclass(frozen=True, slots=True)
class ReadOnlyPaths(Operation):
    paths: tuple[str, ...]

    def describe(self) -> str:
        return "error making paths read-only"

    def execute(self, kernel: Kernel, context: Context) -> None:
        deep = c.AT_EMPTY_PATH | c.AT_RECURSIVE
        for path in self.paths:
            try:
                place = inroot.open_in_root(kernel, context.root_fd, path, os.O_PATH)
            except FileNotFoundError:
                continue
            tree = clone_tree(kernel, place, "", recursive=True)
            kernel.mount_setattr(tree, "", deep, attr_set=c.MOUNT_ATTR_RDONLY)
            attach(kernel, tree, place)
            kernel.close(tree)
            kernel.close(place)
