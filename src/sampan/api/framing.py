"""Cuts a connection's bytes into requests, before any parser sees them. A protocol without sockets.

Why here and not in aiohttp's parser: one request at a time goes on, so that bytes sent behind a request
that becomes a stream (attach, exec) are kept instead of being parsed; the limits are ours; and whatever two
parsers may read in two ways (RFC 9112 section 11.2) is refused before there is a second parser.

Out of scope: the meaning of paths and headers (`routing`, `edge`).
"""

from __future__ import annotations

import re
from enum import Enum

HEAD_LIMIT = 64 * 1024
HEADER_LIMIT = 200
CHUNK_LINE_LIMIT = 256

METHODS = frozenset([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_TARGET = re.compile(rb"/[^ #]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~]*)?")


class Refused(Exception):
    """The bytes are not a request that we take; the connection has no future."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Phase(Enum):
    HEAD = "head"
    LENGTH = "body of known length"
    CHUNKS = "chunked body"
    DONE = "request complete"


class _Line(Enum):
    SIZE = "chunk size"
    BREAK = "end of chunk"
    LAST = "end of body"


class Framer:
    """`feed` gives back what belongs to the current request; `held` is what came too early."""

    def __init__(self) -> None:
        self.phase = Phase.HEAD
        self.held = bytearray()
        self._scanned = 0
        self._remaining = 0  # of the body, or of the current chunk
        self._line = bytearray()
        self._expected = _Line.SIZE

    @property
    def idle(self) -> bool:
        """Between two requests, nothing of the next one is there."""
        return self.phase is Phase.HEAD and not self.held

    def feed(self, data: bytes) -> bytes:
        """Raises Refused."""
        if self.phase is Phase.LENGTH:
            return self._body(data)
        if self.phase is Phase.CHUNKS:
            return self._chunked(data)
        self.held += data
        return self._head() if self.phase is Phase.HEAD else b""

    def advance(self) -> bytes:
        """After DONE: the next request begins; what of it is there already. Raises Refused."""
        self.phase = Phase.HEAD
        self._scanned = 0
        return self._head()

    def take_held(self) -> bytes:
        held, self.held = bytes(self.held), bytearray()
        return held

    def _head(self) -> bytes:
        end = self.held.find(b"\r\n\r\n", max(0, self._scanned - 3))
        size = end + 4 if end >= 0 else len(self.held)
        if size > HEAD_LIMIT:
            raise Refused(431, "request header fields too large")
        if end < 0:
            self._check_beginning()
            self._scanned = len(self.held)
            return b""
        head, rest = bytes(self.held[:size]), bytes(self.held[size:])
        self.held.clear()
        length = check_head(head)
        if length is None:
            self.phase, self._expected = Phase.CHUNKS, _Line.SIZE
        elif length:
            self.phase, self._remaining = Phase.LENGTH, length
        else:
            self.phase = Phase.DONE
        return head + self.feed(rest)

    def _check_beginning(self) -> None:
        """Refuse what can never become a head, before its sender makes us wait for the deadline."""
        at = self.held.find(b"\n", self._scanned)
        while at >= 0:
            if at == 0 or self.held[at - 1] != 0x0D:
                raise Refused(400, "malformed request: bare LF")
            at = self.held.find(b"\n", at + 1)
        if self.held.startswith(b"\x16\x03"):
            raise Refused(400, "client sent an HTTPS request to an HTTP server")

    def _body(self, data: bytes) -> bytes:
        if len(data) < self._remaining:
            self._remaining -= len(data)
            return data
        mine = data[: self._remaining]
        self.held += data[self._remaining :]
        self.phase, self._remaining = Phase.DONE, 0
        return mine

    def _chunked(self, data: bytes) -> bytes:
        position = 0
        while position < len(data) and self.phase is Phase.CHUNKS:
            if self._remaining:
                step = min(self._remaining, len(data) - position)
                self._remaining -= step
                position += step
                continue
            newline = data.find(b"\n", position)
            end = newline + 1 if newline >= 0 else len(data)
            self._line += data[position:end]
            position = end
            if len(self._line) > CHUNK_LINE_LIMIT:
                raise Refused(400, "malformed chunked encoding: line too long")
            if newline >= 0:
                self._end_of_line()
        self.held += data[position:]
        return data[:position]

    def _end_of_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Refused(400, "malformed chunked encoding: bare CR or LF")
        content = line[:-2]
        if self._expected is _Line.SIZE:
            match = _CHUNK_SIZE.fullmatch(content)
            if match is None:
                raise Refused(400, "malformed chunked encoding: chunk size")
            self._remaining = int(match[1], 16)
            self._expected = _Line.BREAK if self._remaining else _Line.LAST
        elif content:
            # After the last chunk trailer fields could stand; nobody who talks to us sends them.
            raise Refused(400, f"malformed chunked encoding: {self._expected.value} expected")
        elif self._expected is _Line.LAST:
            self.phase = Phase.DONE
        else:
            self._expected = _Line.SIZE


def check_head(head: bytes) -> int | None:
    """The length of the body that follows `head` (which ends with an empty line), None when it is chunked.

    Raises Refused."""
    if _CONTROL.search(head):
        raise Refused(400, "malformed request: control character")
    lines = head[:-4].split(b"\r\n")
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise Refused(400, "malformed request: bare CR or LF")
    if len(lines) > HEADER_LIMIT + 1:
        raise Refused(431, "too many request header fields")
    version = _check_request_line(lines[0])
    return _body_length(_singles(lines[1:]), version)


def _check_request_line(line: bytes) -> bytes:
    parts = line.split(b" ")
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise Refused(400, "malformed request line")
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Refused(505, "HTTP version not supported")
    if parts[0] not in METHODS:
        raise Refused(405, "method not allowed")
    return parts[2]


def _singles(lines: list[bytes]) -> dict[bytes, bytes]:
    """The header fields that may stand only once and decide where the request ends."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # A space before the colon or at the line's beginning (obs-fold) fails here too.
        if not colon or not _NAME.fullmatch(name):
            raise Refused(400, "malformed request header field")
        key = name.lower()
        if key in (b"content-length", b"transfer-encoding", b"host"):
            if key in found:
                raise Refused(400, f"malformed request: two {name.decode()} header fields")
            found[key] = value.strip(b" \t")
    return found


def _body_length(fields: dict[bytes, bytes], version: bytes) -> int | None:
    encoding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if version == b"HTTP/1.1" and b"host" not in fields:
        raise Refused(400, "missing required Host header")
    if encoding is not None:
        if length is not None or version != b"HTTP/1.1":
            raise Refused(
                400, "malformed request: Transfer-Encoding beside Content-Length or HTTP/1.0"
            )
        if encoding.lower() != b"chunked":
            raise Refused(400, "unsupported transfer encoding")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise Refused(400, "malformed request: bad Content-Length")
    return int(length)
