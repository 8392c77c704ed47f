"""Lines as fluentd's forward protocol takes them ("message mode"), and the MessagePack that it is made of. Pure.

[tag, time, {"container_id": …, "container_name": …, "source": …, "log": …}, {"chunk": id}?]
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

_NANO = 10**9
_ACK = b"\x81\xa3ack"


def pack(value: Any) -> bytes:
    """MessagePack of None, bool, int, str, bytes, list, dict. Raises TypeError, OverflowError."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return _pack_int(value)
        case str():
            return _pack_text(value.encode("utf-8", "replace"))
        case bytes():
            return _head(len(value), (0xC4, 0xC5, 0xC6)) + value
        case list() | tuple():
            head = bytes((0x90 | len(value),)) if len(value) < 16 else _wide(len(value), 0xDC)
            return head + b"".join(map(pack, value))
        case dict():
            head = bytes((0x80 | len(value),)) if len(value) < 16 else _wide(len(value), 0xDE)
            return head + b"".join(pack(key) + pack(each) for key, each in value.items())
        case _:
            raise TypeError(f"cannot pack {type(value).__name__}")


def _pack_int(value: int) -> bytes:
    if 0 <= value < 0x80:
        return bytes((value,))
    if -32 <= value < 0:
        return bytes((value & 0xFF,))
    if value >= 0:
        for size, code in ((1, 0xCC), (2, 0xCD), (4, 0xCE), (8, 0xCF)):
            if value < 1 << (8 * size):
                return bytes((code,)) + value.to_bytes(size, "big")
    return b"\xd3" + value.to_bytes(8, "big", signed=True)


def _pack_text(data: bytes) -> bytes:
    if len(data) < 32:
        return bytes((0xA0 | len(data),)) + data
    return _head(len(data), (0xD9, 0xDA, 0xDB)) + data


def _head(length: int, codes: tuple[int, int, int]) -> bytes:
    for size, code in zip((1, 2, 4), codes, strict=True):
        if length < 1 << (8 * size):
            return bytes((code,)) + length.to_bytes(size, "big")
    raise OverflowError("too long for MessagePack")


def _wide(length: int, code: int) -> bytes:
    return bytes((code,)) + length.to_bytes(2, "big")


class FluentdEncoder:
    """`acknowledged`: the server is asked to confirm every message by its chunk."""

    def __init__(
        self,
        *,
        tag: str,
        container_id: str,
        name: str,
        attributes: Mapping[str, str],
        sub_second: bool,
        acknowledged: bool,
    ) -> None:
        self._tag = tag
        self._fields = {
            "container_id": container_id,
            "container_name": f"/{name}",
            **attributes,
        }
        self._sub_second = sub_second
        self._acknowledged = acknowledged
        self._count = 0

    def encode(self, line: bytes, *, stream: str, partial: bool, moment: int) -> tuple[bytes, str]:
        """The message and its chunk, "" without. `moment`: nanoseconds since 1970."""
        record: dict[str, Any] = {
            **self._fields,
            "source": stream,
            "log": line.decode("utf-8", "replace"),
        }
        if partial:
            record["partial_message"] = "true"
        chunk = ""
        options = {}
        if self._acknowledged:
            self._count += 1
            chunk = base64.b64encode(self._count.to_bytes(16, "big")).decode("ascii")
            options["chunk"] = chunk
        head = b"\x94" + pack(self._tag) + self._time(moment)
        return head + pack(record) + pack(options), chunk

    def _time(self, moment: int) -> bytes:
        seconds, rest = divmod(moment, _NANO)
        if not self._sub_second:
            return pack(seconds)
        # EventTime, extension type 0 with eight bytes.
        return b"\xd7\x00" + seconds.to_bytes(4, "big") + rest.to_bytes(4, "big")


class AckReader:
    """The server's answers, `{"ack": chunk}`, from bytes in any pieces."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        """Chunks that were confirmed. Raises ValueError for anything else."""
        self._pending += data
        found = []
        while len(self._pending) > len(_ACK):
            if not self._pending.startswith(_ACK):
                raise ValueError("an answer that is no acknowledgement")
            text = _text_at(self._pending, len(_ACK))
            if text is None:
                break
            start, end = text
            found.append(self._pending[start:end].decode("ascii", "replace"))
            self._pending = self._pending[end:]
        return found


def _text_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Where a short text that is packed at `at` begins and ends; None when it is not all there."""
    first = data[at]
    if first & 0xE0 == 0xA0:
        start, length = at + 1, first & 0x1F
    elif first == 0xD9:
        if len(data) < at + 2:
            return None
        start, length = at + 2, data[at + 1]
    else:
        raise ValueError("an answer that is no acknowledgement")
    return (start, start + length) if len(data) >= start + length else None
