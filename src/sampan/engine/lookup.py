"""Who `--user` is: the passwd and group files of a container's file system, read without mounting it anywhere.

The layers are put together as a detached, read-only overlay that no mount table ever shows, and are read below
its root only. Blocking; runs in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from sampan.linux import constants as c
from sampan.linux.filesystems import make_overlay
from sampan.linux.inroot import read_file
from sampan.linux.kernel import Kernel
from sampan.spec import users
from sampan.spec.mount import Mount
from sampan.spec.users import User

LIMIT = 1 << 20  # of a passwd or group file


def look_up(kernel: Kernel, root: Sequence[Mount], user: str, group_add: Sequence[str]) -> User:
    """`root` as the store gives it for a container. Raises InvalidParameter (no such user), OSError."""
    fd = open_detached(kernel, root[0])
    try:
        return resolve(kernel, fd, user, group_add)
    finally:
        kernel.close(fd)


def resolve(kernel: Kernel, root_fd: int, user: str, group_add: Sequence[str]) -> User:
    """The same below the root directory `root_fd`, whoever may be changing it."""
    passwd = _read(kernel, root_fd, "etc/passwd")
    group = _read(kernel, root_fd, "etc/group")
    return users.resolve(user, passwd, group, group_add)


def _read(kernel: Kernel, root_fd: int, path: str) -> bytes:
    """What can be no such file (missing, a FIFO, a device, a loop of links) says nothing."""
    try:
        return read_file(kernel, root_fd, path, LIMIT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EXDEV):
            return b""
        raise


def open_detached(kernel: Kernel, mount: Mount) -> int:
    """A descriptor of a file system's root: an overlay with its upper layer as one more lower one, or a folder."""
    if mount.type == "bind":
        flags = c.OPEN_TREE_CLONE | c.OPEN_TREE_CLOEXEC
        return kernel.open_tree(c.AT_FDCWD, mount.source, flags)
    if mount.type != "overlay":
        raise OSError(errno.EINVAL, f"cannot look into a {mount.type}", mount.source)
    layers = [f"lowerdir={folder}" for folder in stack(mount)]
    return make_overlay(kernel, layers, c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NODEV)


def stack(mount: Mount) -> list[str]:
    """Folders of an overlay, topmost first; two at least, as overlayfs wants."""
    upper = [option[9:] for option in mount.options if option.startswith("upperdir=")]
    return upper + [option[9:] for option in mount.options if option.startswith("lowerdir=")]


def open_process_root(pid: int) -> int:
    """The root of a running process, through which nothing leads out but by following links carelessly."""
    return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
