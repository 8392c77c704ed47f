"""Verifies DNS messages byte by byte: what is read, what is written, and that nothing odd gets through."""

from __future__ import annotations

import os
import struct
from ipaddress import ip_address

import pytest

from sampan.errors import ProtocolError
from sampan.wire import dns


def query(name: str = "web", kind: int = dns.A, *, edns: int = 0, identity: int = 7) -> bytes:
    header = dns.HEADER.pack(identity, dns.RD, 1, 0, 0, 1 if edns else 0)
    question = dns.encode_name(name) + dns.FIXED.pack(kind, dns.IN)
    return header + question + (b"\0" + dns.RECORD.pack(dns.OPT, edns, 0, 0) if edns else b"")


def test_a_query() -> None:
    """Names are lower case; the size is 512 unless EDNS says more."""
    parsed = dns.parse_query(query("Web.N1"))
    assert (parsed.name, parsed.kind, parsed.size, parsed.edns) == ("web.n1", dns.A, 512, False)
    assert dns.parse_query(query(edns=1232)).size == 1232
    assert dns.parse_query(query(edns=100)).size == 512


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 11,
        query()[:-1],
        query()[:14],
        query()[:4] + b"\0\0" + query()[6:],  # no question
        query()[:4] + b"\0\2" + query()[6:],  # two
        query()[:2] + b"\x80\0" + query()[4:],  # an answer
        query()[:2] + b"\x28\0" + query()[4:],  # an update
        query()[:12] + b"\xc0\x0c" + b"\0\1\0\1",  # a pointer to itself
        query()[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        query()[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
    ],
)
def test_what_is_no_query(data: bytes) -> None:
    """Refused, and never an exception of another kind."""
    with pytest.raises(ProtocolError):
        dns.parse_query(data)


def test_noise() -> None:
    """Whatever bytes come, they are a query or a ProtocolError."""
    for length in range(200):
        data = query()[:12] + os.urandom(length)
        try:
            dns.parse_query(data)
        except ProtocolError:
            continue


def test_an_answer() -> None:
    """The question again, a record for each address, the pointer to the question's name."""
    parsed = dns.parse_query(query(edns=1232))
    records = [dns.address_record(ip_address(text)) for text in ("172.18.0.2", "fd00::2")]
    answer = dns.build_answer(parsed, records, ttl=600, limit=parsed.size)
    identity, flags, *counts = dns.HEADER.unpack_from(answer)
    assert (identity, flags, counts) == (7, dns.QR | dns.RD | dns.RA, [1, 2, 0, 1])
    expected = (
        struct.pack(">HHHIH", 0xC00C, dns.A, dns.IN, 600, 4) + ip_address("172.18.0.2").packed
    )
    assert answer[12 + len(parsed.question) :].startswith(expected)
    assert dns.answers_to(answer, parsed, 7)
    assert not dns.answers_to(answer, parsed, 8)
    assert not dns.answers_to(answer, dns.parse_query(query("other")), 7)
    assert not dns.answers_to(query(), parsed, 7)


def test_an_answer_that_does_not_fit() -> None:
    """What fits is sent, and the client told to ask by TCP."""
    parsed = dns.parse_query(query())
    records = [dns.address_record(ip_address(f"10.0.0.{n}")) for n in range(100)]
    answer = dns.build_answer(parsed, records, limit=parsed.size)
    assert len(answer) <= 512
    assert dns.HEADER.unpack_from(answer)[1] & dns.TC
    assert not dns.HEADER.unpack_from(dns.build_answer(parsed, records))[1] & dns.TC


def test_failures() -> None:
    """As much of the header as was there; nothing to an answer or to a fragment."""
    assert dns.HEADER.unpack(dns.build_failure(query(), dns.FORMERR))[1] & dns.RCODE == dns.FORMERR
    for data in (b"x", dns.build_answer(dns.parse_query(query()))):
        with pytest.raises(ProtocolError):
            dns.build_failure(data, dns.FORMERR)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa", "172.18.0.2"),
        ("2" + ".0" * 29 + ".d.f.ip6.arpa", "fd00::2"),
        ("2.18.172.in-addr.arpa", None),
        ("x.0.18.172.in-addr.arpa", None),
        ("example.com", None),
    ],
)
def test_reversed_addresses(name: str, address: str | None) -> None:
    """Of both families."""
    assert dns.reversed_address(name) == (ip_address(address) if address else None)


def _answer(*records: tuple[bytes, int, int, bytes]) -> bytes:
    """To `a.example`, whose name stands at 12; each record: name, type, TTL, data."""
    body = b"".join(
        name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data
        for name, kind, ttl, data in records
    )
    question = dns.encode_name("a.example") + struct.pack(">HH", 1, 1)
    return struct.pack(">6H", 1, 0x8180, 1, len(records), 0, 0) + question + body


def test_addresses_in_an_answer() -> None:
    """Those of the name, by way of aliases too and for the shortest of their times; not those of others, and
    no loop of aliases."""
    here, b, c = b"\xc0\x0c", dns.encode_name("b.example"), dns.encode_name("c.example")
    v4, v6 = bytes((192, 0, 2, 1)), bytes(15) + b"\1"
    found = dns.addresses_in(
        _answer((here, 1, 60, v4), (here, 28, 30, v6), (b, 1, 9, v4)), "a.example"
    )
    assert [(str(address), ttl) for address, ttl in found] == [("192.0.2.1", 60), ("::1", 30)]
    found = dns.addresses_in(
        _answer((c, 1, 60, v4), (b, 5, 20, c), (here, 5, 40, b), (c, 5, 1, here)), "a.example"
    )
    assert [(str(address), ttl) for address, ttl in found] == [("192.0.2.1", 20)]
    whole = _answer((here, 5, 40, b), (b, 1, 60, v4))
    for size in range(len(whole)):
        with pytest.raises(ProtocolError):
            dns.addresses_in(whole[:size], "a.example")
