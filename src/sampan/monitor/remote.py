"""A container's log that is sent away: lines become messages, which wait, bounded, for a socket that takes them.

    connecting (─▶ shaking hands, with TLS) ─▶ connected ─▶ (lost) ─▶ wait, longer each time ─▶ connecting …

What is full is the container's affair when the log is `blocking` (`room` is False, and nothing is read of
its output), else the oldest messages go and are counted. Nothing here ever blocks but `close`, a moment.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Callable

from sampan.monitor.loop import IN, OUT, Loop, Timer
from sampan.monitor.messages import RemoteAddress, RemoteLog
from sampan.monitor.tls import TlsSocket
from sampan.wire.fluentd import AckReader, FluentdEncoder
from sampan.wire.journald import JournalEncoder
from sampan.wire.lines import Lines
from sampan.wire.syslog import SyslogEncoder

LAST_WORDS = 3.0  # seconds for what waits when the container has ended
LONGEST_WAIT = 60.0
GOODBYE = 1.0  # for a server's side of the end, with TLS
_STREAMS = ("tcp", "tcp+tls", "unix")
_ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)

Encode = Callable[[bytes, str, bool, int], tuple[bytes, str]]


def make_encoder(options: RemoteLog) -> Encode:
    """A function `(line, stream, partial, moment) → (message, chunk to be acknowledged or "")`."""
    if options.driver == "syslog":
        syslog = SyslogEncoder(
            format=options.format,
            facility=options.facility,
            host=options.host_name,
            tag=options.tag,
            pid=os.getpid(),
        )
        return lambda line, stream, _partial, moment: (
            syslog.encode(line, error=stream == "stderr", moment=moment),
            "",
        )
    if options.driver == "journald":
        journal = JournalEncoder(
            container_id=options.container_id,
            name=options.container_name,
            image=options.image_name,
            tag=options.tag,
            attributes=options.attributes,
        )
        return lambda line, stream, partial, moment: (
            journal.encode(line, error=stream == "stderr", partial=partial, moment=moment),
            "",
        )
    fluentd = FluentdEncoder(
        tag=options.tag,
        container_id=options.container_id,
        name=options.container_name,
        attributes=options.attributes,
        sub_second=options.sub_second,
        acknowledged=options.request_ack,
    )
    return lambda line, stream, partial, moment: fluentd.encode(
        line, stream=stream, partial=partial, moment=moment
    )


class Remote:
    """`on_room` is called when there is room again after there was none."""

    def __init__(
        self, loop: Loop, options: RemoteLog, *, blocking: bool, on_room: Callable[[], None]
    ) -> None:
        self.dropped = 0
        self._loop = loop
        self._options = options
        self._address = RemoteAddress(**options.address)
        self._blocking = blocking
        self._on_room = on_room
        self._encode = make_encoder(options)
        self._lines = {stream: Lines() for stream in ("stdout", "stderr")}
        self._waiting: deque[tuple[bytes, str]] = deque()
        self._sent: deque[tuple[bytes, str]] = deque()  # not acknowledged yet
        self._size = 0
        self._owed = False  # `room` was refused: `on_room` is to be called
        self._begun = 0  # bytes of the first message that are gone
        self._socket: socket.socket | TlsSocket | None = None
        self._connected = False
        self._acks = AckReader()
        self._failures = 0
        self._timer: Timer | None = None
        self._connect()

    @property
    def room(self) -> bool:
        if not self._blocking or self._size < self._options.buffer_limit:
            return True
        self._owed = True
        return False

    def write(self, stream: str, data: bytes) -> None:
        self._put(stream, self._lines[stream].feed(data))
        self._flush()

    def close(self) -> None:
        """What waits gets a moment, and is lost then."""
        for stream, lines in self._lines.items():
            self._put(stream, lines.finish())
        if self._timer is not None:
            self._timer.cancel()
        deadline = time.monotonic() + LAST_WORDS
        self._push_until(deadline)
        self.dropped += len(self._waiting)
        if isinstance(self._socket, TlsSocket) and self._connected:
            self._socket.finish(GOODBYE)
        self._hang_up()

    # -- messages ----------------------------------------------------------------------------

    def _put(self, stream: str, lines: list[tuple[bytes, bool]]) -> None:
        moment = time.time_ns()
        for line, partial in lines:
            if not line and not partial and self._options.driver != "fluentd":
                continue  # as dockerd: an empty line is no message
            item = self._encode(line, stream, partial, moment)
            self._waiting.append(item)
            self._size += len(item[0])
        while not self._blocking and self._size > self._options.buffer_limit and self._drop():
            pass

    def _drop(self) -> bool:
        """The oldest that has not been begun; False when there is none."""
        # TLS: what had to wait is encrypted already, and must come again as it was.
        index = 1 if self._begun or isinstance(self._socket, TlsSocket) else 0
        if len(self._waiting) <= index:
            return False
        message, _ = self._waiting[index]
        del self._waiting[index]
        self._size -= len(message)
        self.dropped += 1
        return True

    def _flush(self) -> None:
        if self._socket is None or not self._connected:
            return
        wanted = IN
        try:
            while self._waiting:
                self._send_one(self._socket)
        except BlockingIOError:
            wanted = IN | OUT
        except OSError as error:
            self._lost(error)
            return
        self._loop.watch(self._socket.fileno(), wanted, self._on_ready)
        self._tell_room()

    def _tell_room(self) -> None:
        if self._owed and self.room:
            self._owed = False
            self._on_room()

    def _send_one(self, sock: socket.socket | TlsSocket) -> None:
        message, chunk = self._waiting[0]
        try:
            sent = sock.send(memoryview(message)[self._begun :])
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            sent = len(message) - self._begun  # it would never fit
            self.dropped += 1
        if sock.type == socket.SOCK_STREAM and self._begun + sent < len(message):
            self._begun += sent
            return
        self._waiting.popleft()
        self._begun = 0
        if chunk:
            self._sent.append((message, chunk))
        else:
            self._size -= len(message)

    # -- the socket --------------------------------------------------------------------------

    def _connect(self) -> None:
        self._timer = None
        address = self._address
        stream = address.protocol in _STREAMS
        family = (
            socket.AF_UNIX
            if address.protocol.startswith("unix")
            else socket.AF_INET6
            if ":" in address.host
            else socket.AF_INET
        )
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        sock = self._socket = socket.socket(family, kind | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        target = address.host if family == socket.AF_UNIX else (address.host, address.port)
        try:
            sock.connect(target)
        except BlockingIOError:
            self._loop.watch(sock.fileno(), OUT, self._on_connected)
            return
        except OSError as error:
            self._lost(error)
            return
        self._on_connected(OUT)

    def _on_connected(self, _events: int) -> None:
        assert self._socket is not None
        number = self._socket.getsockopt(*_ERROR)
        if number:
            self._lost(OSError(number, os.strerror(number)))
            return
        if self._address.protocol == "tcp+tls":
            self._begin_tls()
            return
        self._connected = True
        self._flush()

    def _begin_tls(self) -> None:
        assert isinstance(self._socket, socket.socket)
        try:
            self._socket = TlsSocket(self._socket, self._options.tls)
        except OSError as error:
            self._lost(error)
            return
        self._shake_hands(OUT)

    def _shake_hands(self, _events: int) -> None:
        assert isinstance(self._socket, TlsSocket)
        try:
            self._connected = self._socket.handshake()
        except OSError as error:
            self._lost(error)
            return
        if self._connected:
            self._flush()
        else:
            self._loop.watch(self._socket.fileno(), self._socket.wanted, self._shake_hands)

    def _on_ready(self, events: int) -> None:
        assert self._socket is not None
        if events & ~OUT:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                data = None
            except OSError as error:
                self._lost(error)
                return
            if data is not None and not self._take(data):
                return
        self._failures = 0
        self._flush()

    def _take(self, data: bytes) -> bool:
        """What the server says: acknowledgements, or its end."""
        if not data:
            if self._address.protocol in _STREAMS:
                self._lost(OSError(errno.ECONNRESET, "connection closed"))
                return False
            return True
        if not self._options.request_ack:
            return True
        try:
            chunks = set(self._acks.feed(data))
        except ValueError as error:
            self._lost(OSError(errno.EPROTO, str(error)))
            return False
        kept = deque(item for item in self._sent if item[1] not in chunks)
        self._size -= sum(len(item[0]) for item in self._sent) - sum(len(i[0]) for i in kept)
        self._sent = kept
        self._tell_room()
        return True

    def _lost(self, _error: OSError) -> None:
        """Begin anew later; what was not acknowledged, or sent in part, is sent again."""
        self._hang_up()
        self._begun = 0
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._failures += 1
        limit = self._options.max_retries
        if limit and self._failures > limit:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._tell_room()
        wait = self._options.retry_wait * 1.5 ** (min(self._failures, 20) - 1)
        self._timer = self._loop.later(min(wait, LONGEST_WAIT), self._connect)

    def _hang_up(self) -> None:
        self._connected = False
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _push_until(self, deadline: float) -> None:
        if self._socket is None and self._waiting:
            self._connect()
        sock = self._socket
        if sock is None or not self._waiting:
            return
        try:
            if not self._connected:
                poll = select.poll()
                poll.register(sock, select.POLLOUT)
                if not poll.poll(LAST_WORDS * 1000) or sock.getsockopt(*_ERROR):
                    return
                sock = self._secured(sock, deadline)
            while self._waiting and time.monotonic() < deadline:
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                self._send_one(sock)
        except OSError:
            pass  # counted by the caller

    def _secured(
        self, sock: socket.socket | TlsSocket, deadline: float
    ) -> socket.socket | TlsSocket:
        """Waits for the handshake, where there is one. Raises OSError."""
        if self._address.protocol != "tcp+tls":
            return sock
        if not isinstance(sock, TlsSocket):
            sock = self._socket = TlsSocket(sock, self._options.tls)
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        self._connected = sock.handshake()
        if not self._connected:
            raise TimeoutError
        return sock
