"""What steps may touch of the host, as an object that tests replace."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sampan.linux import sysctl
from sampan.linux.netlink import Address, IPAddress, IPNetwork, Link, Route, Rtnl
from sampan.linux.nft import open_nft
from sampan.network.table import Table


class Links(Protocol):
    """What is used here of `linux.netlink.Rtnl`."""

    def add_bridge(self, name: str, *, mac: str | None = None, mtu: int | None = None) -> None: ...
    def add_veth(
        self,
        name: str,
        *,
        peer_name: str,
        peer_netns_fd: int | None = None,
        mac: str | None = None,
        peer_mac: str | None = None,
        mtu: int | None = None,
        master: int | None = None,
    ) -> None: ...
    def set_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        name: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        master: int | None = None,
        alias: str | None = None,
    ) -> None: ...
    def add_vxlan(self, name: str, *, vni: int, port: int, local: IPAddress, mtu: int) -> None: ...
    def add_flood(self, index: int, target: IPAddress) -> None: ...
    def remove_flood(self, index: int, target: IPAddress) -> None: ...
    def floods(self, index: int) -> list[IPAddress]: ...
    def add_macvlan(
        self, name: str, *, parent: int, mode: str, netns_fd: int, mac: str | None = None
    ) -> None: ...
    def add_ipvlan(
        self, name: str, *, parent: int, mode: str, flag: str, netns_fd: int
    ) -> None: ...
    def add_vlan(self, name: str, *, parent: int, vlan: int) -> None: ...
    def add_dummy(self, name: str) -> None: ...
    def supports(self, kind: str) -> bool: ...
    def isolate_port(self, index: int) -> None: ...
    def reflect_port(self, index: int) -> None: ...
    def delete_link(self, index: int) -> None: ...
    def link(self, link: int | str) -> Link: ...
    def links(self) -> list[Link]: ...
    def add_address(self, index: int, address: IPAddress, prefix: int) -> None: ...
    def delete_address(self, index: int, address: IPAddress, prefix: int) -> None: ...
    def addresses(self, index: int | None = None) -> list[Address]: ...
    def add_route(
        self,
        destination: IPNetwork | None,
        *,
        gateway: IPAddress | None = None,
        index: int | None = None,
        replace: bool = False,
    ) -> None: ...
    def routes(self) -> list[Route]: ...
    def close(self) -> None: ...


class Switches(Protocol):
    def read(self, *parts: str) -> str: ...
    def write(self, value: str, *parts: str) -> None: ...


class KernelSwitches:
    """/proc/sys of the calling thread's network namespace."""

    def read(self, *parts: str) -> str:
        return sysctl.read(*parts)

    def write(self, value: str, *parts: str) -> None:
        sysctl.write(value, *parts)


@dataclass(slots=True)
class Host:
    links: Links
    switches: Switches
    table: Table


def find_link(links: Links, link: int | str) -> Link | None:
    try:
        return links.link(link)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return None


def remove_link(links: Links, name: str) -> None:
    """Done twice, it does nothing."""
    link = find_link(links, name)
    if link is not None:
        delete_link_if_there(links, link.index)


def delete_link_if_there(links: Links, index: int) -> None:
    try:
        links.delete_link(index)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def quiet_ipv6(switches: Switches, interface: str) -> None:
    """No IPv6 on a link of an IPv4 network: no address, and no router believed (CVE-2020-13401).

    `interface` may be "default": what links that appear later begin with.
    """
    for name, value in (("disable_ipv6", "1"), ("accept_ra", "0")):
        try:
            switches.write(value, "net", "ipv6", "conf", interface, name)
        except OSError as error:
            if error.errno != errno.ENOENT:  # a kernel without IPv6 has nothing to quieten
                raise


def allow_ipv6(switches: Switches, interface: str) -> None:
    """IPv6 with the addresses that we give, and none that a router announces."""
    for name, value in (("accept_ra", "0"), ("disable_ipv6", "0"), ("accept_dad", "0")):
        switches.write(value, "net", "ipv6", "conf", interface, name)


Opener = Callable[[int], Links]
"""Opens `Links` in the network namespace of a descriptor."""


def open_host(name: str) -> Host:
    """On the network thread: sockets and the nft context belong to the namespace they are made in."""
    links = Rtnl()
    try:
        return Host(links, KernelSwitches(), Table(open_nft(), name))
    except BaseException:
        links.close()
        raise
