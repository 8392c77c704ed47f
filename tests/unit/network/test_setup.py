"""Verifies what is planned for the host: the bridge, its address, the table, and which switches."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from tests.fakes.links import FakeLinks, FakeNft, FakeSwitches, fake_host

from sampan.errors import Conflict, InvalidParameter
from sampan.linux.netlink.messages import IFF_UP
from sampan.network import forwarding
from sampan.network.bridge_device import is_half_made, making_name
from sampan.network.config import NetworkConfig
from sampan.network.endpoint import Endpoint, bridge_alias, link_alias
from sampan.network.host import Host
from sampan.network.setup import (
    BridgeFacts,
    mend_ports,
    plan_network,
    set_up,
    switch_back,
    switch_uplinks,
    tear_down,
)
from sampan.network.table import Table
from sampan.network.wiring import Port

CONFIG = NetworkConfig()
BRIDGE = CONFIG.default_bridge()
BIP = IPv4Interface("10.5.0.1/24")


def links(host: Host) -> FakeLinks:
    assert isinstance(host.links, FakeLinks)
    return host.links


def nft(host: Host) -> FakeNft:
    assert isinstance(host.table._nft, FakeNft)
    return host.table._nft


def everything(host: Host, config: NetworkConfig = CONFIG) -> BridgeFacts:
    """As `Networks` does it."""
    facts = set_up(host, config.default_bridge())
    switch_uplinks(host, config)
    return facts


def switches(host: Host) -> dict[str, str]:
    assert isinstance(host.switches, FakeSwitches)
    return host.switches.values


def add_bridge(host: Host, *, ours: bool, address: str | None = None) -> int:
    new = links(host)._add("sampan0", "bridge")
    alias = bridge_alias("sampan0") if ours else ""
    links(host).table[new.index] = replace(new, alias=alias, flags=IFF_UP)
    if address:
        interface = IPv4Interface(address)
        host.links.add_address(new.index, interface.ip, interface.network.prefixlen)
    return new.index


def describe(host: Host, config: NetworkConfig = CONFIG) -> list[str]:
    return [step.describe() for step in plan_network(host, config.default_bridge()).steps]


def test_a_fresh_host() -> None:
    """Bridge, table, then its switch."""
    assert describe(fake_host()) == [
        "create bridge sampan0",
        "give bridge sampan0 the address 172.17.0.1/16",
        "raise bridge sampan0 with MTU 1500",
        "route the host's loopback to sampan0",
        "let the firewall know of sampan0",
        "forward what comes in by sampan0",
    ]


def test_the_guard_stands_before_anything_forwards() -> None:
    """A table that cannot be written leaves the uplink's switch as it was."""
    host = fake_host()
    host.links.add_address(2, IPv4Address("192.0.2.2"), 24)
    nft(host).error = OSError(errno.EINVAL, "no sets here")
    with pytest.raises(OSError, match="no sets here"):
        switch_uplinks(host, CONFIG)
    assert switches(host)["net/ipv4/conf/eth0/forwarding"] == "0"


def test_what_a_killed_daemon_had_half_made() -> None:
    """A bridge has its name and its mark at once, or another name; that one is known, and made room for."""
    host = fake_host()
    making = making_name("sampan0")
    left = links(host)._add(making, "bridge")
    assert is_half_made(left)
    assert not is_half_made(replace(left, alias="somebody's"))
    assert not is_half_made(replace(left, kind="veth"))
    assert not is_half_made(replace(left, name="sampan0"))
    everything(host)
    assert {link.name for link in links(host).links()} == {"lo", "eth0", "sampan0"}
    named = [details for name, details in links(host).calls if name == "set_link"]
    assert (making, {"name": "sampan0", "alias": "sampan:sampan0"}) in named


def test_done_and_done_again() -> None:
    """The second time nothing is left to do but to look at the switches."""
    host = fake_host()
    host.links.add_address(2, IPv4Address("192.0.2.2"), 24)
    facts = everything(host)
    bridge = host.links.link("sampan0")
    assert (facts.port.index, facts.ours, host.table.guarded) == (bridge.index, True, ("eth0",))
    assert (bridge.alias, bridge.mac, bridge.up) == ("sampan:sampan0", "02:42:ac:11:00:01", True)
    assert 'sampan guarded { "eth0" }' in nft(host).tables["sampan"]
    quiet = {key: value for key, value in switches(host).items() if "ipv6" in key}
    assert list(quiet.values()) == ["1", "0"]
    assert switches(host)["net/ipv4/conf/eth0/forwarding"] == "1"
    assert switches(host)["net/ipv4/conf/sampan0/route_localnet"] == "1"
    before = len(links(host).calls), len(nft(host).ran)
    everything(host)
    assert (len(links(host).calls), len(nft(host).ran)) == before


@pytest.mark.parametrize("failing", range(4))
def test_every_step_fails_once(failing: int) -> None:
    """Neither link nor network nor switch is left."""
    host = fake_host()
    before = (dict(links(host).table), dict(switches(host)))
    links(host).fail_at = len(links(host).calls) + failing
    with pytest.raises(OSError, match="injected"):
        set_up(host, BRIDGE)
    forwards = {key: value for key, value in switches(host).items() if "forwarding" in key}
    assert links(host).table == before[0]
    assert forwards == {key: value for key, value in before[1].items() if "forwarding" in key}
    assert host.table.network("sampan0") is None


def test_a_table_or_switch_that_fails() -> None:
    """The bridge goes again, and what the table had of it."""
    host = fake_host()
    nft(host).error = OSError(errno.EINVAL, "no nat here")
    with pytest.raises(OSError, match="no nat here"):
        set_up(host, BRIDGE)
    assert [link.name for link in host.links.links()] == ["lo", "eth0"]
    nft(host).error = None
    del switches(host)["net/ipv4/conf/sampan0/forwarding"]
    with pytest.raises(OSError, match="No such file"):
        set_up(host, BRIDGE)
    assert host.table.network("sampan0") is None


def test_the_global_switch_or_the_flag_leave_the_uplink_alone() -> None:
    """`ip_forward` on: nothing to switch and nobody to guard against; `--ip-forward=false`: neither."""
    for host, config in (
        (fake_host(**{"net/ipv4/ip_forward": "1"}), CONFIG),
        (fake_host(), replace(CONFIG, ip_forward=False)),
    ):
        host.links.add_address(2, IPv4Address("192.0.2.2"), 24)
        everything(host, config)
        assert host.table.guarded == ()
        assert "sampan guarded" not in nft(host).tables["sampan"]
        assert switches(host)["net/ipv4/conf/eth0/forwarding"] == "0"


def test_what_was_switched_is_remembered(tmp_path: Path) -> None:
    """A daemon that comes back guards what an earlier one switched on, and only that."""
    config = replace(CONFIG, state_file=str(tmp_path / "run" / "network.json"))
    host = fake_host()
    host.links.add_address(2, IPv4Address("192.0.2.2"), 24)
    assert switch_uplinks(host, config) == ("eth0",)
    again = Host(host.links, host.switches, Table(FakeNft(), "sampan"))
    assert switch_uplinks(again, config) == ("eth0",)
    forgetful = Host(host.links, host.switches, Table(FakeNft(), "sampan"))
    assert switch_uplinks(forgetful, replace(config, state_file="")) == ()
    switch_back(again, config)
    assert switches(host)["net/ipv4/conf/eth0/forwarding"] == "0"
    assert forwarding.load_switched(config.state_file) == []


def test_another_bridge_is_an_uplink_only_with_a_gateway_behind_it() -> None:
    """The bridge of another daemon is neither switched on nor guarded; a bridged uplink is."""
    host = fake_host(**{"net/ipv4/conf/br1/forwarding": "0"})
    other = links(host)._add("br1", "bridge").index
    host.links.add_address(other, IPv4Address("10.77.0.1"), 24)
    assert switch_uplinks(host, CONFIG) == ()
    host.links.add_route(None, gateway=IPv4Address("10.77.0.254"), index=other)
    assert switch_uplinks(host, CONFIG) == ("br1",)


@pytest.mark.parametrize("content", ["", "{}", "[1", "7"])
def test_a_spoilt_state_file(content: str, tmp_path: Path) -> None:
    """Counts as none."""
    path = tmp_path / "network.json"
    path.write_text(content)
    assert forwarding.load_switched(str(path)) == []


def test_an_earlier_bridge_keeps_its_address() -> None:
    """Containers that run use it; another `bip` replaces it."""
    host = fake_host()
    add_bridge(host, ours=True, address="172.19.0.1/16")
    assert plan_network(host, BRIDGE).gateway == IPv4Interface("172.19.0.1/16")
    set_up(host, replace(CONFIG, bip=BIP).default_bridge())
    assert [str(x.address) for x in host.links.addresses()] == ["10.5.0.1"]


def test_a_bridge_of_the_administrator() -> None:
    """Used as it is, never removed; another address than `bip` says is an error."""
    host = fake_host()
    index = add_bridge(host, ours=False, address="10.5.0.1/24")
    facts = set_up(host, BRIDGE)
    assert (facts.ours, facts.gateway, facts.port.index) == (False, BIP, index)
    assert "10.5.0.0/24" in nft(host).tables["sampan"]
    with pytest.raises(Conflict, match=r"bridge IPv4 \(10.5.0.1/24\) does not match"):
        set_up(host, replace(CONFIG, bip=IPv4Interface("10.6.0.1/24")).default_bridge())
    tear_down(host, BRIDGE, facts)
    assert host.links.link("sampan0").alias == ""


def test_an_interface_that_is_no_bridge() -> None:
    """Refused before anything is changed."""
    host = fake_host()
    links(host)._add("sampan0", "dummy")
    with pytest.raises(Conflict, match="sampan0 exists and is not a bridge"):
        set_up(host, BRIDGE)
    assert links(host).calls == []


def test_overlaps() -> None:
    """Pools avoid routes; a `bip` in the subnet of another interface is refused."""
    host = fake_host()
    host.links.add_address(2, IPv4Address("172.17.3.4"), 24)
    host.links.add_route(IPv4Network("172.18.0.0/15"), gateway=IPv4Address("172.17.3.1"), index=2)
    assert str(plan_network(host, BRIDGE).gateway) == "172.20.0.1/16"
    with pytest.raises(InvalidParameter, match=r"overlaps 172.17.3.4/24 of another interface"):
        plan_network(host, replace(CONFIG, bip=IPv4Interface("172.17.0.1/16")).default_bridge())


def endpoint(container_id: str, interface: str) -> Endpoint:
    return Endpoint(
        network_id="n",
        endpoint_id="e",
        container_id=container_id,
        address="172.17.0.2",
        prefix=16,
        gateway="172.17.0.1",
        mac="02:42:ac:11:00:02",
        host_interface=interface,
    )


def test_ports_are_mended() -> None:
    """Ours of ended containers go, live ones are put back, everything else is left alone."""
    host = fake_host()
    port = Port("sampan0", 9, 1500)
    table = {
        "svlive": link_alias("sampan0", "live"),
        "svgone": link_alias("sampan0", "gone"),
        "svready": link_alias("sampan0", "ready"),
        "svother": link_alias("br-other", "gone"),
        "veth0": "",
    }
    for name, alias in table.items():
        new = links(host)._add(name, "veth")
        links(host).table[new.index] = replace(new, alias=alias)
    assert mend_ports(host, port, [endpoint("live", "svlive")]) == ["svgone"]
    kept = {link.name: link for link in host.links.links()}
    assert set(kept) == {"lo", "eth0", "svlive", "svready", "svother", "veth0"}
    assert (kept["svlive"].master, kept["svlive"].up) == (9, True)
    assert (kept["veth0"].master, kept["veth0"].up) == (0, False)


def test_an_uplink_that_goes_away_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at it and the write, on the way up and on the way back."""
    host = fake_host()
    host.links.add_address(2, IPv4Address("192.0.2.2"), 24)
    write = host.switches.write

    def vanish(value: str, *parts: str) -> None:
        if "eth0" in parts:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        write(value, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(host.switches, "write", vanish)
        assert switch_uplinks(host, CONFIG) == ("eth0",)
    assert switch_uplinks(host, CONFIG) == ("eth0",)
    monkeypatch.setattr(host.switches, "write", vanish)
    switch_back(host, CONFIG)
