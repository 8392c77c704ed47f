"""Verifies who is found by which name, and by whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sampan.network.warden.names import Names, Place, View
from sampan.wire import dns


def ask(name: str, kind: int = dns.A) -> dns.Query:
    return dns.Query(1, 0, name, kind, dns.IN, b"", 512, False)


def place(network: str, names: str, *addresses: str) -> Place:
    return Place(network, f"net{network}", tuple(names.split()), tuple(map(ip_address, addresses)))


@pytest.fixture
def names() -> Names:
    """a and b are neighbours in 1 and share an alias, c is in 2 alone."""
    found = Names()
    found.put("a", View([place("1", "a same 0123", "10.1.0.2", "fd00::2")], links={"x": "b"}))
    found.put("b", View([place("1", "b same", "10.1.0.3"), place("2", "b", "10.2.0.3")]))
    found.put("c", View([place("2", "c", "10.2.0.2")]))
    return found


@pytest.mark.parametrize(
    ("who", "name", "found"),
    [
        ("a", "b", ["10.1.0.3"]),
        ("a", "b.net1", ["10.1.0.3"]),
        ("a", "0123", ["10.1.0.2"]),
        ("a", "x", ["10.1.0.3"]),
        ("a", "same", ["10.1.0.2", "10.1.0.3"]),
        ("c", "b", ["10.2.0.3"]),
        ("c", "same", None),
        ("a", "c", None),
        ("b", "x", None),
        ("b", "example.com", None),
        ("nobody", "b", None),
    ],
)
def test_who_is_found(names: Names, who: str, name: str, found: list[str] | None) -> None:
    """By name, with the network's, by alias, the id's beginning and a link; in one's own networks only."""
    answer = names.answer(who, ask(name))
    if found is None:
        assert answer is None
    else:
        assert answer is not None
        assert sorted(answer) == sorted(dns.address_record(ip_address(text)) for text in found)


def test_other_kinds(names: Names) -> None:
    """A name without an address of this family has none, which nobody outside may deny; PTR goes back."""
    assert names.answer("a", ask("b", dns.AAAA)) == []
    assert names.answer("a", ask("a", dns.AAAA)) == [dns.address_record(ip_address("fd00::2"))]
    assert names.answer("a", ask("b", 15)) == []
    assert names.answer("a", ask("example.com", 15)) is None
    reverse = ask("3.0.1.10.in-addr.arpa", dns.PTR)
    assert names.answer("a", reverse) == [(dns.PTR, dns.encode_name("b.net1"))]
    assert names.answer("c", reverse) is None


def test_round_robin(names: Names) -> None:
    """Each of several comes first now and then."""
    seen = set()
    for _ in range(200):
        answer = names.answer("a", ask("same"))
        assert answer
        seen.add(answer[0])
    assert len(seen) == 2


def test_told_anew_and_forgotten(names: Names) -> None:
    """Old names and addresses are gone, of one network too, and nothing is kept."""
    names.put("b", View([place("1", "new", "10.1.0.9")]))
    assert names.answer("a", ask("b")) is None
    assert names.answer("a", ask("new")) == [dns.address_record(ip_address("10.1.0.9"))]
    assert names.answer("c", ask("b")) is None
    for owner in names.owners:
        names.drop(owner)
    assert names._named == names._addresses == {}
