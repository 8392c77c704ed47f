"""Docker's frames for output without a terminal: `[stream, 0, 0, 0, length as 4 bytes big-endian] payload`.

Engine API, "Attach to a container", stream format. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from sampan.errors import ProtocolError

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
HEADER_SIZE = 8


def header(stream: int, length: int) -> bytes:
    return bytes((stream, 0, 0, 0)) + length.to_bytes(4, "big")


def frame(stream: int, payload: bytes) -> bytes:
    return header(stream, len(payload)) + payload


class Decoder:
    """Frames back into `(stream, bytes)`; a payload is handed on as it comes, in one piece or several.

    Memory is bounded by what is fed: a frame is never waited for as a whole.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = STDOUT
        self._left = 0

    @property
    def complete(self) -> bool:
        """Whether the stream may end here."""
        return not self._left and not self._head

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Raises ProtocolError for a stream that is none of the four."""
        found = []
        position = 0
        while position < len(data):
            if self._left:
                payload = data[position : position + self._left]
                found.append((self._stream, payload))
                self._left -= len(payload)
                position += len(payload)
                continue
            wanted = HEADER_SIZE - len(self._head)
            self._head += data[position : position + wanted]
            position += wanted
            if len(self._head) == HEADER_SIZE:
                self._open(self._head)
                self._head = b""
        return found

    def _open(self, head: bytes) -> None:
        self._stream = head[0]
        if self._stream > SYSTEM_ERROR:
            raise ProtocolError(f"expected a stream of 0 to 3, got frame header {head!r}")
        self._left = int.from_bytes(head[4:], "big")
