"""Which kind of file system something lies on, statfs(2): Python's own statvfs does not tell."""

from __future__ import annotations

from sampan.linux import cdll
from sampan.linux.libc import Int, Libc, Pointer, check

_WORDS = 32  # struct statfs has 120 bytes; f_type is its first word

# linux/magic.h. Windows into the kernel: their files are no data, and reading some of them waits or acts.
_KERNELS = frozenset(
    (
        *(0x9FA0, 0x62656572, 0x27E0EB, 0x63677270),  # proc sysfs cgroup cgroup2
        *(0x1CD1, 0x19800202, 0x64626720, 0x74726163),  # devpts mqueue debugfs tracefs
        *(0x73636673, 0xCAFE4A11, 0x42494E4D, 0x62656570),  # securityfs bpf binfmt_misc configfs
        *(0x6165676C, 0xDE5E81E4, 0x6E736673, 0xF97CFF8C),  # pstore efivarfs nsfs selinux
    )
)

_fstatfs = Libc().function("fstatfs", Int, Pointer)


def file_system_type(fd: int) -> int:
    """f_type. Raises OSError."""
    buffer = (cdll.c_long * _WORDS)()
    check(_fstatfs(fd, buffer))
    return int(buffer[0]) & 0xFFFFFFFF


def is_kernels_own(fd: int) -> bool:
    return file_system_type(fd) in _KERNELS
