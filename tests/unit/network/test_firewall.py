"""Verifies the text of the firewall's table and that no name can break out of it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from sampan.errors import InvalidParameter
from sampan.network import firewall
from sampan.network.firewall import Forward, NetworkRules, Rules, change, table_name, whole

ONE = NetworkRules(bridge="sampan0", subnets=(IPv4Network("172.17.0.0/16"),))
TWO = NetworkRules(
    bridge="br-2", subnets=(IPv4Network("172.18.0.0/16"),), internal=True, open=False
)
WEB = Forward(
    protocol="tcp",
    address=IPv4Address("0.0.0.0"),
    host_port=8080,
    target=IPv4Address("172.17.0.2"),
    target_port=80,
)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if " element " in line]


def test_the_whole_table() -> None:
    """One transaction: the chains, and of each network, port and guard its elements."""
    text = whole("sampan", Rules((ONE,), (WEB,), ("wg0", "eth0")))
    assert text.startswith("add table inet sampan\ndelete table inet sampan\ntable inet sampan {")
    assert lines(text) == [
        'add element inet sampan bridges { "sampan0" }',
        'add element inet sampan guarded { "wg0", "eth0" }',
        'add element inet sampan friends { "sampan0" . "sampan0" }',
        "add element inet sampan subnets4 { 172.17.0.0/16 }",
        "add element inet sampan masquerade4 { 172.17.0.0/16 }",
        "add element inet sampan ports4 { tcp . 8080 : 172.17.0.2 . 80 }",
    ]


def test_an_internal_network_and_one_of_strangers() -> None:
    """Nothing leaves the one, nobody is another's friend in the other."""
    text = lines(whole("sampan", Rules((TWO,))))
    assert 'add element inet sampan internal { "br-2" }' in text
    assert not any("masquerade" in line or "friends" in line for line in text)


def test_only_what_differs_is_changed() -> None:
    """Old elements go before new ones come, in the same transaction."""
    moved = replace(WEB, target=IPv4Address("172.17.0.3"))
    assert change("sampan", Rules((ONE,), (WEB,)), Rules((ONE,), (moved,))).splitlines() == [
        "delete element inet sampan ports4 { tcp . 8080 : 172.17.0.2 . 80 }",
        "add element inet sampan ports4 { tcp . 8080 : 172.17.0.3 . 80 }",
    ]
    assert change("sampan", Rules((ONE,)), Rules((ONE,))) == ""


@pytest.mark.parametrize(
    ("address", "port", "count", "expected"),
    [
        ("0.0.0.0", 80, 1, ["ports4 { tcp . 8080 : 172.17.0.2 . 80 }"]),
        ("127.0.0.1", 80, 1, ["portsat4 { 127.0.0.1 . tcp . 8080 : 172.17.0.2 . 80 }"]),
        ("0.0.0.0", 8080, 3, ["ranges4 { 0.0.0.0/0 . tcp . 8080-8082 : 172.17.0.2 }"]),
        ("192.0.2.2", 8080, 3, ["ranges4 { 192.0.2.2 . tcp . 8080-8082 : 172.17.0.2 }"]),
        (
            "0.0.0.0",
            80,
            2,
            ["ports4 { tcp . 8080 : 172.17.0.2 . 80, tcp . 8081 : 172.17.0.2 . 81 }"],
        ),
    ],
)
def test_ports(address: str, port: int, count: int, expected: list[str]) -> None:
    """A range that keeps its numbers is one element."""
    forward = replace(WEB, address=IPv4Address(address), target_port=port, count=count)
    text = change("sampan", Rules(), Rules(forwards=(forward,)))
    assert text.splitlines() == [f"add element inet sampan {each}" for each in expected]


def test_ipv6_has_maps_of_its_own() -> None:
    """Keys and targets in the family's notation."""
    forward = replace(WEB, address=IPv6Address("::1"), target=IPv6Address("fd00::2"))
    assert "portsat6 { ::1 . tcp . 8080 : fd00::2 . 80 }" in change(
        "sampan", Rules(), Rules(forwards=(forward,))
    )


def test_table_names() -> None:
    """Each bridge has its own, and each is an nft identifier."""
    bridges = ["sampan0", "br0", "br-0", "br_0", "br.0"]
    names = [table_name(bridge) for bridge in bridges]
    assert names[:2] == ["sampan", "sampan_br0"]
    assert len(set(names)) == len(bridges)
    assert all(firewall.NFT_IDENTIFIER.match(name) for name in names)


@pytest.mark.parametrize("name", ["", "*", "a*", 'a"', "a b", "a\nb", "a" * 16, "..", "é", "a{"])
def test_names_that_are_no_interface(name: str) -> None:
    """Wildcards and quotes never reach the text."""
    with pytest.raises(InvalidParameter, match="invalid interface name"):
        whole("sampan", Rules((replace(ONE, bridge=name),)))
    with pytest.raises(InvalidParameter):
        whole("sampan", Rules(guarded=(name,)))
