"""A blocking HTTP/1.1 client on a socket: one request at a time, bodies whole or in pieces, hijack.

It never leaves a peer blocked: while a body is being sent, an answer that already comes is read. Out of scope:
redirects, cookies, compression, TLS.
"""

from __future__ import annotations

import select

from sampan.cli.failure import Failure
from sampan.cli.wakeups import wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterable, Iterator

_CHUNK = 1 << 18
_HEAD_LIMIT = 1 << 20


class ProtocolFailure(Failure):
    """The peer does not speak HTTP, or closed in the middle of an answer."""


class Response:
    """The head of an answer; the body is read by `read` or `pieces`, once."""

    def __init__(
        self, connection: Connection, status: int, reason: str, headers: dict[str, str]
    ) -> None:
        self._connection = connection
        self.status = status
        self.reason = reason
        self.headers = headers
        self._without_body = False

    def without_body(self) -> Response:
        self._without_body = True
        return self

    def read(self, limit: int | None = None) -> bytes:
        """The whole body, or its first `limit` bytes (the connection is then of no more use)."""
        parts: list[bytes] = []
        length = 0
        for piece in self.pieces():
            parts.append(piece)
            length += len(piece)
            if limit is not None and length >= limit:
                break
        return b"".join(parts)[:limit]

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        if self._without_body or self.status in (204, 304) or 100 <= self.status < 200:
            return iter(())
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return self._connection.read_chunks()
        if "content-length" in self.headers:
            return self._connection.read_exactly(_length(self.headers["content-length"]))
        return self._connection.read_to_end()


class Connection:
    """One connection. `host` is the value of the Host header."""

    def __init__(self, sock: socket, host: str, agent: str) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self._common = f"Host: {host}\r\nUser-Agent: {agent}\r\n"

    def close(self) -> None:
        self.socket.close()

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request and read the head of the answer. An iterable body is sent in chunks."""
        head = f"{method} {target} HTTP/1.1\r\n{self._common}"
        for name, value in (headers or {}).items():
            head += f"{name}: {value}\r\n"
        if body is None:
            head += "Content-Length: 0\r\n" if method == "POST" else ""
            self._send(f"{head}\r\n".encode())
        elif isinstance(body, bytes):
            self._send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            self._send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            self._send_chunks(body)
        response = self._read_head()
        return response.without_body() if method == "HEAD" else response

    def take_buffer(self) -> bytes:
        """Bytes that were read behind the head of a hijacked connection."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def read_exactly(self, length: int) -> Iterator[bytes]:
        while length > 0:
            if not self._buffer:
                self._fill()
            piece = bytes(self._buffer[:length])
            del self._buffer[: len(piece)]
            length -= len(piece)
            yield piece

    def read_chunks(self) -> Iterator[bytes]:
        while True:
            size = _chunk_size(self._read_line())
            if size == 0:
                while self._read_line():
                    pass
                return
            yield from self.read_exactly(size)
            self._read_line()

    def read_to_end(self) -> Iterator[bytes]:
        while self._buffer or self._fill(at_end=False):
            yield self.take_buffer()

    def _send_chunks(self, body: Iterable[bytes]) -> None:
        for piece in body:
            if not piece:
                continue
            if not self._send(b"%x\r\n%b\r\n" % (len(piece), piece)):
                return
        self._send(b"0\r\n\r\n")

    def _send(self, data: bytes) -> bool:
        """Send it all and read what comes meanwhile; False when the peer reads no more (its answer tells why)."""
        view = memoryview(data)
        while view:
            events = wait_for(self.socket.fileno(), select.POLLIN | select.POLLOUT)
            if events & select.POLLIN and not self._receive():
                return False
            if events & (select.POLLOUT | select.POLLERR | select.POLLHUP):
                try:
                    # MSG_DONTWAIT: poll promises room for a byte, not for all of it.
                    view = view[self.socket.send(view[:_CHUNK], 0x40) :]
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    return False
        return True

    def _read_head(self) -> Response:
        while True:
            status, reason = _status_line(self._read_line())
            headers: dict[str, str] = {}
            while line := self._read_line():
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            if status >= 200 or status == 101:
                return Response(self, status, reason, headers)

    def _read_line(self) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ProtocolFailure("error during connect: header line too long")
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r").decode("latin-1")

    def _fill(self, *, at_end: bool = True) -> bool:
        """Read more; at the end of the stream fail, or return False."""
        if self._receive():
            return True
        if at_end:
            raise ProtocolFailure("error during connect: unexpected EOF")
        return False

    def _receive(self) -> bool:
        wait_for(self.socket.fileno(), select.POLLIN)
        try:
            data = self.socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)


def _status_line(line: str) -> tuple[int, str]:
    version, _, rest = line.partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not code.isdigit():
        raise ProtocolFailure(f'error during connect: malformed HTTP response "{line}"')
    return int(code), reason


def _length(text: str) -> int:
    if not text.isdigit():
        raise ProtocolFailure(f'error during connect: bad Content-Length "{text}"')
    return int(text)


def _chunk_size(line: str) -> int:
    digits = line.partition(";")[0].strip()
    try:
        return int(digits, 16)
    except ValueError:
        raise ProtocolFailure(f"error during connect: bad chunk size {digits!r}") from None
