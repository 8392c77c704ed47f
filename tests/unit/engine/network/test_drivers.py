"""Verifies what the options of networks mean: of those across hosts, those on a link, and the daemon's own."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sampan.engine.network.drivers import check_families, with_defaults
from sampan.engine.network.parented import check_shared, parent_config
from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.engine.network.vxlan import settled, wish_of
from sampan.errors import InvalidParameter
from sampan.network.overlay import Overlay

A, B = map(ip_address, ("192.0.2.1", "192.0.2.2"))
OVERLAY = Overlay(vni=7, port=4789, local=B, peers=(A,))


def record(driver: str = "vxlan", name: str = "far", **options: str) -> NetworkRecord:
    subnets = (Subnet(subnet="10.7.0.0/24"),)
    return NetworkRecord(
        id="1" * 64, name=name, created=1, driver=driver, subnets=subnets, options=options
    )


def test_what_hosts_must_agree_in() -> None:
    """The number is made of the name, so that the same command is the same network on every host."""
    one, same, other = (
        wish_of(record(name=name, peers="192.0.2.1,192.0.2.2")) for name in ("a", "a", "b")
    )
    assert (one.vni, one.port, one.peers) == (same.vni, 4789, (A, B))
    assert one.vni != other.vni
    wish = wish_of(
        record(peers="dns:hosts.test", vni="9", port="5000", local="192.0.2.2", mtu="900")
    )
    assert (wish.name, wish.peers, wish.vni, wish.port) == ("hosts.test", (), 9, 5000)
    assert (wish.local, wish.mtu) == (B, 900)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "peers=ADDRESS"),
        ({"peers": "dns:"}, "peers=ADDRESS"),
        ({"peers": "192.0.2.1,"}, "peer '' is not an IP address"),
        ({"peers": "224.0.0.1"}, "peer 224.0.0.1 is not the address of a host"),
        ({"peers": "192.0.2.1", "port": "65535"}, "port must be between 1 and 65534"),
        ({"peers": "192.0.2.1", "vni": "-1"}, "vni must be between 1 and 16777215"),
        ({"peers": "192.0.2.1", "mtu": "x"}, "mtu must be between 576 and 65535"),
        ({"peers": "192.0.2.1", "local": "me"}, "local 'me' is not an IP address"),
        ({"peer": "192.0.2.1"}, "unknown option 'peer'"),
    ],
)
def test_what_is_no_network_across_hosts(options: dict[str, str], words: str) -> None:
    """Said with the option at fault."""
    with pytest.raises(InvalidParameter, match=words):
        wish_of(record(**options))


def test_this_hosts_part() -> None:
    """By its place among the hosts, or as the user says; found by name, the user must."""
    (item,) = settled(record(), OVERLAY, by_name=False).subnets
    assert (item.ip_range, item.gateway) == ("10.7.0.128/25", "10.7.0.129")
    (again,) = settled(settled(record(), OVERLAY, by_name=False), OVERLAY, by_name=True).subnets
    assert again == item
    with pytest.raises(InvalidParameter, match="need --ip-range"):
        settled(record(), OVERLAY, by_name=True)


def test_networks_on_a_link() -> None:
    """Modes and their defaults; without a parent a link of its own, with nobody outside."""
    config = parent_config(record("macvlan", parent="eth0"))
    assert (config.parent, config.mode, config.internal) == ("eth0", "bridge", False)
    config = parent_config(record("macvlan"))
    assert (config.parent, config.internal) == ("dm-" + "1" * 12, True)
    config = parent_config(record("ipvlan", parent="eth0", ipvlan_mode="l3", ipvlan_flag="vepa"))
    assert (config.kind, config.mode, config.flag) == ("ipvlan", "l3", "vepa")
    for options, words in (
        ({"ipvlan_mode": "odd"}, "requested ipvlan mode 'odd' is not valid, 'l2' mode"),
        ({"ipvlan_flag": "odd"}, "requested ipvlan flag 'odd' is not valid, 'bridge' flag"),
        ({"parent": "lo"}, "loopback interface is not a valid ipvlan parent link"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            parent_config(record("ipvlan", **options))


def test_a_parent_that_is_shared() -> None:
    """Several networks may stand on one, but in passthru, and not of both kinds."""
    other = parent_config(record("macvlan", parent="eth0"))
    mine = parent_config(NetworkRecord(id="2" * 64, name="n", created=1, driver="macvlan"))
    check_shared(mine, [other])
    for driver, mode, words in (
        ("macvlan", {"macvlan_mode": "passthru"}, "cannot use mode passthru"),
        ("ipvlan", {}, "already using parent interface eth0"),
    ):
        wanted = NetworkRecord(
            id="2" * 64, name="n", created=1, driver=driver, options={"parent": "eth0", **mode}
        )
        with pytest.raises(InvalidParameter, match=words):
            check_shared(parent_config(wanted), [other])


def test_the_daemons_options() -> None:
    """Below the user's, by driver; some of them switch families."""
    defaults = {"bridge": {"com.docker.network.enable_ipv6": "true", "x": "1"}}
    found = with_defaults(record("bridge", x="2"), defaults)
    assert (found.ipv6, found.options["x"]) == (True, "2")
    assert with_defaults(record("macvlan"), defaults) == record("macvlan")
    with pytest.raises(InvalidParameter, match="ParseBool"):
        with_defaults(record("bridge"), {"bridge": {"com.docker.network.enable_ipv4": "maybe"}})


def test_no_family_at_all() -> None:
    """A network has one family or both, and subnets of those that it has."""
    without = NetworkRecord(id="1" * 64, name="n", created=1, ipv4=False)
    with pytest.raises(InvalidParameter, match="IPv4 or IPv6 must be enabled"):
        check_families(without)
    wrong = NetworkRecord(
        id="1" * 64,
        name="n",
        created=1,
        ipv4=False,
        ipv6=True,
        subnets=(Subnet(subnet="10.7.0.0/24"),),
    )
    with pytest.raises(InvalidParameter, match="IPv4 is disabled"):
        check_families(wrong)
