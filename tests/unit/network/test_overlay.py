"""Verifies what a network across hosts is made of: parts, addresses, MTU, and the plan of its link."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from tests.fakes.links import FakeLinks, fake_host

from sampan.errors import Conflict, InvalidParameter
from sampan.linux.netlink import Address
from sampan.network.host import Host
from sampan.network.overlay import Overlay, OverlayWish, divide, settle
from sampan.network.overlay_link import plan_overlay, remove_overlay
from sampan.network.plan import run_plan

A, B, C = map(ip_address, ("192.0.2.1", "192.0.2.2", "192.0.2.30"))
OVERLAY = Overlay(vni=7, port=4789, local=A, peers=(B, C))
NAME = "vx12b5000007"
HOW: dict[str, Any] = {"bridge": "br-1", "owner": "me", "mtu": 1450, "isolated": False}


@pytest.mark.parametrize(
    ("subnet", "hosts", "parts"),
    [
        ("10.7.0.0/24", 2, ["10.7.0.0/25", "10.7.0.128/25"]),
        ("10.7.0.0/24", 3, ["10.7.0.0/26", "10.7.0.64/26", "10.7.0.128/26"]),
        ("10.7.0.0/24", 1, ["10.7.0.0/24"]),
        ("fd00::/64", 2, ["fd00::/65", "fd00::8000:0:0:0/65"]),
    ],
)
def test_parts(subnet: str, hosts: int, parts: list[str]) -> None:
    """Every host finds the same division, whichever it is and in whatever order it knows the others."""
    every = [A, B, C][:hosts]
    for number, local in enumerate(every):
        for others in (every, every[::-1], [item for item in every if item != local]):
            assert str(divide(ip_network(subnet), local, others)) == parts[number]


def test_too_little_to_divide() -> None:
    """A part has room for an address."""
    with pytest.raises(InvalidParameter, match=r"10\.7\.0\.0/29 is too small for 3 hosts"):
        divide(ip_network("10.7.0.0/29"), A, [B, C])


def host() -> Host:
    """A's, with an uplink that carries 1400 bytes and a bridge."""
    found = fake_host(
        **{f"net/ipv6/conf/{NAME}/{name}": "0" for name in ("disable_ipv6", "accept_ra")}
    )
    links = found.links
    assert isinstance(links, FakeLinks)
    eth0 = links.link("eth0")
    links.table[eth0.index] = replace(eth0, mtu=1400)
    links.assigned.append(Address(eth0.index, A, 24))
    links._add("br-1", "bridge")
    return found


def settled(wish: OverlayWish, *found: Any) -> tuple[Overlay, int]:
    links = host().links
    return settle(wish, found, links.links(), links.addresses())


def test_who_this_host_is() -> None:
    """Its own address among the hosts' is left out of the peers; the MTU is the way's, without the headers."""
    assert settled(OverlayWish(vni=7, peers=(B, A)), B, A) == (replace(OVERLAY, peers=(B,)), 1350)
    assert settled(OverlayWish(vni=7, device="eth0", mtu=1300), B) == (
        replace(OVERLAY, peers=(B,)),
        1300,
    )
    assert settled(OverlayWish(vni=7, local=A)) == (replace(OVERLAY, peers=()), 1350)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (OverlayWish(vni=7, local=C), "192.0.2.30 is not an address of this host"),
        (OverlayWish(vni=7, device="eth9"), "there is no interface eth9"),
        (OverlayWish(vni=7, device="br-1"), "interface br-1 has no address"),
        (OverlayWish(vni=7, local=A, mtu=1400), "mtu 1400 does not fit: eth0 carries 1350"),
        (OverlayWish(vni=7, local=A, peers=(B,)), "of one family"),
    ],
)
def test_what_does_not_settle(wish: OverlayWish, words: str) -> None:
    """An address that is not ours, a link that is not there, more than fits, families mixed."""
    with pytest.raises(InvalidParameter, match=words):
        settled(wish, B, ip_address("2001:db8::1"))


def described(on: Host, overlay: Overlay = OVERLAY) -> list[str]:
    return [step.describe() for step in plan_overlay(on, overlay, **HOW)]


def test_made_and_mended() -> None:
    """Made once; then only the targets change; one that is not as it should be is made anew."""
    on = host()
    run_plan(plan_overlay(on, OVERLAY, **HOW), on)
    index = on.links.link(NAME).index
    assert on.links.floods(index) == [B, C] or on.links.floods(index) == [C, B]
    run_plan(plan_overlay(on, replace(OVERLAY, peers=(C,)), **HOW), on)
    assert on.links.floods(index) == [C]
    assert described(on) == ["send what is for everybody to 192.0.2.2, 192.0.2.30"]
    moved = replace(OVERLAY, local=ip_address("192.0.2.9"))
    assert len(described(on, moved)) == 3
    on.links.set_link(index, master=0)
    assert len(described(on)) == 3
    remove_overlay(on, OVERLAY)
    remove_overlay(on, OVERLAY)
    assert NAME not in [link.name for link in on.links.links()]


@pytest.mark.parametrize("alias", ["", "sampan:br-2 vxlan 7 4789 192.0.2.1@me", "sampan:br-1@you"])
def test_somebody_elses_link(alias: str) -> None:
    """Is never touched: the administrator's, another network's, another daemon's."""
    on = host()
    assert isinstance(on.links, FakeLinks)
    on.links._add(NAME, "vxlan", alias=alias)
    with pytest.raises(Conflict, match="vni 7 at port 4789 is in use"):
        plan_overlay(on, OVERLAY, **HOW)


@pytest.mark.parametrize("failing", range(5))
def test_every_step_fails_once(failing: int) -> None:
    """Whatever the kernel refuses, no link is left."""
    on = host()
    assert isinstance(on.links, FakeLinks)
    on.links.fail_at = failing
    with pytest.raises(PermissionError):
        run_plan(plan_overlay(on, OVERLAY, **HOW), on)
    assert NAME not in [link.name for link in on.links.links()]
