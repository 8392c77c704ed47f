"""`Links` without a kernel: links, addresses and routes of one namespace as tables, every call recorded.

`fail_at=n` makes the n-th changing call raise; what it would have changed is unchanged.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from sampan.linux.netlink import Address, IPAddress, IPNetwork, Link, Route
from sampan.linux.netlink.messages import IF_OPER_UP, IFF_UP, RT_TABLE_MAIN, RTN_UNICAST
from sampan.linux.nft import NftError
from sampan.network.host import Host
from sampan.network.table import Table

LOOPBACK = Link(1, "lo", 0, 65536, "00:00:00:00:00:00", "", 0, 0, "", 0)


class FakeLinks:
    """`inside`: where the peers of veths appear, whatever descriptor is given."""

    def __init__(self, inside: FakeLinks | None = None, *, fail_at: int | None = None) -> None:
        self.table: dict[int, Link] = {1: LOOPBACK}
        self.assigned: list[Address] = []
        self.ways: list[Route] = []
        self.calls: list[tuple[str, Any]] = []
        self.flooded: list[tuple[int, IPAddress]] = []
        self.missing: set[str] = set()  # kinds of links that this kernel has not
        self.inside = inside
        self.fail_at = fail_at
        self._next = 2

    def _call(self, name: str, *details: Any) -> None:
        if self.fail_at == len(self.calls):
            self.fail_at = None
            raise OSError(errno.EPERM, "injected", name)
        self.calls.append((name, details))

    def _add(self, name: str, kind: str, **fields: Any) -> Link:
        if any(link.name == name for link in self.table.values()):
            raise OSError(errno.EEXIST, "File exists", name)
        new = replace(LOOPBACK, index=self._next, name=name, kind=kind, mtu=1500)
        self.table[new.index] = replace(new, **{k: v for k, v in fields.items() if v is not None})
        self._next += 1
        return self.table[new.index]

    def add_bridge(self, name: str, *, mac: str | None = None, mtu: int | None = None) -> None:
        self._call("add_bridge", name)
        self._add(name, "bridge", mac=mac, mtu=mtu)

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
    ) -> None:
        self._call("add_veth", name, peer_name)
        assert self.inside is not None
        own = self._add(name, "veth", mac=mac, mtu=mtu, master=master)
        peer = self.inside._add(peer_name, "veth", mac=peer_mac, mtu=mtu, peer=own.index)
        self.table[own.index] = replace(own, peer=peer.index)

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
    ) -> None:
        link = self.link(index)
        fields = {"name": name, "mac": mac, "mtu": mtu, "master": master, "alias": alias}
        if up is not None:
            fields |= {"flags": IFF_UP if up else 0, "operstate": IF_OPER_UP if up else 2}
        changes = {key: value for key, value in fields.items() if value is not None}
        self._call("set_link", link.name, changes)
        self.table[index] = replace(link, **changes)

    def add_vxlan(self, name: str, *, vni: int, port: int, local: IPAddress, mtu: int) -> None:
        self._call("add_vxlan", name, vni, port, str(local))
        self._add(name, "vxlan", mtu=mtu)

    def add_flood(self, index: int, target: IPAddress) -> None:
        self._call("add_flood", self.link(index).name, str(target))
        self.flooded.append((index, target))

    def remove_flood(self, index: int, target: IPAddress) -> None:
        self._call("remove_flood", self.link(index).name, str(target))
        self.flooded.remove((index, target))

    def floods(self, index: int) -> list[IPAddress]:
        return [target for at, target in self.flooded if at == index]

    def add_macvlan(
        self, name: str, *, parent: int, mode: str, netns_fd: int, mac: str | None = None
    ) -> None:
        self._call("add_macvlan", name, self.link(parent).name, mode)
        assert self.inside is not None
        self.inside._add(name, "macvlan", mac=mac)

    def add_ipvlan(self, name: str, *, parent: int, mode: str, flag: str, netns_fd: int) -> None:
        self._call("add_ipvlan", name, self.link(parent).name, mode, flag)
        assert self.inside is not None
        self.inside._add(name, "ipvlan", mac=self.link(parent).mac)

    def add_vlan(self, name: str, *, parent: int, vlan: int) -> None:
        self._call("add_vlan", name, self.link(parent).name, vlan)
        self._require("vlan")
        self._add(name, "vlan")

    def add_dummy(self, name: str) -> None:
        self._call("add_dummy", name)
        self._require("dummy")
        self._add(name, "dummy")

    def supports(self, kind: str) -> bool:
        return kind not in self.missing

    def _require(self, kind: str) -> None:
        if kind in self.missing:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", kind)

    def isolate_port(self, index: int) -> None:
        self._call("isolate_port", self.link(index).name)

    def reflect_port(self, index: int) -> None:
        self._call("reflect_port", self.link(index).name)

    def delete_link(self, index: int) -> None:
        link = self.link(index)
        self._call("delete_link", link.name)
        if self.inside is not None and link.peer:
            self.inside._drop(link.peer)
        self._drop(index)

    def _drop(self, index: int) -> None:
        del self.table[index]
        self.assigned = [item for item in self.assigned if item.index != index]
        self.ways = [item for item in self.ways if item.index != index]

    def link(self, link: int | str) -> Link:
        for item in self.table.values():
            if link in (item.index, item.name):
                return item
        raise OSError(errno.ENODEV, "No such device", str(link))

    def links(self) -> list[Link]:
        return list(self.table.values())

    def add_address(self, index: int, address: IPAddress, prefix: int) -> None:
        self._call("add_address", self.link(index).name, f"{address}/{prefix}")
        self.assigned.append(Address(index, address, prefix))

    def delete_address(self, index: int, address: IPAddress, prefix: int) -> None:
        self._call("delete_address", self.link(index).name, f"{address}/{prefix}")
        self.assigned.remove(Address(index, address, prefix))

    def addresses(self, index: int | None = None) -> list[Address]:
        return [item for item in self.assigned if index in (None, item.index)]

    def add_route(
        self,
        destination: IPNetwork | None,
        *,
        gateway: IPAddress | None = None,
        index: int | None = None,
        replace: bool = False,
    ) -> None:
        self._call("add_route", str(destination or "default"), str(gateway))
        self.ways.append(Route(destination, gateway, index or 0, RT_TABLE_MAIN, RTN_UNICAST))

    def routes(self) -> list[Route]:
        connected = [
            Route(item.network, None, item.index, RT_TABLE_MAIN, RTN_UNICAST)
            for item in self.assigned
        ]
        return connected + self.ways

    def close(self) -> None:
        self._call("close")


class FakeSwitches:
    """/proc/sys as a dictionary; what is not there is ENOENT."""

    def __init__(self, values: dict[str, str] | None = None) -> None:
        self.values = dict(values or {})

    def read(self, *parts: str) -> str:
        try:
            return self.values["/".join(parts)]
        except KeyError:
            raise OSError(errno.ENOENT, "No such file or directory", "/".join(parts)) from None

    def write(self, value: str, *parts: str) -> None:
        self.read(*parts)
        self.values["/".join(parts)] = value


class FakeNft:
    """Keeps what was run; a table is there once a transaction made it, with the text of all since."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.tables: dict[str, str] = {}
        self.error: OSError | None = None

    def run(self, commands: str) -> str:
        words = commands.split()
        if words[0] == "list":
            if words[3] not in self.tables:
                raise NftError("No such file or directory")
            return self.tables[words[3]]
        if self.error is not None:
            raise self.error
        self.ran.append(commands)
        name = words[3]
        if words[1] == "table":
            self.tables.pop(name, None)
            if "{" in commands:
                self.tables[name] = commands
        elif name not in self.tables:
            raise NftError("No such file or directory")
        else:
            self.tables[name] += commands
        return ""

    def made_by(self, thread_id: int) -> bool:
        return thread_id == 1

    def close(self) -> None:
        pass


def fake_host(**values: str) -> Host:
    """A host with `eth0`, forwarding off everywhere; `values` are further switches."""
    links = FakeLinks()
    uplink = links._add("eth0", "")
    links.table[uplink.index] = replace(uplink, flags=IFF_UP)
    switches = {
        "net/ipv4/ip_forward": "0",
        "net/ipv4/conf/eth0/forwarding": "0",
        "net/ipv4/conf/sampan0/forwarding": "0",
        "net/ipv4/conf/sampan0/route_localnet": "0",
        "net/ipv6/conf/sampan0/disable_ipv6": "0",
        "net/ipv6/conf/sampan0/accept_ra": "1",
    }
    return Host(links, FakeSwitches(switches | values), Table(FakeNft(), "sampan"))
