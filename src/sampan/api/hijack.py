"""The connection under aiohttp, and how a handler takes it over. Every private name of aiohttp and asyncio is here.

`Connection` lets one request at a time through to aiohttp (`framing.Framer`), answers what is refused, closes
who takes too long for a head, answers a client that half-closes behind its request (aio-libs/aiohttp#3659:
aiohttp itself would drop it), and tells handlers when their client is gone.

`hijack` duplicates the socket's descriptor, writes the answer's head and lets aiohttp forget the connection:
closing a duplicated socket sends nothing. What the client had sent behind its request goes along.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from sampan.api.framing import Framer, Phase, Refused
from sampan.engine.streams import ClientStream
from sampan.errors import InvalidParameter, NotImplementedHere

HEAD_DEADLINE = 30.0
KEEP_ALIVE = 300.0
# What is read at once, and so the most that can be kept of what is sent behind a request: it has to fit,
# as base64, into one message to a monitor (`linux.channel.LIMIT`).
READ_SIZE = 64 * 1024
BULK_SIZE = 256 * 1024
HANG_UP_INTERVAL = 0.25
LINGER = 0.5

_REASONS = {
    400: "Bad Request",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    505: "HTTP Version Not Supported",
}


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_at_eof",
        "_body",
        "_busy",
        "_deadline",
        "_gone",
        "_head_deadline",
        "_hijacked",
        "_holding",
        "_probe",
        "_refused",
        "_responded",
        "framer",
    )

    def __init__(self, manager: web.Server, *, head_deadline: float, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self.framer = Framer()
        self._head_deadline = head_deadline
        self._deadline: asyncio.TimerHandle | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._busy = False  # a request was handed on, and its answer or its body is not complete
        self._responded = False  # the answer is
        self._at_eof = False
        self._refused = False
        self._hijacked = False
        self._holding = False  # reading is paused: the next request's bytes are there already
        self._body: StreamReader | None = None  # of the request in flight
        self._gone: list[Callable[[], object]] = []

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.max_size = READ_SIZE  # type: ignore[attr-defined]
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not data:
            super().data_received(data)  # aiohttp's own nudge to its parser
            return
        if self._force_close or self._close or self._refused:
            return
        self._pass_on(lambda: self.framer.feed(data))

    def _pass_on(self, take: Callable[[], bytes]) -> None:
        try:
            mine = take()
        except Refused as refused:
            self._refuse(refused)
            return
        self._watch_head()
        if mine:
            if not self._busy:
                self._busy, self._responded, self._body = True, False, None
            super().data_received(mine)
        if self._busy and self._responded:
            self._go_on()
        self._regulate()

    def _regulate(self) -> None:
        """While one request is worked on, at most one read's worth of the next is taken from the socket."""
        if self.transport is None or self._hijacked:
            return
        if self._busy and self.framer.phase is Phase.DONE and self.framer.held:
            self._holding = True
            self.transport.pause_reading()
            # Who does not read does not see the end either.
            self._watch_for_hang_up()
        elif self._holding:
            self._holding = False
            if not self._reading_paused:
                self.transport.resume_reading()

    def _resume_transport_reading(self) -> None:
        if not self._holding:
            super()._resume_transport_reading()

    def _watch_head(self) -> None:
        """The deadline runs from the first byte of a head to its last."""
        waiting = self.framer.phase is Phase.HEAD and bool(self.framer.held)
        if waiting and self._deadline is None:
            self._deadline = self._loop.call_later(self._head_deadline, self._head_is_late)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._refuse(Refused(408, "the request's header took too long"))

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """True keeps the sending side open for the answer."""
        if not self._busy or self.framer.phase is not Phase.DONE or self._hung_up():
            return None
        if self._at_eof:  # reading was resumed, and here is the same end again
            return True
        self._at_eof = True
        self._watch_for_hang_up()
        return True

    def _watch_for_hang_up(self) -> None:
        if self._probe is None:
            self._probe = self._loop.call_later(HANG_UP_INTERVAL, self._look_for_hang_up)

    def _hung_up(self) -> bool:
        """The peer closed altogether, not just its sending side. asyncio does not poll a socket after EOF."""
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        return bool(poll.poll(0))

    def _look_for_hang_up(self) -> None:
        self._probe = None
        if not (self._at_eof or self._holding) or self._force_close:
            return
        if self._hung_up():
            self.force_close()
        else:
            self._watch_for_hang_up()

    def _refuse(self, refused: Refused) -> None:
        self._refused = True
        if self._deadline is not None:
            self._deadline.cancel()
        if self._busy:
            # The head was fine and somebody works on it: the body fails, and with it its reader.
            if self._body is not None:
                self._body.set_exception(InvalidParameter(str(refused)))
            self._lingering_time = 0.0
            self._close = True
            return
        transport = self.transport
        if transport is None:
            return
        text = msgspec.json.encode({"message": str(refused)}) + b"\n"
        reason = _REASONS.get(refused.status, "Bad Request")
        head = (
            f"HTTP/1.1 {refused.status} {reason}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        )
        transport.write(head.encode() + text)
        if transport.can_write_eof():
            transport.write_eof()
        # Who is still sending would see a broken pipe instead of the answer, were it closed at once.
        self._deadline = self._loop.call_later(LINGER, self.force_close)

    # What goes out

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        result = await super().finish_response(request, resp, start_time)
        self._responded = True
        self._loop.call_soon(self._go_on)
        return result

    def _go_on(self) -> None:
        """The next request may come, once this one is answered and all of its body is there."""
        if self._hijacked or self._force_close or self._close or self.transport is None:
            return
        if not self._busy or not self._responded or self.framer.phase is not Phase.DONE:
            return
        self._busy, self._body = False, None
        self._pass_on(self.framer.advance)
        if self._at_eof and not self._busy and not self._refused:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp's own parser refuses, in the API's form."""
        self.log_debug("request refused", exc_info=exc)
        text = message or "malformed request"
        response = web.Response(
            status=status,
            body=msgspec.json.encode({"message": text.partition("\n")[0].rstrip(":")}) + b"\n",
            content_type="application/json",
        )
        response.force_close()
        return response

    def takes(self, body: StreamReader) -> None:
        """The request that is being handled has this body."""
        self._body = body

    # The end

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._deadline, self._probe):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._tell_gone()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109
        """Handlers that only wait (events, logs, wait) end at once; the others have `timeout` seconds."""
        self._tell_gone()
        await super().shutdown(timeout)

    def _tell_gone(self) -> None:
        waiting, self._gone = self._gone, []
        for callback in waiting:
            callback()

    @contextmanager
    def when_gone(self, callback: Callable[[], object]) -> Iterator[None]:
        """Within, `callback` is called once when the client has gone. Raises ConnectionResetError if it already has."""
        if self.transport is None:
            raise ConnectionResetError("the client has gone")
        self._gone.append(callback)
        try:
            yield
        finally:
            if callback in self._gone:
                self._gone.remove(callback)

    async def give_away(self, head: bytes) -> ClientStream:
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if transport.get_extra_info("sslcontext") is not None:
            raise NotImplementedHere("streams over TLS are not supported")
        transport.pause_reading()
        # An answer before this one may still wait to be sent; only with an empty buffer is the order kept.
        transport.set_write_buffer_limits(high=0)
        await self._drain_helper()
        transport.write(head)
        await self._drain_helper()
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")
        sock: socket.socket = transport.get_extra_info("socket")
        stream = ClientStream(os.dup(sock.fileno()), self.framer.take_held())
        self._hijacked = True
        self.force_close()
        return stream


class Server(web.Server):
    """aiohttp's low-level server, with connections of ours."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        head_deadline: float = HEAD_DEADLINE,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        super().__init__(handler, request_factory=self._request)
        self._settings: dict[str, Any] = {
            "loop": self._loop,
            "keepalive_timeout": keep_alive,
            "access_log": None,
            # The framer's limits come first; these only keep aiohttp's smaller ones away.
            "max_line_size": 128 * 1024,
            "max_field_size": 128 * 1024,
            "max_headers": 1024,
            "auto_decompress": False,
        }
        self._head_deadline = head_deadline

    def _request(
        self,
        message: Any,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        assert isinstance(protocol, Connection)
        protocol.takes(payload)
        return web.BaseRequest(message, payload, protocol, writer, task, self._loop)

    def __call__(self) -> RequestHandler:
        return Connection(self, head_deadline=self._head_deadline, **self._settings)


def connection_of(request: web.BaseRequest) -> Connection:
    protocol = request.protocol
    assert isinstance(protocol, Connection)
    return protocol


def read_in_bulk(request: web.BaseRequest) -> None:
    """Of a body that is a file: take all that the socket has at once, and let more gather before its sender is held
    back. Each round of the loop costs."""
    if request.transport is not None:
        request.transport.max_size = BULK_SIZE  # type: ignore[attr-defined]
    request.content.set_read_chunk_size(4 * BULK_SIZE)


def is_upgrade(request: web.BaseRequest) -> bool:
    return "Upgrade" in request.headers


def duplicate(request: web.BaseRequest) -> int | None:
    """A second descriptor of the connection, the caller's, which may outlive us. None: there is none."""
    transport = request.transport
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None
    return os.dup(transport.get_extra_info("socket").fileno())


async def hijack(
    request: web.BaseRequest, *, content_type: str, headers: dict[str, str]
) -> ClientStream:
    """Answer 101 (or 200, to a client that did not ask for an upgrade) and take the connection out of aiohttp.

    `content_type` is told to clients that asked for the upgrade; the others get Docker's raw-stream, as from
    dockerd. The handler must return right afterwards (whatever it returns is not sent). Raises
    ConnectionResetError when the client has gone.
    """
    if is_upgrade(request):
        lines = [
            "HTTP/1.1 101 UPGRADED",
            f"Content-Type: {content_type}",
            "Connection: Upgrade",
            "Upgrade: tcp",
        ]
    else:
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/vnd.docker.raw-stream"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return await connection_of(request).give_away("\r\n".join([*lines, "", ""]).encode("latin-1"))


async def give_away_websocket(request: web.BaseRequest, accept: str) -> ClientStream:
    """The same for a WebSocket, whose handshake was checked; `accept` answers its key."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    ]
    return await connection_of(request).give_away("\r\n".join([*lines, "", ""]).encode("latin-1"))
