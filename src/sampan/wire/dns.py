"""DNS messages as bytes (RFC 1035, EDNS of RFC 6891): what a small resolver reads and writes. No sockets.

Only the question and the sizes are looked at in what is passed on; answers are made for A, AAAA and PTR.
Names are lower-case text without the final dot; a dot within a label is written \\046 (RFC 4343, section 2.1), so
that no label looks like two.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from sampan.errors import ProtocolError

HEADER = struct.Struct(">HHHHHH")  # id, flags, questions, answers, authorities, additionals
FIXED = struct.Struct(">HH")  # type, class
RECORD = struct.Struct(">HHIH")  # type, class, ttl, length

A, CNAME, PTR, AAAA, OPT, ANY = 1, 5, 12, 28, 41, 255
IN = 1
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
OPCODE, RCODE = 0x7800, 0x000F
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

PLAIN = 512  # bytes of an answer over UDP without EDNS
MAX_NAME, MAX_LABEL = 255, 63
_POINTER = 0xC00C  # to the question's name, which always stands there
_JUMPS = 16


@dataclass(frozen=True, slots=True)
class Query:
    """`question` is it as it came; `size`: what the client takes over UDP; `edns`: whether it said so."""

    identity: int
    flags: int
    name: str
    kind: int
    klass: int
    question: bytes
    size: int
    edns: bool


def parse_query(data: bytes) -> Query:
    """Raises ProtocolError for what is no query with exactly one question."""
    if len(data) < HEADER.size:
        raise ProtocolError("DNS message shorter than its header")
    identity, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    if flags & QR or flags & OPCODE or questions != 1:
        raise ProtocolError("not a query with one question")
    name, offset = _read_name(data, HEADER.size)
    if offset + FIXED.size > len(data):
        raise ProtocolError("DNS question is cut off")
    kind, klass = FIXED.unpack_from(data, offset)
    end = offset + FIXED.size
    size, edns = _edns_size(data, end, answers + authorities + additionals)
    return Query(identity, flags, name, kind, klass, data[HEADER.size : end], size, edns)


def _edns_size(data: bytes, offset: int, records: int) -> tuple[int, bool]:
    for _ in range(min(records, 16)):
        _, offset = _read_name(data, offset)
        if offset + RECORD.size > len(data):
            break
        kind, klass, _, length = RECORD.unpack_from(data, offset)
        offset += RECORD.size + length
        if kind == OPT:
            return max(klass, PLAIN), True
    return PLAIN, False


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at `offset`, and where what follows it begins. Bytes outside ASCII stay as Latin-1."""
    labels: list[bytes] = []
    end, jumps, total = -1, 0, 0
    while True:
        if offset >= len(data):
            raise ProtocolError("DNS name is cut off")
        length = data[offset]
        if length & 0xC0 == 0xC0:
            if offset + 2 > len(data) or jumps == _JUMPS:
                raise ProtocolError("bad pointer in a DNS name")
            end = offset + 2 if end < 0 else end
            offset, jumps = int.from_bytes(data[offset : offset + 2], "big") & 0x3FFF, jumps + 1
            continue
        if length > MAX_LABEL:
            raise ProtocolError("bad label in a DNS name")
        offset += 1
        if length == 0:
            break
        total += length + 1
        if total > MAX_NAME or offset + length > len(data):
            raise ProtocolError("DNS name is too long or cut off")
        label = data[offset : offset + length]
        labels.append(label.replace(b"\\", b"\\092").replace(b".", b"\\046"))
        offset += length
    return b".".join(labels).decode("latin-1").lower(), offset if end < 0 else end


def encode_name(name: str) -> bytes:
    """Raises ProtocolError for a label that is empty or longer than 63 bytes."""
    parts = [label.encode("latin-1", "replace") for label in name.rstrip(".").split(".")]
    if any(not 0 < len(part) <= MAX_LABEL for part in parts):
        raise ProtocolError(f"no DNS name: {name!r}")
    return b"".join(bytes((len(part),)) + part for part in parts) + b"\0"


def address_record(address: IPv4Address | IPv6Address) -> tuple[int, bytes]:
    return (A if address.version == 4 else AAAA), address.packed


def build_answer(
    query: Query,
    records: Sequence[tuple[int, bytes]] = (),
    *,
    code: int = NOERROR,
    ttl: int = 0,
    limit: int = 65535,
) -> bytes:
    """`records`: type and data each, of the question's name. What does not fit `limit` is left out, with TC set."""
    additional = b"\0" + RECORD.pack(OPT, 1232, 0, 0) if query.edns else b""
    room = limit - HEADER.size - len(query.question) - len(additional)
    flags = QR | RA | (query.flags & RD) | code
    body, count = b"", 0
    for kind, data in records:
        record = struct.pack(">H", _POINTER) + RECORD.pack(kind, IN, ttl, len(data)) + data
        if len(body) + len(record) > room:
            flags |= TC
            break
        body += record
        count += 1
    header = HEADER.pack(query.identity, flags, 1, count, 0, 1 if additional else 0)
    return header + query.question + body + additional


class Record(NamedTuple):
    """One of an answer. `data` begins at `offset`, from where names in it may point back."""

    owner: str
    kind: int
    klass: int
    ttl: int
    offset: int
    data: bytes


def _records(answer: bytes) -> Iterator[Record]:
    """Those of the answer section. Raises ProtocolError."""
    if len(answer) < HEADER.size:
        raise ProtocolError("DNS message shorter than its header")
    _, _, questions, count, _, _ = HEADER.unpack_from(answer)
    offset = HEADER.size
    for _ in range(questions):
        offset = _read_name(answer, offset)[1] + FIXED.size
    for _ in range(count):
        owner, offset = _read_name(answer, offset)
        if offset + RECORD.size > len(answer):
            raise ProtocolError("DNS record is cut off")
        kind, klass, ttl, length = RECORD.unpack_from(answer, offset)
        offset += RECORD.size
        data = answer[offset : offset + length]
        if len(data) != length:
            raise ProtocolError("DNS record is cut off")
        yield Record(owner, kind, klass, ttl, offset, data)
        offset += length


def read_records(answer: bytes) -> list[tuple[int, bytes]]:
    """Type and data of an answer's records, A, AAAA and PTR as they are. Raises ProtocolError."""
    found = []
    for record in _records(answer):
        if record.kind == PTR:  # its name may point into the message
            found.append((PTR, encode_name(_read_name(answer, record.offset)[0])))
        elif record.kind in (A, AAAA):
            found.append((record.kind, record.data))
    return found


def build_failure(data: bytes, code: int) -> bytes:
    """The answer to what could not be read, as far as its header goes. Raises ProtocolError below that."""
    if len(data) < HEADER.size or data[2] & 0x80:
        raise ProtocolError("nothing to answer")
    identity, flags = struct.unpack_from(">HH", data)
    return HEADER.pack(identity, QR | RA | (flags & RD) | (flags & OPCODE) | code, 0, 0, 0, 0)


def reversed_address(name: str) -> IPv4Address | IPv6Address | None:
    """Of a name under in-addr.arpa or ip6.arpa; None of another."""
    for suffix, parts, join in ((".in-addr.arpa", 4, "."), (".ip6.arpa", 32, "")):
        if name.endswith(suffix):
            labels = name[: -len(suffix)].split(".")[::-1]
            if len(labels) != parts:
                return None
            text = join.join(labels)
            if parts == 32:
                text = ":".join(text[i : i + 4] for i in range(0, 32, 4))
            try:
                return ip_address(text)
            except ValueError:
                return None
    return None


def with_identity(data: bytes, identity: int) -> bytes:
    return identity.to_bytes(2, "big") + data[2:]


def answers_to(data: bytes, query: Query, identity: int) -> bool:
    """Whether `data` is an answer to this question, sent with this id."""
    if len(data) < HEADER.size or data[:2] != identity.to_bytes(2, "big") or not data[2] & 0x80:
        return False
    try:
        name, offset = _read_name(data, HEADER.size)
    except ProtocolError:
        # Servers answer FORMERR and their like with the header alone.
        return len(data) == HEADER.size and bool(data[3] & RCODE)
    return name == query.name and data[offset : offset + 2] == query.kind.to_bytes(2, "big")


def addresses_in(data: bytes, name: str) -> list[tuple[IPv4Address | IPv6Address, int]]:
    """Addresses of `name` in an answer, and the seconds that each is good for, by way of other names
    (CNAME) too. Other names' are passed over. Raises ProtocolError."""
    aliases: dict[str, tuple[str, int]] = {}
    found: list[tuple[str, IPv4Address | IPv6Address, int]] = []
    for owner, kind, klass, ttl, offset, content in _records(data):
        if klass == IN and kind == CNAME:
            aliases[owner] = (_read_name(data, offset)[0], ttl)
        elif klass == IN and (kind, len(content)) in ((A, 4), (AAAA, 16)):
            found.append((owner, ip_address(content), ttl))
    known = {name: 0xFFFFFFFF}
    while name in aliases and aliases[name][0] not in known:
        target, ttl = aliases[name]
        known[target] = min(known[name], ttl)
        name = target
    return [(address, min(ttl, known[owner])) for owner, address, ttl in found if owner in known]
