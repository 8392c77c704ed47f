"""Verifies the wrappers: nothing is wrapped or cut silently, errors carry the path, results are right."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import constants as c
from sampan.linux import libc
from sampan.linux.kernel import Kernel, LinuxKernel
from tests.fakes.kernel import RecordingKernel

KERNEL = LinuxKernel()
REFUSED = (OverflowError, ValueError, TypeError, ctypes.ArgumentError, struct.error)
too_large = st.integers(min_value=1 << 64) | st.integers(max_value=-(1 << 63) - 1)
over_32_bits = st.integers(min_value=1 << 32) | st.integers(max_value=-(1 << 31) - 1)


def test_the_kernel_has_every_call_of_the_protocol_with_its_signature() -> None:
    for name in vars(Kernel):
        if not name.startswith("_"):
            wanted = get_type_hints(getattr(Kernel, name))
            assert get_type_hints(getattr(LinuxKernel, name)) == wanted, name


@given(over_32_bits)
def test_integers_of_32_bits_never_wrap(number: int) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: KERNEL.setns(number, 0),
        lambda: KERNEL.unshare(number),
        lambda: KERNEL.pidfd_send_signal(number, 0),
        lambda: KERNEL.openat2(number, "x", 0),
        lambda: KERNEL.move_mount(-1, "", number, "", 0),
        lambda: KERNEL.fsconfig_fd(-1, "x", number),
        lambda: KERNEL.fsmount(-1, number),
        lambda: KERNEL.close_range(number, number, 0),
        lambda: KERNEL.setresuid(number, number, number),
        lambda: KERNEL.setresgid(number, number, number),
        lambda: KERNEL.setgroups([number]),
        lambda: KERNEL.fchown(-1, number, 0),
        lambda: KERNEL.fchownat(-1, "x", 0, number),
        lambda: KERNEL.prlimit(number, 7),
    ]
    for call in calls:
        with pytest.raises(REFUSED):
            call()


@given(too_large)
def test_integers_of_64_bits_never_wrap(number: int) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: KERNEL.clone3(number),
        lambda: KERNEL.openat2(-1, "x", 0, mode=number),
        lambda: KERNEL.openat2(-1, "x", 0, resolve=number),
        lambda: KERNEL.mount_setattr(-1, "", 0, attr_set=number),
        lambda: KERNEL.mount("a", "b", None, number, None),
        lambda: KERNEL.prctl(c.PR_GET_DUMPABLE, number),
        lambda: KERNEL.capset((number, 0, 0)),
        lambda: KERNEL.prlimit(0, 7, (number, number)),
    ]
    for call in calls:
        with pytest.raises(REFUSED):
            call()


def test_without_those_checks_a_number_wraps_into_roots() -> None:
    """The control (P5): what ctypes makes of an id by itself (CVE-2024-40635)."""
    assert ctypes.c_int(1 << 32).value == 0
    library = ctypes.CDLL(None)
    library.labs.argtypes, library.labs.restype = [ctypes.c_uint], ctypes.c_uint
    assert library.labs(1 << 32) == 0


@pytest.mark.parametrize("number", [-1, 1 << 31, 1 << 32])
def test_ids_are_at_most_31_bits_and_never_minus_one(number: int) -> None:
    for call in (KERNEL.setresuid, KERNEL.setresgid):
        with pytest.raises(OverflowError):
            call(number, 0, 0)


def test_a_path_with_nul_is_refused_not_cut() -> None:
    for call in (
        lambda: KERNEL.umount2("/tmp\0x", 0),
        lambda: KERNEL.openat2(c.AT_FDCWD, b"/tmp\0x", os.O_PATH),
        lambda: KERNEL.sethostname("a\0b"),
        lambda: KERNEL.execve("/bin/true\0", ["true"], []),
        lambda: KERNEL.execve("/bin/true", ["tr\0ue"], []),
        lambda: KERNEL.execve("/bin/true", ["true"], ["A=\0"]),
    ):
        with pytest.raises((ValueError, ctypes.ArgumentError), match="null byte"):
            call()


def test_errors_have_number_text_and_path() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        KERNEL.openat2(c.AT_FDCWD, b"/no\xff/such", os.O_PATH)
    assert caught.value.filename == "/no\udcff/such"
    assert caught.value.strerror == os.strerror(errno.ENOENT)
    with pytest.raises(OSError, match="nothing") as other:
        KERNEL.umount2("/nothing", 0)
    assert other.value.filename == "/nothing"


def test_descriptors_are_close_on_exec(tmp_path: Path) -> None:
    fds = [KERNEL.openat2(c.AT_FDCWD, str(tmp_path), os.O_PATH), KERNEL.pidfd_open(os.getpid())]
    fds.append(KERNEL.dup(fds[0]))
    try:
        assert not any(os.get_inheritable(fd) for fd in fds)
    finally:
        for fd in fds:
            KERNEL.close(fd)


def test_files_by_descriptor(tmp_path: Path) -> None:
    folder = KERNEL.openat2(c.AT_FDCWD, str(tmp_path), os.O_PATH | os.O_DIRECTORY)
    KERNEL.mkdirat(folder, "d", 0o700)
    KERNEL.symlinkat("target\udcff", folder, "l")
    KERNEL.mknodat(folder, "p", stat.S_IFIFO | 0o600, 0)
    assert KERNEL.readlinkat(folder, "l") == "target\udcff"
    link = KERNEL.openat2(folder, "l", os.O_PATH | os.O_NOFOLLOW)
    assert KERNEL.readlinkat(link, "") == "target\udcff"
    fifo = KERNEL.openat2(folder, "p", os.O_PATH)
    assert stat.S_ISFIFO(KERNEL.fstat(fifo).st_mode)
    file = KERNEL.openat2(folder, "d/f", os.O_CREAT | os.O_RDWR, mode=0o600)
    assert KERNEL.write(file, b"abc") == 3
    for fd in (folder, link, fifo, file):
        KERNEL.close(fd)


def test_file_system_kinds_by_number() -> None:
    fd = KERNEL.openat2(c.AT_FDCWD, "/proc", os.O_PATH)
    assert KERNEL.fstatfs(fd) == c.PROC_SUPER_MAGIC
    KERNEL.close(fd)


def test_faccessat_says_what_may_be_run(tmp_path: Path) -> None:
    KERNEL.faccessat("/bin/sh", os.X_OK)
    with pytest.raises(PermissionError):
        KERNEL.faccessat("/etc/passwd", os.X_OK)


def test_a_clone_goes_on_like_a_fork_and_its_status_is_a_shells() -> None:
    for number, expected in ((0, 7), (signal.SIGKILL, 128 + 9)):
        pid, pidfd = KERNEL.clone3(0)
        if pid == 0:
            os.kill(os.getpid(), number)
            os._exit(7)
        assert KERNEL.waitid(pidfd, os.WEXITED) == expected
        KERNEL.close(pidfd)


def test_waitid_does_not_wait_for_the_living() -> None:
    reader, writer = os.pipe()
    pid, pidfd = KERNEL.clone3(0)
    if pid == 0:
        os.read(reader, 1)
        os._exit(0)
    assert KERNEL.waitid(pidfd, os.WEXITED | os.WNOHANG) is None
    os.write(writer, b"x")
    assert KERNEL.waitid(pidfd, os.WEXITED) == 0
    for fd in (reader, writer, pidfd):
        os.close(fd)


def test_execve_keeps_order_and_duplicates_of_the_environment(tmp_path: Path) -> None:
    output = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    pid, pidfd = KERNEL.clone3(0)
    if pid == 0:
        os.dup2(output, 1)
        KERNEL.execve("/bin/cat", ["cat", "/proc/self/environ"], ["B=1", "A=2", "B=3", "odd"])
    assert KERNEL.waitid(pidfd, os.WEXITED) == 0
    assert os.pread(output, 100, 0) == b"B=1\0A=2\0B=3\0odd\0"
    os.close(output)
    os.close(pidfd)


def test_signals_blocked_restored_and_reset() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    blocked = KERNEL.block_signals()
    assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    KERNEL.restore_signals(blocked)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


RESET = """
import signal
from sampan.linux.kernel import LinuxKernel
kernel = LinuxKernel()
kernel.block_signals()
kernel.reset_signals()
print(open("/proc/self/status", encoding="ascii").read())
"""


def test_signals_are_reset_whatever_was_inherited() -> None:
    """Also what the program that started the daemon ignored: nohup, a shell's background job."""
    done = subprocess.run(
        ["sh", "-c", 'trap "" HUP INT QUIT PIPE USR1; exec "$0" -c "$1"', sys.executable, RESET],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    status = dict(
        line.split(":\t", 1) for line in done.stdout.splitlines() if line.startswith("Sig")
    )
    # What is caught (by glibc, by a fault handler) execve resets by itself.
    assert [int(status[key], 16) for key in ("SigBlk", "SigIgn")] == [0, 0]


def test_capabilities_and_limits_are_read_as_they_are() -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":\t", 1) for line in file if line.startswith("Cap"))
    effective, permitted, inheritable = KERNEL.capget()
    assert [effective, permitted, inheritable] == [
        int(status[f"Cap{name}"], 16) for name in ("Eff", "Prm", "Inh")
    ]
    soft, hard = KERNEL.prlimit(0, 7)
    assert KERNEL.prlimit(0, 7, (soft, hard)) == (soft, hard)


def test_a_filter_is_whole_instructions() -> None:
    with pytest.raises(ValueError, match="whole number"):
        KERNEL.seccomp_set_filter(b"1234567")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_numbers_are_those_of_the_headers(machine: str) -> None:
    # asm/unistd_64.h and asm-generic/unistd.h
    expected = {
        "x86_64": {"keyctl": 250, "seccomp": 317, "pivot_root": 155},
        "aarch64": {"keyctl": 219, "seccomp": 277, "pivot_root": 41},
    }[machine]
    table = libc.numbers(machine)
    assert {name: table[name] for name in expected} == expected
    assert (table["clone3"], table["openat2"], table["mount_setattr"]) == (435, 437, 442)


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="vax"):
        libc.numbers("vax")


def test_the_fake_records_refuses_what_the_kernel_would_and_fails_on_demand() -> None:
    fake = RecordingKernel(fail_at=2, errors={("fsopen", 1): OSError(errno.ENODEV, "no")})
    kernel = fake.kernel
    fd = kernel.fsopen("proc")
    with pytest.raises(OSError, match="no"):
        kernel.fsopen("x")
    with pytest.raises(OSError, match="injected at call 2: close"):
        kernel.close(fd)
    assert fake.calls == [("fsopen", ("proc",)), ("fsopen", ("x",)), ("close", (fd,))]
    with pytest.raises(TypeError):
        kernel.fsopen()  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="no call"):
        kernel.no_such_call  # type: ignore[attr-defined] # noqa: B018
