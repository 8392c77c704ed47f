"""What goes through a hijacked connection: both ways, each with its own end, and detaching."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from sampan.cli import streams, terminal
from sampan.cli.failure import Failure
from sampan.cli.http import Connection
from sampan.cli.streams import Streams
from sampan.wire.stdcopy import STDERR, STDOUT, SYSTEM_ERROR, frame


class Bench(NamedTuple):
    """Pipes for our three descriptors, and the daemon's end of the connection."""

    connection: Connection
    daemon: socket.socket
    typing: int
    out: int
    err: int

    def streams(self, **options: bool | str) -> Streams:
        defaults: dict[str, bool | str] = {
            "tty": False,
            "stdin": True,
            "stdout": True,
            "stderr": True,
            "detach_keys": "",
        }
        return Streams(self.connection, **(defaults | options))  # type: ignore[arg-type]

    def played(
        self, daemon: Callable[[socket.socket], None]
    ) -> contextlib.AbstractContextManager[None]:
        return _running(daemon, self.daemon)


@contextlib.contextmanager
def _running(target: Callable[[socket.socket], None], sock: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=target, args=(sock,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    ours, theirs = socket.socketpair()
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
    for module in (streams, terminal):
        monkeypatch.setattr(module, "STDIN", stdin[0])
        monkeypatch.setattr(module, "STDOUT", stdout[1])
    monkeypatch.setattr(streams, "STDERR", stderr[1])
    made = Bench(Connection(ours, "h", "a"), theirs, stdin[1], stdout[0], stderr[0])
    yield made
    for end in (ours, theirs):
        end.close()
    for descriptor in {*stdin, *stdout, *stderr}:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 100)
    except BlockingIOError:
        return b""


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_input_ends_before_output(bench: Bench) -> None:
    """The half-close: the end of input reaches the daemon, which answers after it."""
    os.write(bench.typing, b"typed")
    os.close(bench.typing)

    def daemon(sock: socket.socket) -> None:
        got = read_all(sock)
        sock.sendall(frame(STDOUT, got.upper()) + frame(STDERR, b"bad"))
        sock.close()

    with bench.played(daemon):
        assert bench.streams().run() is True
    assert (os.read(bench.out, 100), os.read(bench.err, 100)) == (b"TYPED", b"bad")


def test_output_ends_while_input_waits(bench: Bench) -> None:
    """The container is gone: nobody has to press a key for that."""

    def daemon(sock: socket.socket) -> None:
        sock.sendall(frame(STDOUT, b"bye"))
        sock.close()

    with bench.played(daemon):
        assert bench.streams().run() is True
    assert os.read(bench.out, 100) == b"bye"


def test_without_input_the_connection_is_closed_for_writing_at_once(bench: Bench) -> None:
    ended = []

    def daemon(sock: socket.socket) -> None:
        ended.append(read_all(sock))
        sock.close()

    with bench.played(daemon):
        assert bench.streams(stdin=False).run() is True
    assert ended == [b""]


def test_frames_cut_anywhere(bench: Bench) -> None:
    data = frame(STDOUT, b"one") + frame(STDERR, b"two") + frame(STDOUT, b"three")

    def daemon(sock: socket.socket) -> None:
        for position in range(len(data)):
            sock.sendall(data[position : position + 1])
        sock.close()

    with bench.played(daemon):
        bench.streams(stdin=False).run()
    assert (os.read(bench.out, 100), os.read(bench.err, 100)) == (b"onethree", b"two")


def test_an_error_of_the_daemon_comes_out_as_failure(bench: Bench) -> None:
    def daemon(sock: socket.socket) -> None:
        sock.sendall(frame(SYSTEM_ERROR, b"disk full"))
        sock.close()

    with (
        bench.played(daemon),
        pytest.raises(Failure, match="error from daemon in stream: disk full"),
    ):
        bench.streams(stdin=False).run()


def test_bytes_that_came_with_the_upgrade_are_shown(bench: Bench) -> None:
    bench.connection._buffer += b"early "

    def daemon(sock: socket.socket) -> None:
        sock.sendall(b"late")
        sock.close()

    with bench.played(daemon):
        bench.streams(tty=True, stdin=False).run()
    os.set_blocking(bench.out, False)
    assert b"".join(iter(lambda: _drain(bench.out), b"")) == b"early late"


@pytest.mark.parametrize(
    ("keys", "typed", "sent"),
    [
        ("", b"ab\x10\x11", b"ab"),
        ("x,ctrl-a", b"12x\x01", b"12"),
        ("bad-key", b"ab\x10\x11", b"ab"),
    ],
)
def test_detaching(
    bench: Bench, keys: str, typed: bytes, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(streams, "warn", warned.append)
    got = []

    def daemon(sock: socket.socket) -> None:
        got.append(read_all(sock))

    os.write(bench.typing, typed)
    with bench.played(daemon):
        assert bench.streams(tty=True, detach_keys=keys).run() is False
    assert got == [sent]
    assert bool(warned) is (keys == "bad-key")


def test_detach_keys_mean_nothing_without_a_terminal(bench: Bench) -> None:
    os.write(bench.typing, b"\x10\x11")
    os.close(bench.typing)
    got = []

    def daemon(sock: socket.socket) -> None:
        got.append(read_all(sock))
        sock.close()

    with bench.played(daemon):
        assert bench.streams().run() is True
    assert got == [b"\x10\x11"]


def test_a_terminal_is_raw_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    monkeypatch.setattr(streams, "STDIN", slave)
    seen = []

    def daemon(sock: socket.socket) -> None:
        while termios.tcgetattr(slave)[3] & termios.ISIG:
            pass
        os.write(master, b"\x03")  # with a raw terminal a byte, not a signal
        assert sock.recv(1) == b"\x03"
        seen.append(termios.tcgetattr(slave)[3] & termios.ICANON)
        sock.close()

    person = bench.streams(tty=True)
    with bench.played(daemon):
        person.run()
    assert seen == [0]
    assert termios.tcgetattr(slave) == before
    os.close(master)
    # Its thread must not wake up in another test, on a descriptor that has the same number by then.
    assert person._input_ended is not None
    assert person._input_ended.acquire(timeout=10)
    os.close(slave)


def test_only_input_waits_for_its_end(bench: Bench) -> None:
    got = []

    def daemon(sock: socket.socket) -> None:
        got.append(read_all(sock))

    os.write(bench.typing, b"data")
    os.close(bench.typing)
    with bench.played(daemon):
        assert bench.streams(stdout=False, stderr=False).run() is True
    assert got == [b"data"]


def test_a_slow_reader_loses_nothing(bench: Bench) -> None:
    """Output blocks: the daemon is held back, and every byte comes out."""
    size = 3 << 20

    def daemon(sock: socket.socket) -> None:
        sock.sendall(b"".join(frame(STDOUT, bytes([n % 256]) * 4096) for n in range(size // 4096)))
        sock.close()

    read = []

    def reader(sock: socket.socket) -> None:
        total = 0
        while total < size:
            total += len(os.read(bench.out, 777))
        read.append(total)

    with bench.played(daemon), _running(reader, bench.daemon):
        bench.streams(stdin=False).run()
    assert read == [size]
