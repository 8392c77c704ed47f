"""The framing of netlink: messages, attributes and errors as bytes. Pure; no sockets.

    message    u32 length · u16 type · u16 flags · u32 sequence · u32 port id · body
    attribute  u16 length · u16 type · payload · padding to 4 bytes

Lengths include the header, never the padding; numbers are in the machine's byte order (man 7
netlink, linux/netlink.h).
Out of scope: what the bodies mean (`messages.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sampan.errors import ProtocolError
from sampan.spec.typing import Iterator

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
U32 = struct.Struct("=I")
I32 = struct.Struct("=i")

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSG_OVERRUN = 4

NLM_F_REQUEST = 0x001
NLM_F_MULTI = 0x002
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
# The same bits in an answer of type NLMSG_ERROR.
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200

NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000
NLMSGERR_ATTR_MSG = 1


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    flags: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """What an NLMSG_ERROR says: `errno` 0 is an acknowledgement, `text` the kernel's explanation."""

    errno: int
    text: str


def _padding(length: int) -> bytes:
    return bytes(-length % 4)


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return (
        HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body + _padding(len(body))
    )


def encode_attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + _padding(len(payload))


def encode_u32(kind: int, value: int) -> bytes:
    return encode_attribute(kind, U32.pack(value))


def encode_string(kind: int, text: str) -> bytes:
    return encode_attribute(kind, text.encode("utf-8", "surrogateescape") + b"\0")


def decode_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. Raises ProtocolError when a length does not fit."""
    offset = 0
    while len(data) - offset >= HEADER.size:
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > len(data):
            raise ProtocolError(f"netlink message of {length} bytes in {len(data) - offset}")
        yield Message(kind, flags, sequence, data[offset + HEADER.size : offset + length])
        offset += length + (-length % 4)


def decode_attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by type (its flags masked), from `offset` on; the last of equals counts."""
    found: dict[int, bytes] = {}
    while len(body) - offset >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size or offset + length > len(body):
            raise ProtocolError(f"netlink attribute of {length} bytes in {len(body) - offset}")
        found[kind & NLA_TYPE_MASK] = body[offset + ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return found


def decode_string(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode("utf-8", "surrogateescape")


def decode_u32(payload: bytes) -> int:
    number: int = U32.unpack(payload)[0]
    return number


def decode_failure(message: Message) -> Failure:
    """Read an NLMSG_ERROR, or the error number that an NLMSG_DONE carries."""
    if len(message.body) < I32.size:
        return Failure(0, "")
    code: int = I32.unpack_from(message.body)[0]
    if not message.flags & NLM_F_ACK_TLVS:
        return Failure(-code, "")
    offset = I32.size
    if message.kind == NLMSG_ERROR:
        offset += _quoted_length(message)
    text = decode_attributes(message.body, offset).get(NLMSGERR_ATTR_MSG, b"")
    return Failure(-code, decode_string(text))


def _quoted_length(message: Message) -> int:
    """How much of the request an error repeats before its attributes: all, or the header."""
    if message.flags & NLM_F_CAPPED or len(message.body) < I32.size + HEADER.size:
        return HEADER.size
    length = decode_u32(message.body[I32.size : I32.size + U32.size])
    return length + (-length % 4)
