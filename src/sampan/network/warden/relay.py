"""What the firewall did not forward is carried by hand: TCP by splice(2), UDP a datagram at a time."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import OrderedDict

from sampan.network.warden.loop import BOTH_EDGES, Loop

CHUNK = 1 << 20
ROUNDS = 16  # of one direction, before others get their turn
ACCEPTS = 64
DATAGRAMS = 64
DATAGRAM = 65535
FLOW_PATIENCE = 90.0  # seconds without a datagram
MAX_FLOWS = 4096  # of one port

_FLAGS = getattr(os, "SPLICE_F_NONBLOCK", 2) | getattr(os, "SPLICE_F_MOVE", 1)


class Pump:
    """One direction: socket → pipe → socket."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source, self._target = source, target
        self._out, self._in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pending = 0
        self._ended = False
        self.done = False

    def close(self) -> None:
        os.close(self._in)
        os.close(self._out)

    def run(self) -> bool:
        """As far as it goes. True: there is more to do at once. Raises OSError when an end is broken."""
        for _ in range(ROUNDS):
            if self.done:
                return False
            try:
                if self._pending:
                    self._pending -= os.splice(
                        self._out, self._target.fileno(), self._pending, flags=_FLAGS
                    )
                elif self._ended:
                    self._target.shutdown(socket.SHUT_WR)
                    self.done = True
                else:
                    self._pending = os.splice(self._source.fileno(), self._in, CHUNK, flags=_FLAGS)
                    self._ended = self._pending == 0
            except BlockingIOError:
                return False
        return True


class Connection:
    """A client and the container, from accept to the end of both directions."""

    def __init__(self, loop: Loop, client: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._client = client
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._server = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._pumps: tuple[Pump, ...] = ()
        self._closed = False
        number = self._server.connect_ex(target)
        if number not in (0, errno.EINPROGRESS):
            self.close()
            return
        loop.watch(self._server.fileno(), self._on_event, BOTH_EDGES)

    def _on_event(self) -> None:
        if self._closed:
            return
        try:
            if not self._pumps:
                self._begin()
            again = [pump.run() for pump in self._pumps]
        except OSError:
            self.close()
            return
        if self._pumps and all(pump.done for pump in self._pumps):
            self.close()
        elif any(again):
            self._loop.soon(self._on_event)

    def _begin(self) -> None:
        number = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        for sock in (self._client, self._server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there = Pump(self._client, self._server)
        try:
            back = Pump(self._server, self._client)
        except BaseException:
            there.close()
            raise
        self._pumps = (there, back)
        self._loop.watch(self._client.fileno(), self._on_event, BOTH_EDGES)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for sock in (self._client, self._server):
            self._loop.forget(sock.fileno())
            sock.close()
        for pump in self._pumps:
            pump.close()


class TcpPort:
    """A listening socket whose connections go to `target`, once there is one."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop, self._sock = loop, sock
        self.target: tuple[str, int] | None = None
        loop.watch(sock.fileno(), self._on_readable)

    def close(self) -> None:
        self._loop.forget(self._sock.fileno())
        self._sock.close()

    def _on_readable(self) -> None:
        for _ in range(ACCEPTS):
            try:
                client, _ = self._sock.accept()
            except OSError:  # nobody any more, or no descriptor left: the backlog holds them
                return
            client.setblocking(False)
            if self.target is None:
                client.close()
            else:
                Connection(self._loop, client, self.target)


class UdpPort:
    """A bound socket; each client has a socket of its own towards the container."""

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        self._loop, self._sock = loop, sock
        self._flows: OrderedDict[tuple[object, ...], tuple[socket.socket, float]] = OrderedDict()
        self.target: tuple[str, int] | None = None
        loop.watch(sock.fileno(), self._on_readable)

    def close(self) -> None:
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        while self._flows:
            self._drop_oldest()

    def _on_readable(self) -> None:
        for _ in range(DATAGRAMS):
            try:
                data, client = self._sock.recvfrom(DATAGRAM)
            except OSError:
                return
            if self.target is not None:
                self._forward(data, client)

    def _forward(self, data: bytes, client: tuple[object, ...]) -> None:
        assert self.target is not None
        now = time.monotonic()
        while self._flows and (
            len(self._flows) >= MAX_FLOWS
            or next(iter(self._flows.values()))[1] < now - FLOW_PATIENCE
        ):
            self._drop_oldest()
        known = self._flows.pop(client, None)
        try:
            sock = known[0] if known else self._new_flow(client, self.target)
        except OSError:
            return
        self._flows[client] = (sock, now)
        try:
            sock.send(data)
        except OSError:
            pass  # a datagram may be lost

    def _new_flow(self, client: tuple[object, ...], target: tuple[str, int]) -> socket.socket:
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(target)
            self._loop.watch(sock.fileno(), lambda: self._answer(sock, client))
        except BaseException:
            sock.close()
            raise
        return sock

    def _answer(self, sock: socket.socket, client: tuple[object, ...]) -> None:
        for _ in range(DATAGRAMS):
            try:
                self._sock.sendto(sock.recv(DATAGRAM), client)
            except OSError:
                return

    def _drop_oldest(self) -> None:
        _, (sock, _) = self._flows.popitem(last=False)
        self._loop.forget(sock.fileno())
        sock.close()
