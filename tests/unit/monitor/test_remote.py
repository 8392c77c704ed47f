"""A log that is sent away: delivery, a server that goes and comes back, room, loss, last words."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sampan.monitor.loop import Loop
from sampan.monitor.messages import RemoteLog
from sampan.monitor.remote import Remote
from sampan.wire import fluentd


def fail(error: Exception) -> None:
    raise error


def run(loop: Loop, until: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := until()):
        assert time.monotonic() < deadline, "it never came"
        loop.step(0.05)
    return value


class Server:
    """A stream server at a path, which reads when it is told to."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.setblocking(False)
        self.connection: socket.socket | None = None
        self.received = b""

    def read(self) -> bytes:
        if self.connection is None:
            try:
                self.connection = self.listener.accept()[0]
            except BlockingIOError:
                return self.received
            self.connection.setblocking(False)
        try:
            self.received += self.connection.recv(1 << 20)
        except BlockingIOError:
            pass
        return self.received

    def drop(self) -> None:
        assert self.connection is not None
        self.connection.close()
        self.connection = None

    def close(self) -> None:
        self.listener.close()
        if self.connection is not None:
            self.connection.close()


def options(path: Path, driver: str = "syslog", **more: Any) -> RemoteLog:
    address = {"protocol": "unix", "host": str(path), "port": 0}
    return RemoteLog(driver=driver, address=address, tag="t", retry_wait=0.02, **more)


def test_messages_arrive(tmp_path: Path) -> None:
    """Each line is one, of both streams; what has no newline comes at the end."""
    server, loop = Server(tmp_path / "s"), Loop(fail)
    remote = Remote(loop, options(tmp_path / "s"), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\ntwo\nthr")
    remote.write("stderr", b"bad\n")
    run(loop, lambda: server.read().count(b"\n") == 3)
    remote.close()
    run(loop, lambda: server.read().count(b"\n") == 4)
    texts = [line.rpartition(b": ")[2] for line in server.received.splitlines()]
    assert texts == [b"one", b"two", b"bad", b"thr"]
    assert server.received.splitlines()[2].startswith(b"<27>")
    assert remote.dropped == 0
    server.close()


def test_a_server_that_comes_back(tmp_path: Path) -> None:
    """Lines wait for it; the connection is made anew."""
    loop = Loop(fail)
    remote = Remote(loop, options(tmp_path / "s"), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"early\n")
    server = Server(tmp_path / "s")
    run(loop, lambda: b"early" in server.read())
    server.drop()
    server.received = b""

    def again() -> bool:
        remote.write("stdout", b"late\n")
        return b"late" in server.read()

    run(loop, again)
    remote.close()
    server.close()


def test_room(tmp_path: Path) -> None:
    """A blocking log says that it is full, and when there is room again; the other one loses its oldest lines."""
    server, loop = Server(tmp_path / "s"), Loop(fail)
    told: list[int] = []
    small = options(tmp_path / "s", buffer_limit=64 * 1024)
    remote = Remote(loop, small, blocking=True, on_room=lambda: told.append(1))
    count = 0
    while remote.room:
        remote.write("stdout", b"%07d\n" % count * 100)
        count += 100
    run(loop, lambda: server.read() and told)
    assert remote.room
    run(loop, lambda: server.read().count(b"\n") == count)
    remote.close()
    loose = Remote(loop, small, blocking=False, on_room=lambda: None)
    for _ in range(4000):
        loose.write("stdout", b"x" * 1000 + b"\n")
    assert loose.room
    assert loose.dropped > 0
    loose._hang_up()
    server.close()


def test_what_is_not_acknowledged_is_sent_again(tmp_path: Path) -> None:
    """fluentd-request-ack: a message counts as sent when its chunk comes back."""
    server, loop = Server(tmp_path / "s"), Loop(fail)
    asked = options(tmp_path / "s", "fluentd", request_ack=True)
    remote = Remote(loop, asked, blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\n")
    run(loop, lambda: b"chunk" in server.read())
    first = server.received
    server.received = b""
    server.drop()
    run(loop, lambda: server.read() == first)
    chunk = first.rpartition(b"chunk")[2][1:].decode()
    assert server.connection is not None
    server.connection.send(fluentd.pack({"ack": chunk}))
    run(loop, lambda: remote._size == 0)
    remote.close()
    server.close()


def test_nobody_ever_listens(tmp_path: Path) -> None:
    """The end does not wait for it, and what is lost is counted."""
    loop = Loop(fail)
    before = len(os.listdir("/proc/self/fd"))
    remote = Remote(loop, options(tmp_path / "s"), blocking=True, on_room=lambda: None)
    remote.write("stdout", b"one\ntwo\n")
    started = time.monotonic()
    remote.close()
    assert time.monotonic() - started < 5
    assert remote.dropped == 2
    assert len(os.listdir("/proc/self/fd")) == before
