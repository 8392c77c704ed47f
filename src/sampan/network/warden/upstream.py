"""Asking the host's name servers, or those that were named, each question from a port of its own."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial

from sampan.network.files import RESOLV_CONF, name_servers, read_host_resolv_conf
from sampan.network.warden.loop import BOTH_EDGES, Loop
from sampan.wire import dns

PATIENCE = 4.0  # seconds for one server
ROUNDS = 2  # of all servers
MAX_ASKED = 1024  # questions under way
CHECK_INTERVAL = 1.0  # seconds between looks at resolv.conf

Answered = Callable[[bytes | None], None]


class Upstream:
    def __init__(self, loop: Loop, read: Callable[[], bytes] = read_host_resolv_conf) -> None:
        self._loop = loop
        self._read = read
        self._asked = 0
        self._hosts: tuple[str, ...] = ()
        self._checked = -CHECK_INTERVAL
        self._stamp: tuple[int, ...] = ()

    def ask(
        self,
        data: bytes,
        query: dns.Query,
        servers: Sequence[str],
        answered: Answered,
        *,
        tcp: bool,
    ) -> None:
        """`answered` is called once: with the answer, for the client's id, or None."""
        known = tuple(servers) or self.host_servers()
        if not known or self._asked >= MAX_ASKED:
            answered(None)
            return
        self._asked += 1

        def done(answer: bytes | None) -> None:
            self._asked -= 1
            answered(None if answer is None else dns.with_identity(answer, query.identity))

        Question(self._loop, data, query, known * ROUNDS, done, tcp=tcp)

    def host_servers(self) -> tuple[str, ...]:
        """Those of resolv.conf as it is now; looked at once a second, read when it changed."""
        now = time.monotonic()
        if now - self._checked >= CHECK_INTERVAL:
            self._checked = now
            try:
                status = os.stat(RESOLV_CONF)
                stamp: tuple[int, ...] = (status.st_mtime_ns, status.st_ino, status.st_size)
            except OSError:
                stamp = (-1,)
            if stamp != self._stamp:
                self._stamp = stamp
                self._hosts = tuple(name_servers(self._read_raw()))
        return self._hosts

    def _read_raw(self) -> bytes:
        try:
            return self._read()
        except OSError:
            return b""


class Question:
    """One question, to one server after the other."""

    def __init__(
        self,
        loop: Loop,
        data: bytes,
        query: dns.Query,
        servers: Sequence[str],
        done: Answered,
        *,
        tcp: bool,
    ) -> None:
        self._loop, self._query, self._done, self._tcp = loop, query, done, tcp
        self._servers = list(servers)
        self._identity = secrets.randbits(16)
        self._data = dns.with_identity(data, self._identity)
        self._sock: socket.socket | None = None
        self._attempt = 0
        self._kept = b""
        self._received = b""
        self._next()

    def _next(self) -> None:
        self._close()
        while self._servers:
            address = self._servers.pop(0).partition("%")[0]
            self._attempt += 1
            try:
                self._begin(address)
            except OSError:
                self._close()
                continue
            self._loop.after(PATIENCE, partial(self._late, self._attempt))
            return
        self._done(None)

    def _begin(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM
        self._received = b""
        sock = self._sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        number = sock.connect_ex((address, 53))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        if self._tcp:
            self._loop.watch(sock.fileno(), self._on_stream, BOTH_EDGES)
        else:
            sock.send(self._data)
            self._loop.watch(sock.fileno(), self._on_datagram)

    def _late(self, attempt: int) -> None:
        if attempt == self._attempt and self._sock is not None:
            self._next()

    def _on_datagram(self) -> None:
        assert self._sock is not None
        try:
            answer = self._sock.recv(65535)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            self._next()
            return
        if dns.answers_to(answer, self._query, self._identity):
            self._finish(answer)

    def _on_stream(self) -> None:
        assert self._sock is not None
        try:
            if self._data:
                message = len(self._data).to_bytes(2, "big") + self._data
                if self._sock.send(message) != len(message):
                    raise OSError(errno.EMSGSIZE, "a question does not fit the buffer")
                self._sent()
            while data := self._sock.recv(65536):
                self._received += data
            ended = True
        except BlockingIOError:
            ended = False
        except OSError:
            self._next()
            return
        length = int.from_bytes(self._received[:2], "big")
        if len(self._received) >= 2 + length > 2:
            answer = self._received[2 : 2 + length]
            if dns.answers_to(answer, self._query, self._identity):
                self._finish(answer)
                return
        if ended:
            self._next()

    def _sent(self) -> None:
        """Kept for the next server, marked as sent to this one."""
        self._kept, self._data = self._data, b""

    def _finish(self, answer: bytes) -> None:
        self._close()
        self._done(answer)

    def _close(self) -> None:
        if self._sock is not None:
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if not self._data:
            self._data = self._kept
