"""The daemon's connections to a monitor: the channel it was spawned with, and those of daemons that came back.

Nothing here blocks: what a daemon does not read waits in `Connection`, at most OUTBOX messages, and a daemon
that lets more pile up has its connection closed.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel, Message
from sampan.monitor.loop import IN, OUT, Loop
from sampan.monitor.records import SOCKET

OUTBOX = 4096
BACKLOG = 16

OnMessage = Callable[["Connection", Message, list[int]], None]


class Connection:
    """`on_message` owns the descriptors that it is given."""

    def __init__(
        self,
        loop: Loop,
        channel: Channel,
        on_message: OnMessage,
        on_closed: Callable[[Connection], None],
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._on_message = on_message
        self._on_closed = on_closed
        self._outbox: deque[tuple[Message, list[int]]] = deque()
        self.open = True
        channel.sock.setblocking(False)
        loop.watch(channel.fileno(), IN, self._on_event)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """`fds` stay the caller's."""
        if not self.open:
            return
        self._outbox.append((message, [os.dup(fd) for fd in fds]))
        self._flush()
        if len(self._outbox) > OUTBOX:
            self.close()

    def close(self) -> None:
        if not self.open:
            return
        self.open = False
        while self._outbox:
            self._drop_first()
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        self._on_closed(self)

    def _flush(self) -> None:
        try:
            while self._outbox:
                message, fds = self._outbox[0]
                self._channel.send(message, fds)
                self._drop_first()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        events = IN | OUT if self._outbox else IN
        self._loop.watch(self._channel.fileno(), events, self._on_event)

    def _drop_first(self) -> None:
        for fd in self._outbox.popleft()[1]:
            os.close(fd)

    def _on_event(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if not self.open or not events & ~OUT:
            return
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        except ProtocolError as error:
            self.send({"type": "error", "message": str(error)})
            return
        except OSError:
            received = None
        if received is None:
            self.close()
            return
        self._on_message(self, *received)


class Server:
    """Listens at `monitor.sock` of the folder, for root only."""

    def __init__(
        self, loop: Loop, directory_fd: int, on_channel: Callable[[Channel], object]
    ) -> None:
        self._loop = loop
        self._directory_fd = directory_fd
        self._on_channel = on_channel
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            self.remove()  # of a monitor that was killed
            mask = os.umask(0o177)
            try:
                self._sock.bind(socket_path(directory_fd))
            finally:
                os.umask(mask)
            self._sock.listen(BACKLOG)
        except BaseException:
            self._sock.close()
            raise
        loop.watch(self._sock.fileno(), IN, self._on_event)

    def remove(self) -> None:
        try:
            os.unlink(SOCKET, dir_fd=self._directory_fd)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self.remove()

    def _on_event(self, _events: int) -> None:
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, ConnectionError):
            return
        if peer_uid(sock) != 0:
            sock.close()
            return
        self._on_channel(Channel(sock))


def socket_path(directory_fd: int) -> str:
    """A path short enough for a socket's 108 bytes, however deep the folder lies."""
    return f"/proc/self/fd/{directory_fd}/{SOCKET}"


def peer_uid(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])
