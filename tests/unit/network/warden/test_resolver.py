"""Verifies what containers with an egress policy are answered, and what their answers open."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from sampan.network.warden.hosts import Neighbourhood
from sampan.network.warden.loop import Loop
from sampan.network.warden.names import Names, View
from sampan.network.warden.resolver import MAX_ASKED, Servers
from sampan.spec.egress import Policy, parse
from sampan.wire import dns

OWNER = "a" * 64
LIST = "allow=*.good.example,plain.example:443,10.1.0.0/16:80"


def wire(*labels: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def name(text: str) -> bytes:
    return wire(*text.encode().split(b"."))


def question(labels: bytes, kind: int = dns.A) -> bytes:
    return dns.HEADER.pack(7, dns.RD, 1, 0, 0, 0) + labels + struct.pack(">HH", kind, dns.IN)


def record(owner: str, content: str, ttl: int = 60) -> bytes:
    try:
        data, kind = ip_address(content).packed, dns.AAAA if ":" in content else dns.A
    except ValueError:
        data, kind = name(content), dns.CNAME
    return name(owner) + dns.RECORD.pack(kind, dns.IN, ttl, len(data)) + data


class Asked:
    """Both upstream and policies: what is asked of them, told and opened."""

    def __init__(self) -> None:
        self.records: Sequence[bytes] = ()
        self.names: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.opened: list[tuple[str, int, list[int]]] = []
        self.full = False

    def ask(
        self,
        data: bytes,
        query: dns.Query,
        servers: Sequence[str],
        answered: Callable[[bytes | None], None],
        *,
        tcp: bool,
    ) -> None:
        self.names.append(query.name)
        header = dns.HEADER.pack(7, dns.QR, 1, len(self.records), 0, 0)
        answered(header + query.question + b"".join(self.records))

    def policy(self, owner: str) -> Policy:
        return parse(LIST)

    def refused_name(self, owner: str, host: str, reason: str) -> None:
        self.told.append((host, reason))

    def open_for(
        self,
        owner: str,
        ports: frozenset[int],
        addresses: Sequence[tuple[IPv4Address | IPv6Address, int]],
    ) -> bool:
        if not self.full:
            self.opened += [(str(each), ttl, sorted(ports)) for each, ttl in addresses]
        return not self.full


@pytest.fixture
def made() -> tuple[Servers, Asked]:
    asked: Any = Asked()
    loop, names = Loop(), Names()
    names.put(OWNER, View(servers=("192.0.2.53",)))
    servers = Servers(loop, names, Neighbourhood(loop, names), asked)
    servers._upstream = asked
    return servers, asked


def code(servers: Servers, query: bytes, *, tcp: bool) -> int:
    answers: list[bytes] = []
    servers.handle(OWNER, query, answers.append, tcp=tcp)
    [answer] = answers
    return answer[3] & dns.RCODE


WWW, PUBLIC = "www.good.example", "203.0.113.5"
ANSWERS = [
    # What is asked for, what comes, the code, what it opens, what is told of it.
    (name(WWW), [record(WWW, PUBLIC)], 0, [(PUBLIC, 60, [0])], ""),
    (name("WwW.GOOD.example"), [record(WWW, PUBLIC)], 0, [(PUBLIC, 60, [0])], ""),
    (name("plain.example"), [record("plain.example", PUBLIC, 0)], 0, [(PUBLIC, 0, [443])], ""),
    (
        name(WWW),
        [record(WWW, "cdn.example", 5), record("cdn.example", PUBLIC)],
        0,
        [(PUBLIC, 5, [0])],
        "",
    ),
    (
        name(WWW),
        [record(WWW, PUBLIC), record("other.example", "203.0.113.9")],
        0,
        [(PUBLIC, 60, [0])],
        "",
    ),
    (name(WWW), [record(WWW, "a.example"), record("a.example", WWW)], 0, [], ""),
    (
        name(WWW),
        [record(WWW, "cdn.example"), record("cdn.example", "10.0.0.1")],
        5,
        [],
        "leads to 10.0.0.1",
    ),
    (
        name(WWW),
        [record(WWW, PUBLIC), record(WWW, "169.254.169.254")],
        5,
        [],
        "leads to 169.254.169.254",
    ),
    (name(WWW), [record(WWW, "::ffff:127.0.0.1")], 5, [], "leads to ::ffff:7f00:1"),
    (name(WWW), [record(WWW, "10.1.2.3")], 0, [], ""),  # the list itself opens it, at its port
    (name("bad.example"), [record("bad.example", PUBLIC)], 5, [], "not in the list"),
    (name("good.example"), [record("good.example", PUBLIC)], 5, [], "not in the list"),
    # One label that looks like two: another zone's, whose servers would be asked.
    (wire(b"x.good", b"example"), [], 5, [], "not in the list"),
    (wire(b"plain.example"), [], 5, [], "not in the list"),
    (wire(b"x\\", b"bad", b"example"), [], 5, [], "not in the list"),
]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(("labels", "records", "wanted", "opened", "reason"), ANSWERS)
def test_answers(
    labels: bytes,
    records: list[bytes],
    wanted: int,
    opened: list[tuple[str, int, list[int]]],
    reason: str,
    tcp: bool,
    made: tuple[Servers, Asked],
) -> None:
    """Over UDP and TCP; what is not in the list is asked of nobody."""
    servers, asked = made
    asked.records = records
    assert code(servers, question(labels), tcp=tcp) == wanted
    assert asked.opened == opened
    assert [why for _, why in asked.told] == ([reason] if reason else [])
    assert len(asked.names) == (reason != "not in the list")


def test_too_many_addresses(made: tuple[Servers, Asked]) -> None:
    """The answer is refused, since nothing that it says could be reached, and the user is told why."""
    servers, asked = made
    asked.records, asked.full = [record(WWW, PUBLIC)], True
    assert code(servers, question(name(WWW)), tcp=False) == dns.REFUSED
    assert asked.told == [(WWW, "too many addresses are open")]


def test_a_flood_of_names(made: tuple[Servers, Asked]) -> None:
    """One container's questions that nobody answers are not all that can be asked: another's still are, and its own
    again when it has had answers."""
    servers, asked = made
    waiting: list[Callable[[bytes | None], None]] = []
    other = "b" * 64
    servers._names.put(other, View(servers=("192.0.2.53",)))

    def ask(data: bytes, query: dns.Query, to: object, answered: Any, *, tcp: bool) -> None:
        waiting.append(answered)

    asked.ask = ask  # type: ignore[method-assign]
    answers: list[bytes] = []
    for _ in range(MAX_ASKED + 7):
        servers.handle(OWNER, question(name(WWW)), answers.append, tcp=False)
    assert len(waiting) == MAX_ASKED
    assert [answer[3] & dns.RCODE for answer in answers] == [dns.SERVFAIL] * 7
    servers.handle(other, question(name(WWW)), answers.append, tcp=False)
    assert len(waiting) == MAX_ASKED + 1
    while waiting:
        waiting.pop()(None)
    servers.handle(OWNER, question(name(WWW)), answers.append, tcp=False)
    assert len(waiting) == 1
