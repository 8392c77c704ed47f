"""Verifies that hosts tell each other names, over real datagrams on addresses of the loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from sampan.network.warden.hosts import PATIENCE, Neighbourhood, Record, merged
from sampan.network.warden.loop import Loop
from sampan.network.warden.names import Names, Place, View
from sampan.wire import dns

PORT = 20000 + os.getpid() % 10000  # tests run beside each other
NETWORK, VNI = "n" * 64, 42
ADDRESSES = "127.0.1.1", "127.0.1.2", "127.0.1.3"
KNOWN = [dns.address_record(ip_address(text)) for text in ("10.7.0.2", "fd00::2")]


def ask(name: str, kind: int = dns.A) -> dns.Query:
    return dns.Query(1, 0, name, kind, dns.IN, b"", 512, False)


def view(*names: str, domain: str, addresses: tuple[str, ...] = ()) -> View:
    place = Place(NETWORK, domain, names, tuple(map(ip_address, addresses)))
    return View([place], links={"x": "web"})


class Site:
    """Three hosts in one thread; the third is there when it is listened to."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.names = [Names(), Names()]
        self.hosts = [Neighbourhood(self.loop, names) for names in self.names]
        for number, hosts in enumerate(self.hosts):
            others = [item for item in ADDRESSES if item != ADDRESSES[number]]
            hosts.put(NETWORK, vni=VNI, local=ADDRESSES[number], port=PORT, peers=others)
        self.names[0].put("me", view("me", domain="here"))
        self.names[1].put("you", view("web", domain="there", addresses=("10.7.0.2", "fd00::2")))

    def find(self, name: str, kind: int = dns.A) -> list[Record] | None:
        answers: list[list[Record] | None] = []

        def done(found: list[Record] | None) -> None:
            answers.append(found)
            self.loop.running = False

        asker = self.names[0].view("me")
        assert asker is not None
        self.loop.running = True
        self.hosts[0].ask(asker, ask(name, kind), done)
        if not answers:
            self.loop.run()
        return answers[0]


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    for hosts in found.hosts:
        hosts.drop(NETWORK)
        hosts.drop(NETWORK)


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("web", dns.A, KNOWN[:1]),
        ("web", dns.AAAA, KNOWN[1:]),
        ("web", dns.ANY, KNOWN),
        ("web.here", dns.A, KNOWN[:1]),
        ("x", dns.A, KNOWN[:1]),
        ("web", 15, []),
        ("nobody", dns.A, None),
        ("2.0.7.10.in-addr.arpa", dns.PTR, [(dns.PTR, dns.encode_name("web.there"))]),
        ("9.0.7.10.in-addr.arpa", dns.PTR, None),
    ],
)
def test_what_is_told(site: Site, name: str, kind: int, found: list[Record] | None) -> None:
    """What the other host knows of its own containers, and that it knows of none."""
    answer = site.find(name, kind)
    assert answer == found or (answer and sorted(answer) == found)


def test_a_host_that_is_silent(site: Site) -> None:
    """It is waited for once, and not again until something comes from it."""
    begin = time.monotonic()
    assert site.find("web") == KNOWN[:1]
    assert time.monotonic() - begin >= PATIENCE
    begin = time.monotonic()
    for _ in range(20):
        assert site.find("web") == KNOWN[:1]
    assert time.monotonic() - begin < 20 * PATIENCE / 2
    third = Neighbourhood(site.loop, Names())
    third.put(NETWORK, vni=VNI, local=ADDRESSES[2], port=PORT, peers=ADDRESSES[:2])
    site.find("web")
    site.find("web")  # by now the third has answered, and is waited for
    assert ADDRESSES[2] not in site.hosts[0]._silent
    third.drop(NETWORK)


def test_strangers_are_told_nothing(site: Site) -> None:
    """Neither who is no host of the network, nor a host that asks about another network."""
    asker = Neighbourhood(site.loop, site.names[0])
    asker.put(NETWORK, vni=VNI, local="127.0.1.9", port=PORT, peers=ADDRESSES[1:2])
    site.hosts[0], kept = asker, site.hosts[0]
    assert site.find("web") is None
    site.hosts[0] = kept
    kept.put(NETWORK, vni=VNI + 1, local=ADDRESSES[0], port=PORT, peers=ADDRESSES[1:2])
    assert site.find("web") is None
    asker.drop(NETWORK)


def test_merged() -> None:
    """What is known here comes first, twice is once, and nothing known is not the same as no address."""
    a, b = KNOWN
    assert merged(None, None) is None
    assert merged([], None) == merged(None, []) == merged([], []) == []
    assert merged([a], [b, a]) == [a, b]
