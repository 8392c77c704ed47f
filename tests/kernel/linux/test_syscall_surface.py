"""R15: what a container reaches of the kernel, call by call, is what the profile says and nothing more.

Every number up to the newest, by the processor's own door and by `int 0x80`, is really made in a process of its own that
has loaded the default filter; what the kernel answers is compared with the filter's evaluation.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import signal
import struct
from collections.abc import Callable

import pytest

from sampan.linux.kernel import LinuxKernel
from sampan.linux.seccomp import compile_profile
from sampan.spec.defaults import CAPABILITIES
from sampan.spec.seccomp_profile import default_profile
from tests.fakes.bpf import run_classic, seccomp_data

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the doors of an x86_64")
X86_64, X86 = 0xC000003E, 0x40000003
LAST = 480
EPERM, ENOSYS = 1, 38
ERRNO, ALLOW, KILL = 0x00050000, 0x7FFF0000, 0x80000000
# Arguments at which a call that is let through does no harm: no descriptor, no address, no size.
ARGUMENTS = (0xFFFFFFFF,) * 6
# These do not come back, or do not come back as one process: their verdict is looked at, and they are not made.
NOT_MADE = {
    X86_64: {15, 34, 56, 57, 58, 60, 231, 435},
    X86: {1, 2, 29, 119, 120, 173, 190, 252, 435},
}
PROGRAM = compile_profile(
    default_profile(frozenset(CAPABILITIES), "x86_64", (6, 18)) or {}, arch="x86_64"
)

# uretprobe and uprobe: the kernel itself exempts them from every filter (Linux 6.13), and refuses them but to its probes.
EXEMPT = {X86_64: {335, 336}, X86: set[int]()}

# push rbx; push rbp; mov eax, edi; or ebx|ecx|edx|esi|edi|ebp, -1; int 0x80; pop rbp; pop rbx; ret
INT_80 = bytes.fromhex("5355 89f8 83cbff 83c9ff 83caff 83ceff 83cfff 83cdff cd80 5d5b c3")


def by_interrupt() -> Callable[[int], int]:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(INT_80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(address)

    def call(number: int, _page: mmap.mmap = page) -> int:
        result = function(number)
        return -result if -4096 < result < 0 else 0

    return call


def by_syscall() -> Callable[[int], int]:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long

    def call(number: int) -> int:
        words = [ctypes.c_ulong(word) for word in ARGUMENTS]
        result = library.syscall(ctypes.c_long(number), *words)
        return ctypes.get_errno() if result < 0 else 0

    return call


def answers(call: Callable[[int], int], numbers: list[int], *, filtered: bool) -> dict[int, int]:
    """errno of each; -signal for one that killed its process, -14 when it did not come back in time."""
    kernel, found = LinuxKernel(), {}
    reader, writer = os.pipe()
    for number in numbers:
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(5)
                if filtered:
                    kernel.seccomp_set_filter(PROGRAM)
                os.write(writer, struct.pack("=i", call(number)))
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.set_blocking(reader, False)
        try:
            (found[number],) = struct.unpack("=i", os.read(reader, 4))
        except BlockingIOError:
            found[number] = status
    os.close(reader)
    os.close(writer)
    return found


def verdict(arch: int, number: int) -> int:
    return run_classic(PROGRAM, seccomp_data(arch, number, ARGUMENTS))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("arch", "door"), [(X86_64, by_syscall), (X86, by_interrupt)])
def test_every_call_is_answered_as_the_profile_says(
    arch: int, door: Callable[[], Callable[[int], int]]
) -> None:
    left_out = NOT_MADE[arch] | EXEMPT[arch]
    numbers = [number for number in range(LAST + 1) if number not in left_out]
    # What the answer itself needs: a process that may not write tells nothing.
    got = answers(door(), numbers, filtered=True)
    wrong = []
    refused = 0
    for number in numbers:
        says = verdict(arch, number)
        if says & 0xFFFF0000 == ERRNO:
            refused += 1
            if got[number] != says & 0xFFFF:
                wrong.append(f"{number}: profile {says & 0xFFFF}, kernel {got[number]}")
        elif says == KILL and got[number] != -signal.SIGSYS:
            wrong.append(f"{number}: profile kills, kernel {got[number]}")
        elif says == ALLOW and got[number] == -signal.SIGSYS:
            wrong.append(f"{number}: profile allows, kernel kills")
    assert not wrong, "\n".join(wrong)
    assert refused > 80


def test_without_the_filter_those_calls_are_there() -> None:
    """The negative control: what is refused is refused by the filter, not by a kernel that lacks it."""
    numbers = [n for n in range(LAST + 1) if n not in NOT_MADE[X86_64]]
    refused = [n for n in numbers if verdict(X86_64, n) == ERRNO | EPERM]
    # Not made: what would change this machine, or this process's own standing, if the arguments were good.
    got = answers(by_syscall(), [n for n in (101, 246, 250, 298, 310, 321, 323, 425) if n in refused], filtered=False)  # fmt: skip
    assert [n for n, code in got.items() if code not in (EPERM, ENOSYS)], got


@pytest.mark.parametrize("number", [*sorted(NOT_MADE[X86_64] - {34, 435})])
def test_those_that_are_not_made_are_allowed(number: int) -> None:
    assert verdict(X86_64, number) == ALLOW or number == 56
