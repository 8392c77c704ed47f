"""The kernel takes our filters, and they answer as compiled: the default profile in a real process."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

import pytest

from sampan.linux.kernel import LinuxKernel
from sampan.linux.seccomp import compile_profile
from sampan.linux.syscall_tables import numbers
from sampan.spec.defaults import ALL_CAPABILITIES, CAPABILITIES
from sampan.spec.seccomp_profile import default_profile
from tests.fakes.bpf import run_classic, seccomp_data

MACHINE = platform.machine()
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(MACHINE, 0)
pytestmark = pytest.mark.skipif(not AUDIT_ARCH, reason=f"no system call table for {MACHINE}")

AF_UNIX, AF_ALG, AF_VSOCK = 1, 38, 40
HIGH = 1 << 32
CASES: list[tuple[str, tuple[int, ...]]] = [
    ("socket", (AF_UNIX, 1, 0)),
    ("socket", (AF_VSOCK, 1, 0)),
    ("socket", (HIGH | AF_VSOCK, 1, 0)),
    ("socket", (HIGH | AF_ALG, 5, 0)),
    ("socket", (HIGH | AF_UNIX, 1, 0)),
    ("personality", (0xFFFFFFFF,)),
    ("personality", (0x0400000,)),
    ("personality", (HIGH | 0x0400000,)),
    ("io_uring_setup", (0, 0)),
    ("bpf", (0, 0, 0)),
    ("unshare", (0x10000000,)),
    ("clone3", (0, 0)),
    ("keyctl", (0, 0, 0)),
    ("getpid", ()),
]
VERDICTS = {0x7FFF0000: "allowed", 0x00050001: "EPERM", 0x00050026: "ENOSYS"}


def in_filtered_child(program: bytes | None, cases: list[tuple[int, tuple[int, ...]]]) -> list[int]:
    """The errno of each call (0: it succeeded) in a child that has loaded `program`."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    kernel = LinuxKernel()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if program is not None:
                kernel.seccomp_set_filter(program)
            for number, arguments in cases:
                words = [ctypes.c_ulong(word) for word in (*arguments, *[0] * (6 - len(arguments)))]
                result = call(ctypes.c_long(number), *words)
                os.write(write, struct.pack("=i", ctypes.get_errno() if result < 0 else 0))
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    data = os.read(read, 4 * len(cases))
    os.close(read)
    return [value for (value,) in struct.iter_unpack("=i", data)]


def test_default_profile_in_the_kernel() -> None:
    """Each call is refused or let through as the interpreter says; high bits of an int hide nothing."""
    profile = default_profile(frozenset(CAPABILITIES), MACHINE, (6, 18))
    program = compile_profile(profile or {}, arch=MACHINE)
    table = numbers(MACHINE)
    calls = [(table[name], arguments) for name, arguments in CASES]
    found = in_filtered_child(program, calls)
    assert len(found) == len(CASES)
    for (number, arguments), code, case in zip(calls, found, CASES, strict=True):
        verdict = VERDICTS[run_classic(program, seccomp_data(AUDIT_ARCH, number, arguments))]
        if verdict == "allowed":
            assert code not in (errno.EPERM, errno.ENOSYS), case
        else:
            assert errno.errorcode[code] == verdict, case
    assert found[2] == errno.EPERM


def test_without_a_filter_the_kernel_reads_the_low_half() -> None:
    """The negative control: the kernel takes 1<<32|AF_UNIX for AF_UNIX, so comparing all 64 bits is no defence."""
    assert in_filtered_child(None, [(numbers(MACHINE)["socket"], (HIGH | AF_UNIX, 1, 0))]) == [0]


@pytest.mark.parametrize(
    "held", [CAPABILITIES, ALL_CAPABILITIES, ()], ids=["default", "all", "none"]
)
def test_every_default_loads(held: tuple[str, ...]) -> None:
    """The kernel's checker takes the program for any set of capabilities, and unknown numbers are ENOSYS."""
    program = compile_profile(
        default_profile(frozenset(held), MACHINE, (6, 18)) or {}, arch=MACHINE
    )
    assert in_filtered_child(program, [(numbers(MACHINE)["getpid"], ()), (999, ())]) == [
        0,
        errno.ENOSYS,
    ]


def test_another_architecture_kills() -> None:
    """A filter for one architecture only is deadly to calls by another door of the same processor."""
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    program = compile_profile(profile, arch=MACHINE)
    for foreign in (0x40000003, 0x40000028, 0xC00000F3):
        assert run_classic(program, seccomp_data(foreign, 20)) == 0x80000000
