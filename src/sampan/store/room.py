"""What is left of the disk for others while somebody's archive is written to it."""

from __future__ import annotations

import errno
import os

FREE_RESERVE = 64 << 20  # bytes that an archive may not take from the file system
FREE_INODES = 1024
LOOK_STEP = 16 << 20  # bytes written between two looks


def check_room(fd: int, reserve: int) -> None:
    """Raises OSError (ENOSPC) when its file system has less than `reserve` bytes left, or hardly an inode."""
    space = os.fstatvfs(fd)
    inodes = space.f_favail if space.f_files else FREE_INODES  # btrfs has no number of them
    if space.f_bavail * space.f_frsize < reserve or inodes < FREE_INODES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
