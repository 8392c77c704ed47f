"""Which kind of file system something lies on, statfs(2): Python's own statvfs does not tell."""

from __future__ import annotations

import ctypes
import os
import sys

_ROOM = 256  # struct statfs has 120 bytes; f_type is its first word

# linux/magic.h. Windows into the kernel: their files are no data, and reading some of them waits or acts.
_KERNELS = frozenset(
    (
        *(0x9FA0, 0x62656572, 0x27E0EB, 0x63677270),  # proc sysfs cgroup cgroup2
        *(0x1CD1, 0x19800202, 0x64626720, 0x74726163),  # devpts mqueue debugfs tracefs
        *(0x73636673, 0xCAFE4A11, 0x42494E4D, 0x62656570),  # securityfs bpf binfmt_misc configfs
        *(0x6165676C, 0xDE5E81E4, 0x6E736673, 0xF97CFF8C),  # pstore efivarfs nsfs selinux
    )
)

_fstatfs = ctypes.CDLL(None, use_errno=True).fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
_fstatfs.restype = ctypes.c_int


def file_system_type(fd: int) -> int:
    """f_type. Raises OSError."""
    buffer = ctypes.create_string_buffer(_ROOM)
    if _fstatfs(fd, buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF


def is_kernels_own(fd: int) -> bool:
    return file_system_type(fd) in _KERNELS
