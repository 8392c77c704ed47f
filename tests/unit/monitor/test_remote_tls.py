"""A log that is sent by TLS: who is believed, what passes, a server that goes, stalls and comes back, last words."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.monitor.loop import Loop
from sampan.monitor.messages import RemoteLog
from sampan.monitor.remote import Remote
from tests.registries import Tls, make_tls
from tests.unit.monitor.test_remote import fail, run


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"), "127.0.0.1")


class Listener:
    """A real TLS server that keeps what it gets; it reads when `gate` is open."""

    def __init__(self, tls: Tls, *, clients: bool = False) -> None:
        self.received = bytearray()
        self.refused: list[str] = []
        self.connections = 0
        self.gate = threading.Event()
        self.gate.set()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*tls.pair("server"))
        if clients:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(tls.authority)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        self.port = self._listener.getsockname()[1]
        self._current: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self._current = raw
            try:
                with self._context.wrap_socket(raw, server_side=True) as connection:
                    self._current = connection
                    self.connections += 1
                    self._read(connection)
            except OSError as error:
                self.refused.append(str(error))

    def _read(self, connection: ssl.SSLSocket) -> None:
        while self.gate.wait() and (data := connection.recv(65536)):
            self.received += data

    def drop(self) -> None:
        assert self._current is not None
        with contextlib.suppress(OSError):
            self._current.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.gate.set()
        if self._current is not None:
            self.drop()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(15)
        assert not self._thread.is_alive()


@pytest.fixture
def listener(tls: Tls) -> Iterator[Listener]:
    made = Listener(tls)
    yield made
    made.close()


def options(port: int, tls: Tls, **more: Any) -> RemoteLog:
    chosen = {
        "server_name": "127.0.0.1",
        "ca": str(tls.authority),
        "certificate": "",
        "key": "",
        **more,
    }
    address = {"protocol": "tcp+tls", "host": "127.0.0.1", "port": port}
    return RemoteLog("syslog", address, tag="t", retry_wait=0.02, tls=chosen, buffer_limit=64 << 10)


def test_messages_arrive(tls: Tls, listener: Listener) -> None:
    """Each line is one, and what has no newline comes at the end."""
    loop = Loop(fail)
    remote = Remote(loop, options(listener.port, tls), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\ntwo\nthr")
    run(loop, lambda: listener.received.count(b"\n") == 2)
    remote.close()
    run(loop, lambda: listener.received.count(b"\n") == 3)
    assert [line.rpartition(b": ")[2] for line in listener.received.splitlines()] == [
        b"one",
        b"two",
        b"thr",
    ]
    assert remote.dropped == 0


def test_a_short_life(tls: Tls, listener: Listener) -> None:
    """A container that ends before the handshake does: its words are sent all the same."""
    remote = Remote(Loop(fail), options(listener.port, tls), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"last\n")
    remote.close()
    assert remote.dropped == 0
    run(Loop(fail), lambda: listener.received.endswith(b"last\n"))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_server_that_does_not_read(tls: Tls, listener: Listener, blocking: bool) -> None:
    """What waits is bounded; with `blocking` nothing is lost, else the oldest is, and no message is torn."""
    listener.gate.clear()
    loop = Loop(fail)
    remote = Remote(loop, options(listener.port, tls), blocking=blocking, on_room=lambda: None)
    written = 0
    # Far more than sockets hold.
    while written < 8_000 and (remote.room or not blocking):
        remote.write("stdout", b"%06d %s\n" % (written, b"x" * 1000))
        written += 1
        loop.step(0)
    assert remote._size < (64 << 10) + 4096
    assert blocking == (written < 8_000)
    listener.gate.set()
    run(loop, lambda: not remote._waiting, 60)
    remote.close()
    wanted = written - remote.dropped
    run(loop, lambda: listener.received.count(b"\n") == wanted, 60)
    lines = listener.received.splitlines()
    assert all(line.endswith(b"x" * 1000) for line in lines)
    numbers = [int(line.rpartition(b": ")[2][:6]) for line in lines]
    assert numbers == sorted(set(numbers))
    assert (remote.dropped == 0) == blocking


def test_it_comes_back(tls: Tls, listener: Listener) -> None:
    """A connection that is cut is made anew, handshake and all."""
    loop = Loop(fail)
    remote = Remote(loop, options(listener.port, tls), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\n")
    run(loop, lambda: b"one" in listener.received)
    listener.drop()
    run(loop, lambda: listener.connections == 2)
    remote.write("stdout", b"two\n")
    run(loop, lambda: b"two" in listener.received)
    remote.close()


def test_strangers_get_nothing(tls: Tls, tmp_path: Path) -> None:
    """An authority that is not ours, or another name: not a word is sent; the control does not look."""
    stranger = make_tls(tmp_path, "127.0.0.1")
    for more, heard in (
        ({"ca": str(stranger.authority)}, False),
        ({"server_name": "other.example"}, False),
        ({"ca": str(stranger.authority), "skip_verify": True}, True),
    ):
        listener, loop = Listener(tls), Loop(fail)
        remote = Remote(
            loop, options(listener.port, tls, **more), blocking=True, on_room=lambda: None
        )
        remote.write("stdout", b"secret\n")
        if heard:
            run(loop, lambda each=listener: b"secret" in each.received)
        else:
            run(loop, lambda each=listener: each.refused)
        remote.close()
        listener.close()
        assert (b"secret" in listener.received) == heard


def test_who_we_are(tls: Tls) -> None:
    """A server that asks for a certificate gets ours."""
    certificate, key = map(str, tls.pair("client"))
    listener, loop = Listener(tls, clients=True), Loop(fail)
    known = options(listener.port, tls, certificate=certificate, key=key)
    remote = Remote(loop, known, blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\n")
    run(loop, lambda: b"one" in listener.received)
    remote.close()
    listener.close()
    assert not listener.refused
