"""Verifies what is read of processes, titles, atomic files and terminals."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.linux import atomic, process, pty
from sampan.linux import constants as c
from sampan.linux.kernel import LinuxKernel
from tests.fakes.kernel import RecordingKernel

KERNEL = LinuxKernel()


def test_start_times_order_processes_and_survive_odd_names() -> None:
    script = "import sys; open('/proc/self/comm', 'w').write('a) S 1 2 (b'); print('up', flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    with child.stdout, child.stdin:
        assert child.stdout.readline() == b"up\n"
        started = process.start_time(child.pid)
        assert started >= process.start_time(os.getpid()) > 0
        assert process.alive(child.pid, started)
        assert not process.alive(child.pid, started + 1)
        child.kill()
        select.select([child.stdout], [], [])
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.alive(child.pid, started)  # a zombie
        child.wait()
    assert not process.alive(child.pid, started)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        process.start_time(child.pid)


def test_the_boot_id_is_a_uuid_and_stays() -> None:
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", process.boot_id())
    assert process.boot_id() == process.boot_id()


@pytest.mark.parametrize("title", ["short", "x" * 5000, "sampan-monitor [ümlaut]"])
def test_a_title_shows_as_name_and_arguments_and_leaves_the_environment(title: str) -> None:
    pid, pidfd = KERNEL.clone3(0)
    if pid == 0:
        with open("/proc/self/environ", "rb") as file:
            before = file.read()
        process.set_title(title)
        encoded = title.encode()
        with open("/proc/self/comm", "rb") as file:
            name = file.read().rstrip(b"\n")
        with open("/proc/self/cmdline", "rb") as file:
            shown = file.read().rstrip(b"\0")
        with open("/proc/self/environ", "rb") as file:
            same = file.read() == before
        fits = name == encoded[:15] and shown and encoded.startswith(shown)
        os._exit(0 if fits and same else 1)
    assert KERNEL.waitid(pidfd, os.WEXITED) == 0
    os.close(pidfd)


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    atomic.write_file(str(path), b"new" * 100_000, 0o640)
    assert path.read_bytes() == b"new" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_when_writing_fails_the_old_file_stands_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    for name in ("write", "fsync", "rename"):

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
            patch.setattr(os, name, fail)
            atomic.write_file(str(path), b"new")
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["file"]


def test_the_order_is_stage_sync_rename_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)

        def note(*arguments: object, name: str = name, real: object = real) -> object:
            kind = "folder" if name == "fsync" and _is_folder(arguments[0]) else ""
            order.append(name + kind)
            return real(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(os, name, note)
    atomic.write_file(str(tmp_path / "f"), b"x")
    assert order == ["fsync", "rename", "fsyncfolder"]


def _is_folder(fd: object) -> bool:
    assert isinstance(fd, int)
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def test_a_terminal_by_descriptor() -> None:
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    pty.unlock(KERNEL, master)
    slave = pty.open_peer(KERNEL, master)
    pty.set_size(KERNEL, master, 12, 34)
    assert os.get_terminal_size(slave) == (34, 12)
    assert not os.get_inheritable(slave)
    os.write(slave, b"x")
    assert os.read(master, 10) == b"x"
    os.close(master)
    os.close(slave)


def test_the_requests_of_a_terminal() -> None:
    fake = RecordingKernel()
    pty.set_size(fake.kernel, 5, 1, 2)
    pty.make_controlling(fake.kernel, 6)
    assert fake.calls == [
        ("ioctl", (5, c.TIOCSWINSZ, struct.pack("=HHHH", 1, 2, 0, 0))),
        ("ioctl", (6, c.TIOCSCTTY, 0)),
    ]


THREADS = """
import sys, threading
from sampan.linux.process import keep_large_blocks_apart
if sys.argv[1] == "apart":
    keep_large_blocks_apart()
kept = []
def work():
    for _ in range(3):
        for size in (600_000, 700_000):
            blocks = [bytearray(size) for _ in range(50)]
            kept.extend(bytearray(600) for _ in range(3000))
            del blocks
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(int(open("/proc/self/statm").read().split()[1]) * 4096)
"""


def test_large_blocks_are_given_back() -> None:
    """What threads have freed is not theirs any more; without the call it would be."""
    sizes = {
        how: int(subprocess.check_output([sys.executable, "-c", THREADS, how], timeout=60))
        for how in ("apart", "as usual")
    }
    assert sizes["apart"] < 70 << 20
    assert sizes["apart"] < sizes["as usual"] - (30 << 20)
