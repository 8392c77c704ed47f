"""WebSocket frames, the server's side (RFC 6455): bytes in, messages out. Without extensions.

    decoder = Decoder()
    for opcode, payload in decoder.feed(data): …     # BINARY and TEXT as they come, CLOSE, PING, PONG whole

A message may come in pieces, frames of it or parts of frames: who pipes bytes on does not need it whole, and
memory is bounded by what is fed. A client that breaks the rules raises ProtocolError.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from sampan.errors import ProtocolError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR = 1000, 1002  # of a close

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTROL_LIMIT = 125
_LENGTH_LIMIT = 1 << 62


def accept(key: str) -> str:
    """`Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`. Raises ProtocolError."""
    try:
        raw = base64.b64decode(key.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise ProtocolError("invalid Sec-WebSocket-Key")
    return base64.b64encode(hashlib.sha1(key.strip().encode() + _GUID).digest()).decode()


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message in one frame, not masked, as servers send."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")
    return head + payload


def close(code: int) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big"))


class Decoder:
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0  # of the payload of the data frame that is under way
        self._final = True
        self._message = 0  # opcode of the message under way; 0: none
        self._mask = b""
        self._control: int | None = None

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._buffer += data
        while True:
            if self._left and self._control is None:
                piece = self._take(min(self._left, len(self._buffer)))
                if not piece:
                    return
                yield self._message, piece
                self._end_of_frame()
            elif self._control is not None:
                if len(self._buffer) < self._left:
                    return
                opcode, self._control = self._control, None
                yield opcode, self._take(self._left)
            elif not self._head():
                return

    def _take(self, count: int) -> bytes:
        """The next bytes of the payload, unmasked."""
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._left -= count
        if not piece:
            return b""
        mask = (self._mask * (count // 4 + 1))[:count]
        self._mask = self._mask[count % 4 :] + self._mask[: count % 4]
        plain = int.from_bytes(piece, "big") ^ int.from_bytes(mask, "big")
        return plain.to_bytes(count, "big")

    def _head(self) -> bool:
        """Read the head of a frame; False when more is needed."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        short = buffer[1] & 0x7F
        extra = {126: 2, 127: 8}.get(short, 0)
        if len(buffer) < 2 + extra + 4:
            return False
        opcode, final = buffer[0] & 0x0F, bool(buffer[0] & 0x80)
        length = int.from_bytes(buffer[2 : 2 + extra], "big") if extra else short
        self._check(buffer[0], buffer[1], length)
        self._mask = bytes(buffer[2 + extra : 6 + extra])
        del buffer[: 6 + extra]
        self._left = length
        if opcode & 8:
            self._control = opcode
            return True
        self._final = final
        if opcode:
            self._message = opcode
        self._end_of_frame()
        return True

    def _check(self, first: int, second: int, length: int) -> None:
        opcode, final = first & 0x0F, bool(first & 0x80)
        if first & 0x70:
            raise ProtocolError("reserved bits of a WebSocket frame are set")
        if not second & 0x80:
            raise ProtocolError("a WebSocket frame of a client is not masked")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError(f"unknown WebSocket opcode {opcode}")
        if opcode & 8 and (length > _CONTROL_LIMIT or not final):
            raise ProtocolError("a WebSocket control frame is too long or in pieces")
        if opcode in (TEXT, BINARY) and self._message:
            raise ProtocolError("a WebSocket message begins within another")
        if opcode == CONTINUATION and not self._message:
            raise ProtocolError("a WebSocket continuation without a message")
        if length > _LENGTH_LIMIT:
            raise ProtocolError("a WebSocket frame is too long")

    def _end_of_frame(self) -> None:
        if not self._left and self._final:
            self._message = 0
