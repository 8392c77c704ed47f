"""Where ext4 puts what is made in a folder.

New folders go near their parent, so all layers share a few block groups, and each new file searches bitmaps that are
full: 0.4 ms a file was measured where 0.04 are enough. Folders below one that is marked as a top of hierarchies
(`chattr +T`) are spread over the disk (the Orlov allocator; ext4(5), chattr(1)).
"""

from __future__ import annotations

import fcntl
import os
import struct

_GETFLAGS = 0x80086601  # FS_IOC_GETFLAGS, on 64-bit machines
_SETFLAGS = 0x40086602
_TOPDIR = 0x00020000  # FS_TOPDIR_FL


def spread(path: str) -> None:
    """Let the folders in `path` be far from each other; nothing happens where a file system has no such mark."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))
        if not flags & _TOPDIR:
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("l", flags | _TOPDIR))
    except OSError:
        pass  # ENOTTY, EOPNOTSUPP, EPERM: it is only faster with it
    finally:
        os.close(fd)
