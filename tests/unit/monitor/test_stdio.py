"""Streams and clients over real pipes and socket pairs, step by step in one process."""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sampan.monitor import attach, stdio
from sampan.monitor.attach import LIMIT
from sampan.monitor.loop import Loop
from sampan.monitor.messages import AttachOptions
from sampan.monitor.stdio import Stdio
from sampan.wire.stdcopy import Decoder

PATTERN = bytes(range(256))


class Rig:
    """One process's streams; the test is the process, and the clients."""

    def __init__(self, **options: Any) -> None:
        self.errors: list[Exception] = []
        self.loop = Loop(self.errors.append)
        self.events: list[str] = []
        self.master = -1
        settings: dict[str, Any] = {"terminal": False, "open_stdin": True, "stdin_once": True}
        self.stdio = Stdio(
            self.loop, **settings | options, on_detached=lambda: self.events.append("detached")
        )
        self.stdio.on_idle = lambda: self.events.append("idle")
        self.child = [os.dup(fd) for fd in self.stdio.child]
        self.socks: list[socket.socket] = []
        if options.get("terminal"):
            self.master, self.child[0] = pty.openpty()
            self.stdio.started(self.master)
        else:
            self.stdio.started(None)

    def client(self, **options: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.socks.append(ours)
        self.stdio.attach(
            theirs.detach(), AttachOptions(**{"stdout": True, "stderr": True} | options)
        )
        return ours

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """The loop, until the condition holds, or nothing is ready any more."""
        for _ in range(100_000):
            if until is not None and until():
                return
            self.loop.step(0 if until is None else 0.01)
            if until is None and not self.loop._epoll.poll(0):
                return
        raise AssertionError("the loop never came to rest")

    def write(self, stream: int, data: bytes) -> None:
        os.write(self.child[stream], data)

    def close_child(self, *streams: int) -> None:
        for stream in streams or (0, 1, 2):
            if self.child[stream] >= 0:
                os.close(self.child[stream])
                self.child[stream] = -1

    def end(self) -> None:
        self.close_child()
        self.stdio.drain(lambda: self.events.append("drained"))
        self.stdio.finish()


def received(sock: socket.socket) -> bytes:
    """Everything there is now; b"" also at the end."""
    found = b""
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return found
        if not data:
            return found
        found += data


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def build(**options: Any) -> Rig:
        rigs.append(Rig(**options))
        return rigs[-1]

    yield build
    for rig in rigs:
        for sock in rig.socks:
            sock.close()
        rig.close_child()
        for client in list(rig.stdio.clients):
            client.close()
        rig.stdio.abandon()
        rig.loop.close()
        assert not rig.errors


def test_output_goes_to_everybody_who_wants_it(make: Callable[..., Rig]) -> None:
    """Framed or raw, one stream or both, and none to one who came for stdin only."""
    rig = make()
    framed, raw = rig.client(multiplexed=True), rig.client(stderr=False)
    silent = rig.client(stdout=False, stderr=False, stdin=True)
    rig.write(1, b"out")
    rig.run()
    rig.write(2, b"err")
    rig.run()
    assert Decoder().feed(received(framed)) == [(1, b"out"), (2, b"err")]
    assert received(raw) == b"out"
    assert received(silent) == b""


def test_a_stream_nobody_may_read_is_dev_null(make: Callable[..., Rig]) -> None:
    """No pipe, no SIGPIPE."""
    rig = make(streams=(2,), open_stdin=False)
    assert os.readlink(f"/proc/self/fd/{rig.child[1]}") == "/dev/null"
    assert os.readlink(f"/proc/self/fd/{rig.child[0]}") == "/dev/null"
    assert os.readlink(f"/proc/self/fd/{rig.child[2]}").startswith("pipe:")


def fill(rig: Rig, sent: int) -> int:
    """Write the pattern at `sent` on stdout until nobody takes any more; the new `sent`."""
    os.set_blocking(rig.child[1], False)
    tries = 0
    while tries < 2:
        try:
            sent += os.write(rig.child[1], (PATTERN * 300)[sent % 256 : sent % 256 + 60000])
            tries = 0
        except BlockingIOError:
            rig.run()
            tries += 1
    return sent


def test_nothing_is_lost_and_little_is_kept_for_a_slow_client(make: Callable[..., Rig]) -> None:
    """The stream is not read while a client is full, and read again when it has taken half; streams
    that the client does not want go on."""
    rig = make()
    slow, other = rig.client(stderr=False), rig.client(stdout=False)
    full = fill(rig, 0)
    assert LIMIT - 3 * attach.CHUNK < rig.stdio.clients[0]._queued <= LIMIT
    rig.write(2, b"the other stream")
    rig.run()
    assert received(other) == b"the other stream"
    got = 0
    while got < full:
        data = slow.recv(1 << 20)
        assert data == (PATTERN * 5000)[got % 256 : got % 256 + len(data)]
        got += len(data)
        rig.run()
    assert fill(rig, full) > full


def test_a_client_that_is_gone_frees_the_stream(make: Callable[..., Rig]) -> None:
    """What waited for it is let go of."""
    rig = make()
    sock = rig.client()
    fill(rig, 0)
    assert rig.stdio.clients
    sock.close()
    rig.run(lambda: not rig.stdio.clients)
    rig.run()
    rig.write(1, b"x" * 60000)
    assert rig.events == ["idle"]


def test_half_closing_sends_stdin_to_its_end_and_gets_output(make: Callable[..., Rig]) -> None:
    """stdin_once: the process reads EOF; the client still gets what is written then."""
    rig = make()
    sock = rig.client(stdin=True)
    sock.send(b"typed")
    sock.shutdown(socket.SHUT_WR)
    rig.run()
    assert os.read(rig.child[0], 100) == b"typed"
    assert os.read(rig.child[0], 100) == b""
    rig.write(1, b"answer")
    rig.run()
    assert received(sock) == b"answer"
    rig.end()
    rig.run()
    assert ended(sock)


def test_without_stdin_once_the_process_reads_on(make: Callable[..., Rig]) -> None:
    """Until the next client types."""
    rig = make(stdin_once=False)
    first = rig.client(stdin=True, prefetched=b"pre ")
    first.send(b"one")
    first.shutdown(socket.SHUT_WR)
    rig.run()
    rig.client(stdin=True).send(b" two")
    rig.run()
    assert os.read(rig.child[0], 100) == b"pre one two"
    os.set_blocking(rig.child[0], False)
    with pytest.raises(BlockingIOError):
        os.read(rig.child[0], 1)


def test_input_of_a_client_that_is_gone_is_read_to_its_end(make: Callable[..., Rig]) -> None:
    """However slowly the process reads; then its stdin ends."""
    rig = make()
    sock = rig.client(stdin=True, stdout=False, stderr=False)
    sock.setblocking(False)
    sent = 0
    while sent < 200_000:
        try:
            sent += sock.send(b"z" * 20000)
        except BlockingIOError:
            break
    sock.close()
    os.set_blocking(rig.child[0], False)
    got, end = 0, False

    def read() -> bool:
        nonlocal got, end
        try:
            data = os.read(rig.child[0], 5000)
        except BlockingIOError:
            return False
        got += len(data)
        end = not data
        return end

    rig.run(read)
    assert got == sent
    rig.run(lambda: not rig.stdio.clients)


@pytest.mark.parametrize("vanish", [False, True])
def test_a_process_that_closes_its_stdin(make: Callable[..., Rig], vanish: bool) -> None:
    """The client is not read any more, and is let go of when it is gone."""
    rig = make()
    sock = rig.client(stdin=True)
    rig.close_child(0)
    sock.send(b"nobody reads this")
    rig.run()
    rig.write(1, b"still here")
    rig.run()
    assert received(sock) == b"still here"
    if vanish:
        sock.close()
        rig.run(lambda: not rig.stdio.clients)
    else:
        rig.end()
        rig.run()
        assert received(sock) == b""


def test_detach_keys_on_a_terminal(make: Callable[..., Rig]) -> None:
    """What was typed before goes in; then the client's output ends, once, with an event."""
    rig = make(terminal=True)
    sock = rig.client(stdin=True, detach_keys="ctrl-a,b")
    sock.send(b"ls\n\x01")
    rig.run()
    assert os.read(rig.child[0], 100) == b"ls\n"
    sock.send(b"bmore\n")
    rig.run()
    assert rig.events == ["detached"]
    received(sock)
    assert ended(sock)
    os.set_blocking(rig.child[0], False)
    with pytest.raises(BlockingIOError):
        os.read(rig.child[0], 1)


def test_without_a_terminal_no_keys_detach(make: Callable[..., Rig]) -> None:
    """A binary stream may hold them."""
    rig = make()
    rig.client(stdin=True).send(b"a\x10\x11b")
    rig.run()
    assert os.read(rig.child[0], 100) == b"a\x10\x11b"
    assert rig.events == []


def test_a_terminal_that_is_hung_up_ends_the_output(make: Callable[..., Rig]) -> None:
    """EIO is the end, not a failure."""
    rig = make(terminal=True)
    sock = rig.client()
    os.write(rig.child[0], b"last words")
    rig.close_child(0)
    rig.end()
    rig.run()
    assert received(sock) == b"last words"
    assert "drained" in rig.events
    rig.master = -1


def test_drain_reads_what_is_left_though_a_client_is_full(make: Callable[..., Rig]) -> None:
    """It is the last, and bounded by the pipe."""
    rig = make()
    sock = rig.client()
    sent = fill(rig, 0)
    rig.end()
    assert rig.events == ["drained"]
    got = 0
    while got < sent:
        rig.run()
        got += len(received(sock))
    assert got == sent
    assert ended(sock)


def test_drain_waits_only_so_long_for_one_who_holds_the_pipe(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes meanwhile is still taken."""
    monkeypatch.setattr(stdio, "DRAIN", 0.05)
    rig = make()
    sock = rig.client(stderr=False)
    rig.close_child(2)
    rig.write(1, b"one ")
    rig.stdio.drain(lambda: rig.events.append("drained"))
    assert rig.events == []
    rig.write(1, b"two")
    rig.run(lambda: "drained" in rig.events)
    assert received(sock) == b"one two"


def test_a_stalled_client_is_cut(make: Callable[..., Rig]) -> None:
    """Only after no byte was taken for so long, and only when it wanted that."""
    rig = make()
    stalled, patient = rig.client(stall_timeout=0.05), rig.client()
    fill(rig, 0)
    rig.run(lambda: len(rig.stdio.clients) == 1)
    assert not ended(patient)
    assert stalled.fileno() >= 0


def test_unread_input_does_not_turn_the_end_into_a_reset(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing with unread data would reset the connection; a client that never closes is let go of."""
    monkeypatch.setattr(attach, "LINGER", 0.05)
    rig = make(open_stdin=False)
    sock = rig.client(stdin=True)
    sock.send(b"unread")
    rig.write(1, b"output")
    rig.end()
    rig.run()
    assert received(sock) == b"output"
    assert sock.recv(1) == b""
    rig.run(lambda: not rig.stdio.clients)
    assert rig.events == ["drained", "idle"]


def test_attach_after_the_end_is_an_empty_output(make: Callable[..., Rig]) -> None:
    """The socket ends at once."""
    rig = make()
    rig.end()
    assert ended(rig.client())


def test_what_never_started_leaves_no_descriptor() -> None:
    """Pipes of all kinds are closed, clients see their end."""
    before = set(os.listdir("/proc/self/fd"))
    loop = Loop(lambda error: None)
    made = Stdio(loop, terminal=False, open_stdin=True, stdin_once=True)
    ours, theirs = socket.socketpair()
    made.attach(theirs.detach(), AttachOptions(stdout=True))
    made.abandon()
    assert ours.recv(1) == b""
    ours.close()
    while made.clients:
        loop.step(0.01)
    loop.close()
    assert set(os.listdir("/proc/self/fd")) == before
