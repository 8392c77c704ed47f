"""D-Bus, as far as calling methods of a manager takes: the wire format, SASL EXTERNAL, one call at a time.

    with Connection.open("/run/systemd/private") as bus:
        (path,) = bus.call("/an/object", "an.Interface", "Method", "ss", ("one", "two"))

Values are Python's own: integers, str, bool, lists (a), tuples (structs), dicts (a{…}), `Variant(signature, value)`.
Source: D-Bus Specification, "Marshaling (Wire Format)", "Message Protocol", "Authentication Protocol". Out of scope:
descriptors, a bus with names (a direct connection has one peer), being called.
"""

from __future__ import annotations

import os
import socket
import struct
import time

from sampan.errors import ProtocolError
from sampan.spec.typing import Any, Iterator, NamedTuple, Sequence

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, SIGNATURE = 1, 2, 3, 4, 5, 8
LIMIT = 1 << 20  # of a message that we read
_NUMBERS = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_ALIGNMENTS = {"b": 4, "s": 4, "o": 4, "g": 1, "a": 4, "v": 1, "(": 8, "{": 8}
_ENDS = {"(": ")", "{": "}"}


class Variant(NamedTuple):
    signature: str
    value: Any


class Message(NamedTuple):
    kind: int
    serial: int
    fields: dict[int, Any]
    body: tuple[Any, ...]


class DBusError(OSError):
    """The peer's answer to a call. `name` is the error's, as `org.freedesktop.systemd1.NoSuchUnit`."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name


def split(signature: str) -> list[str]:
    """Its complete types: "sa(sv)u" is "s", "a(sv)", "u". Raises ProtocolError."""
    found, at = [], 0
    while at < len(signature):
        end = _type_end(signature, at)
        found.append(signature[at:end])
        at = end
    return found


def _type_end(signature: str, at: int) -> int:
    try:
        letter = signature[at]
        if letter == "a":
            return _type_end(signature, at + 1)
        if letter in _ENDS:
            at += 1
            while signature[at] != _ENDS[letter]:
                at = _type_end(signature, at)
        return at + 1
    except IndexError:
        raise ProtocolError(f"D-Bus: cut-off signature {signature!r}") from None


def _alignment(kind: str) -> int:
    return struct.calcsize(_NUMBERS[kind]) if kind in _NUMBERS else _ALIGNMENTS[kind[0]]


def encode(signature: str, values: Sequence[Any]) -> bytes:
    """Little-endian, from a multiple of 8 on. Raises struct.error for numbers out of range."""
    out = bytearray()
    for kind, value in zip(split(signature), values, strict=True):
        _put(out, kind, value)
    return bytes(out)


def _put(out: bytearray, kind: str, value: Any) -> None:
    out += bytes(-len(out) % _alignment(kind))
    if kind in _NUMBERS:
        out += struct.pack("<" + _NUMBERS[kind], value)
    elif kind == "b":
        out += struct.pack("<I", bool(value))
    elif kind in ("s", "o", "g"):
        data = str(value).encode()
        if b"\0" in data:
            raise ValueError(f"D-Bus: {value!r} has a null byte")
        out += struct.pack("<B" if kind == "g" else "<I", len(data)) + data + b"\0"
    elif kind == "v":
        _put(out, "g", value.signature)
        _put(out, value.signature, value.value)
    elif kind[0] == "a":
        _put_array(out, kind[1:], list(value.items()) if isinstance(value, dict) else value)
    else:
        for part, item in zip(split(kind[1:-1]), value, strict=True):
            _put(out, part, item)


def _put_array(out: bytearray, kind: str, items: Sequence[Any]) -> None:
    at = len(out)
    out += bytes(4)
    out += bytes(-len(out) % _alignment(kind))  # which the length does not count
    begin = len(out)
    for item in items:
        _put(out, kind, item)
    struct.pack_into("<I", out, at, len(out) - begin)


class _Reader:
    def __init__(self, data: bytes, order: str) -> None:
        self.data, self.order, self.at = data, order, 0

    def number(self, form: str) -> Any:
        size = struct.calcsize(form)
        self.at += -self.at % size
        try:
            (value,) = struct.unpack_from(self.order + form, self.data, self.at)
        except struct.error:
            raise ProtocolError("D-Bus: a cut-off message") from None
        self.at += size
        return value

    def text(self, length: int) -> str:
        raw = self.data[self.at : self.at + length]
        self.at += length + 1
        if self.at > len(self.data):
            raise ProtocolError("D-Bus: a cut-off message")
        return raw.decode("utf-8", "replace")

    def value(self, kind: str) -> Any:
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == "b":
            return bool(self.number("I"))
        if kind in ("s", "o"):
            return self.text(self.number("I"))
        if kind == "g":
            return self.text(self.number("B"))
        if kind == "v":
            inner = self.text(self.number("B"))
            return Variant(inner, self.value(inner))
        if kind[:1] == "a":
            items = list(self._items(kind[1:]))
            return dict(items) if kind[1:2] == "{" else items
        if kind[:1] not in _ENDS:
            raise ProtocolError(f"D-Bus: unknown type {kind!r}")
        self.at += -self.at % 8
        return tuple(self.value(part) for part in split(kind[1:-1]))

    def _items(self, kind: str) -> Iterator[Any]:
        length = self.number("I")
        self.at += -self.at % _alignment(kind)
        end = self.at + length
        if end > len(self.data):
            raise ProtocolError("D-Bus: a cut-off message")
        while self.at < end:
            yield self.value(kind)


def decode(signature: str, data: bytes, *, order: str = "<") -> tuple[Any, ...]:
    """Raises ProtocolError."""
    reader = _Reader(data, order)
    return tuple(reader.value(kind) for kind in split(signature))


def encode_message(kind: int, serial: int, fields: dict[int, Variant], body: bytes) -> bytes:
    head = (ord("l"), kind, 0, 1, len(body), serial, list(fields.items()))
    data = encode("yyyyuua(yv)", head)
    return data + bytes(-len(data) % 8) + body


def message_size(head: bytes) -> int:
    """Of the whole, from its first 16 bytes. Raises ProtocolError."""
    order = _order(head)
    body, _, fields = struct.unpack_from(order + "III", head, 4)
    size = 16 + fields + -fields % 8 + body
    if size > LIMIT:
        raise ProtocolError(f"D-Bus: a message of {size} bytes")
    return int(size)


def decode_message(data: bytes) -> Message:
    """Raises ProtocolError."""
    order = _order(data)
    _, kind, _, _, length, serial, fields = decode("yyyyuua(yv)", data, order=order)
    named = {code: variant.value for code, variant in fields}
    body = data[len(data) - length :] if length else b""
    return Message(kind, serial, named, decode(named.get(SIGNATURE, ""), body, order=order))


def _order(head: bytes) -> str:
    try:
        return {ord("l"): "<", ord("B"): ">"}[head[0]]
    except (KeyError, IndexError):
        raise ProtocolError("D-Bus: not a message") from None


class Connection:
    """To one peer. Every wait ends at a deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._until = sock, time.monotonic() + deadline
        self._serial = 0
        self._signals: list[Message] = []

    @classmethod
    def open(cls, path: str, *, deadline: float = 30.0) -> Connection:
        """Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        made = cls(sock, deadline)
        try:
            sock.connect(path)
            made._authenticate()
        except BaseException:
            sock.close()
            raise
        return made

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self._sock.close()

    def _authenticate(self) -> None:
        # At once, as systemd's own clients do: its server lets a message lie that comes in one piece with BEGIN.
        identity = str(os.geteuid()).encode().hex().encode()
        self._send(b"\0AUTH EXTERNAL " + identity + b"\r\nBEGIN\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._receive(1)
        if not line.startswith(b"OK "):
            raise PermissionError(13, f"D-Bus: refused, {line.decode('ascii', 'replace').strip()}")

    def _send(self, data: bytes) -> None:
        self._wait()
        self._sock.sendall(data)

    def _wait(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("D-Bus: no answer in time")
        self._sock.settimeout(left)

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self._wait()
            piece = self._sock.recv(size - len(data))
            if not piece:
                raise ConnectionResetError(104, "D-Bus: the peer has gone")
            data += piece
        return data

    def _next(self) -> Message:
        head = self._receive(16)
        return decode_message(head + self._receive(message_size(head) - 16))

    def call(
        self, path: str, interface: str, member: str, signature: str, values: Sequence[Any]
    ) -> tuple[Any, ...]:
        """What the method returns. Raises DBusError with what it says, OSError, ProtocolError."""
        self._serial += 1
        fields = {
            PATH: Variant("o", path),
            INTERFACE: Variant("s", interface),
            MEMBER: Variant("s", member),
            SIGNATURE: Variant("g", signature),
        }
        self._send(encode_message(CALL, self._serial, fields, encode(signature, values)))
        while True:
            message = self._next()
            if message.kind == SIGNAL:
                self._signals.append(message)
            elif message.fields.get(REPLY_SERIAL) == self._serial:
                if message.kind == ERROR:
                    text = str(message.body[0]) if message.body else ""
                    raise DBusError(str(message.fields.get(ERROR_NAME, "")), text)
                return message.body

    def signals(self) -> Iterator[Message]:
        """Those that came during calls, then those that come. Raises TimeoutError at the deadline."""
        while True:
            yield self._signals.pop(0) if self._signals else self._next()
