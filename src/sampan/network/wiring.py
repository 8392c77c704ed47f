"""How a container is connected to a bridge: a veth pair, the plan of its steps.

    host  bridge ── sv1234567abcd ═ eth0  container's namespace
                                          address, default route through the bridge

A pair may be waiting in the namespace already (`namespaces.py`); then it is adopted instead of made.
It keeps its name, because renaming costs more than all the rest; the alias says whose it is.
The pair is one thing: undoing the first step removes whatever the later ones did to it.

A port forwards only after the kernel's link watch, a work queue, has seen its carrier. A packet sent
before is lost, and ARP waits a second before it tries again: `wait_operational` is there for that.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from sampan.network.endpoint import INSIDE_NAME, Endpoint, link_alias
from sampan.network.host import (
    Links,
    Switches,
    allow_ipv6,
    delete_link_if_there,
    find_link,
    quiet_ipv6,
    remove_link,
)
from sampan.network.plan import Step

LINK_WATCH_PATIENCE = 0.5  # seconds
LINK_WATCH_PAUSE = 0.001


@dataclass(slots=True)
class Wiring:
    """Where the steps work. The indexes are known once the pair is there."""

    host: Links
    switches: Switches
    inside: Links
    netns_fd: int
    visit: Callable[[], AbstractContextManager[None]] = nullcontext  # into the namespace
    host_index: int = 0
    inside_index: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    """The bridge's side of a plug."""

    bridge: str
    index: int
    mtu: int
    ipv6: bool = False
    isolated: bool = False  # ports reach the bridge only, not each other
    reflecting: bool = (
        False  # where bridged packets are filtered, a container's own port is bridged back
    )


@dataclass(frozen=True, slots=True)
class ReadyPair:
    """A veth that waits in a prepared namespace; `name` is that of the host's end."""

    name: str
    host_index: int
    inside_index: int


def make_pair(
    wiring: Wiring,
    name: str,
    port: Port,
    *,
    alias: str,
    inside_name: str = INSIDE_NAME,
    up: bool = True,
) -> ReadyPair:
    """Both ends up and forwarding, without an address; not `up`: the host's end is down, so that nothing
    passes. Leaves nothing when it fails."""
    wiring.host.add_veth(
        name,
        peer_name=inside_name,
        peer_netns_fd=wiring.netns_fd,
        mtu=port.mtu,
        master=port.index,
    )
    try:
        pair = ReadyPair(name, wiring.host.link(name).index, wiring.inside.link(inside_name).index)
        quiet_ipv6(wiring.switches, name)
        if port.isolated:
            wiring.host.isolate_port(pair.host_index)
        if port.reflecting:
            wiring.host.reflect_port(pair.host_index)
        wiring.host.set_link(pair.host_index, up=up, alias=alias)
        wiring.inside.set_link(pair.inside_index, up=True)
        if up:
            wait_operational(wiring.host, pair.host_index)
            wait_operational(wiring.host, port.index)  # its carrier came with its first port
    except BaseException:
        remove_link(wiring.host, name)
        raise
    return pair


def raise_link(host: Links, name: str) -> None:
    """The host's end of a pair that was made down."""
    link = host.link(name)
    host.set_link(link.index, up=True)
    wait_operational(host, link.index)
    if link.master:
        wait_operational(host, link.master)


def wait_operational(links: Links, index: int) -> None:
    """Since Linux 6.8 asking is enough (`linkwatch_sync_dev`); older kernels need a moment.

    Not an error when it takes too long: the first packets may be lost, and that is all.
    """
    deadline = time.monotonic() + LINK_WATCH_PATIENCE
    while not links.link(index).operational and time.monotonic() < deadline:
        time.sleep(LINK_WATCH_PAUSE)


@dataclass(frozen=True, slots=True)
class CreateVeth:
    name: str
    port: Port
    alias: str
    inside_name: str = INSIDE_NAME
    up: bool = True

    def describe(self) -> str:
        return f"create veth {self.name} with {self.inside_name} inside"

    def execute(self, wiring: Wiring) -> None:
        pair = make_pair(
            wiring,
            self.name,
            self.port,
            alias=self.alias,
            inside_name=self.inside_name,
            up=self.up,
        )
        wiring.host_index, wiring.inside_index = pair.host_index, pair.inside_index

    def undo(self, wiring: Wiring) -> None:
        remove_link(wiring.host, self.name)


@dataclass(frozen=True, slots=True)
class AdoptVeth:
    """The namespace of a failed start is thrown away, so undoing deletes the pair too."""

    pair: ReadyPair
    alias: str

    def describe(self) -> str:
        return f"adopt the ready veth {self.pair.name}"

    def execute(self, wiring: Wiring) -> None:
        wiring.host_index, wiring.inside_index = self.pair.host_index, self.pair.inside_index
        try:
            wiring.host.set_link(self.pair.host_index, alias=self.alias)
        except BaseException:
            self.undo(wiring)
            raise

    def undo(self, wiring: Wiring) -> None:
        remove_link(wiring.host, self.pair.name)


@dataclass(frozen=True, slots=True)
class SetInsideMac:
    mac: str

    def describe(self) -> str:
        return f"give {INSIDE_NAME} the MAC address {self.mac}"

    def execute(self, wiring: Wiring) -> None:
        wiring.inside.set_link(wiring.inside_index, mac=self.mac)

    def undo(self, wiring: Wiring) -> None:
        """Goes with the pair."""


@dataclass(frozen=True, slots=True)
class AllowInsideIPv6:
    """A namespace begins without IPv6, so that nothing comes up by itself."""

    name: str

    def describe(self) -> str:
        return f"allow IPv6 on {self.name}"

    def execute(self, wiring: Wiring) -> None:
        with wiring.visit():
            allow_ipv6(wiring.switches, self.name)

    def undo(self, wiring: Wiring) -> None:
        """Goes with the pair."""


@dataclass(frozen=True, slots=True)
class AddInsideAddress:
    interface: IPv4Interface | IPv6Interface

    def describe(self) -> str:
        return f"give it the address {self.interface}"

    def execute(self, wiring: Wiring) -> None:
        address = self.interface
        wiring.inside.add_address(wiring.inside_index, address.ip, address.network.prefixlen)

    def undo(self, wiring: Wiring) -> None:
        """Goes with the pair."""


@dataclass(frozen=True, slots=True)
class AddDefaultRoute:
    gateway: IPv4Address | IPv6Address

    def describe(self) -> str:
        return f"route everything through {self.gateway}"

    def execute(self, wiring: Wiring) -> None:
        wiring.inside.add_route(None, gateway=self.gateway, index=wiring.inside_index, replace=True)

    def undo(self, wiring: Wiring) -> None:
        """Goes with the pair."""


def plan_plug(
    endpoint: Endpoint,
    port: Port,
    ready: ReadyPair | None,
    *,
    default_route: bool = True,
    up: bool = True,
) -> Sequence[Step[Wiring]]:
    alias = link_alias(port.bridge, endpoint.container_id)
    first: Step[Wiring] = (
        CreateVeth(endpoint.host_interface, port, alias, endpoint.inside_name, up)
        if ready is None
        else AdoptVeth(ready, alias)
    )
    steps: list[Step[Wiring]] = [first, SetInsideMac(endpoint.mac)]
    if endpoint.address6:
        steps.append(AllowInsideIPv6(endpoint.inside_name))
    steps += [AddInsideAddress(interface) for interface in endpoint.interfaces]
    if default_route:
        steps += [AddDefaultRoute(gateway) for gateway in endpoint.gateways]
    return steps


def cut_wire(host: Links, name: str, alias: str) -> None:
    """No packet passes any more. The pair itself dies with the namespace: deleting it takes tens of
    milliseconds, with a lock held that every other plug needs."""
    link = find_link(host, name)
    if link is not None and link.alias == alias:
        try:
            host.set_link(link.index, up=False)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise


def remove_own_pair(host: Links, name: str, alias: str) -> None:
    """For good, out of a namespace that lives on."""
    link = find_link(host, name)
    if link is not None and link.alias == alias:
        delete_link_if_there(host, link.index)
