"""The bridge interface: found, made, or adopted, as a plan.

Ours is the one that carries our mark as its alias: we change its address and remove it. One that the
administrator made and named in the configuration is used as it is: it keeps its address, and gets
one only where it has none. Anything else with that name is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

from sampan.errors import Conflict, InvalidParameter
from sampan.linux.netlink import Address, Link, Route
from sampan.linux.netlink.messages import RT_TABLE_LOCAL
from sampan.network.config import BridgeConfig, Pool
from sampan.network.endpoint import bridge_alias
from sampan.network.host import Host, allow_ipv6, find_link, quiet_ipv6, remove_link
from sampan.network.plan import Step
from sampan.network.pools import choose_subnet, mac_of

MAKING = "svb"

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class CreateBridge:
    name: str
    mac: str
    mtu: int
    alias: str
    ipv6: bool = False

    def describe(self) -> str:
        return f"create bridge {self.name}"

    def execute(self, host: Host) -> None:
        making = making_name(self.name)
        remove_link(host.links, making)  # of a daemon that was killed
        # A MAC of its own, or the bridge takes the lowest of its ports' and changes with them.
        host.links.add_bridge(making, mac=self.mac, mtu=self.mtu)
        try:
            # Name and mark come in one: whoever dies here leaves no bridge that nobody knows for ours.
            index = host.links.link(making).index
            host.links.set_link(index, name=self.name, alias=self.alias)
            if self.ipv6:
                allow_ipv6(host.switches, self.name)
            else:
                quiet_ipv6(host.switches, self.name)
        except BaseException:
            self.undo(host)
            raise

    def undo(self, host: Host) -> None:
        remove_link(host.links, making_name(self.name))
        remove_link(host.links, self.name)


def making_name(name: str) -> str:
    """What a bridge is called until it has its mark; 15 characters are all that the kernel allows."""
    return MAKING + hashlib.sha256(name.encode()).hexdigest()[:12]


def is_half_made(link: Link) -> bool:
    """Whether a daemon that was killed left this bridge before it had its name."""
    return link.kind == "bridge" and link.name.startswith(MAKING) and not link.alias


@dataclass(frozen=True, slots=True)
class AddBridgeAddress:
    name: str
    interface: Interface

    def describe(self) -> str:
        return f"give bridge {self.name} the address {self.interface}"

    def execute(self, host: Host) -> None:
        index = host.links.link(self.name).index
        host.links.add_address(index, self.interface.ip, self.interface.network.prefixlen)

    def undo(self, host: Host) -> None:
        link = find_link(host.links, self.name)
        if link is not None:
            host.links.delete_address(
                link.index, self.interface.ip, self.interface.network.prefixlen
            )


@dataclass(frozen=True, slots=True)
class AllowBridgeIPv6:
    """Of a bridge that was made without."""

    name: str

    def describe(self) -> str:
        return f"allow IPv6 on bridge {self.name}"

    def execute(self, host: Host) -> None:
        allow_ipv6(host.switches, self.name)

    def undo(self, host: Host) -> None:
        """Without an address it does no harm."""


@dataclass(frozen=True, slots=True)
class RemoveBridgeAddress:
    name: str
    interface: Interface

    def describe(self) -> str:
        return f"take the address {self.interface} from bridge {self.name}"

    def execute(self, host: Host) -> None:
        index = host.links.link(self.name).index
        host.links.delete_address(index, self.interface.ip, self.interface.network.prefixlen)

    def undo(self, host: Host) -> None:
        AddBridgeAddress(self.name, self.interface).execute(host)


@dataclass(frozen=True, slots=True)
class ChangeBridge:
    """Raise it, and give it a new MTU; `old` is how it was."""

    name: str
    mtu: int
    old: Link | None

    def describe(self) -> str:
        return f"raise bridge {self.name} with MTU {self.mtu}"

    def execute(self, host: Host) -> None:
        host.links.set_link(host.links.link(self.name).index, up=True, mtu=self.mtu)

    def undo(self, host: Host) -> None:
        if self.old is not None and (link := find_link(host.links, self.name)) is not None:
            host.links.set_link(link.index, up=self.old.up, mtu=self.old.mtu)


@dataclass(frozen=True, slots=True)
class BridgePlan:
    steps: Sequence[Step[Host]]
    gateway: IPv4Interface | None
    ours: bool


def plan_bridge(
    config: BridgeConfig,
    *,
    link: Link | None,
    addresses: Sequence[Interface],
    used: Sequence[IPv4Network],
) -> BridgePlan:
    """`link` and `addresses`: the interface of that name as it is; `used`: what pools must avoid.

    Raises Conflict, InvalidParameter, PoolsExhausted.
    """
    name, alias = config.bridge, bridge_alias(config.bridge, config.owner)
    if link is None:
        gateway = _chosen(config, None, used)
        ipv6 = config.gateway6 is not None
        wanted = _wanted(gateway, config)
        create = CreateBridge(name, mac_of(wanted[0].ip), config.mtu, alias, ipv6)
        added = [AddBridgeAddress(name, each) for each in wanted]
        return BridgePlan((create, *added, ChangeBridge(name, config.mtu, None)), gateway, True)
    if link.kind != "bridge":
        raise Conflict(f"interface {name} exists and is not a bridge")
    ours = link.alias == alias
    if config.owner and not ours:
        raise Conflict(f"interface {name} exists and is not one of this daemon's bridges")
    old = [each for each in addresses if isinstance(each, IPv4Interface)]
    current = config.gateway if config.gateway in old else next(iter(old), None)
    gateway = _chosen(config, current, used)
    if not ours and current is not None and gateway is not None and current != gateway:
        raise Conflict(
            f"bridge IPv4 ({current}) does not match requested configuration {gateway.ip}"
        )
    wanted = _wanted(gateway, config)
    steps: list[Step[Host]] = [
        AddBridgeAddress(name, each) for each in wanted if each not in addresses
    ]
    if steps and config.gateway6 is not None:
        steps.insert(0, AllowBridgeIPv6(name))
    if ours:
        surplus = (each for each in addresses if each not in wanted and not each.ip.is_link_local)
        steps += [RemoveBridgeAddress(name, each) for each in surplus]
    mtu = config.mtu if ours else link.mtu
    if not link.up or link.mtu != mtu:
        steps.append(ChangeBridge(name, mtu, link))
    return BridgePlan(steps, gateway, ours)


def _wanted(gateway: IPv4Interface | None, config: BridgeConfig) -> list[Interface]:
    return [each for each in (gateway, config.gateway6) if each is not None]


def _chosen(
    config: BridgeConfig, current: IPv4Interface | None, used: Sequence[IPv4Network]
) -> IPv4Interface | None:
    if not config.ipv4:
        return None
    return config.gateway or current or _first_of_pools(config, used)


def free_subnet(host: Host, pools: Sequence[Pool], avoid: Sequence[IPv4Network]) -> IPv4Interface:
    """The first address of one that nothing on this host uses. Raises PoolsExhausted."""
    used = used_networks(host.links.routes(), host.links.addresses(), except_index=0)
    return _first_address(pools, [*used, *avoid])


def _first_of_pools(config: BridgeConfig, used: Sequence[IPv4Network]) -> IPv4Interface:
    return _first_address(config.pools, used)


def _first_address(pools: Sequence[Pool], used: Sequence[IPv4Network]) -> IPv4Interface:
    subnet = choose_subnet(pools, used)
    first = IPv4Address(int(subnet.network_address) + 1)
    return IPv4Interface(f"{first}/{subnet.prefixlen}")


def used_networks(
    routes: Sequence[Route], addresses: Sequence[Address], *, except_index: int
) -> list[IPv4Network]:
    """Every IPv4 network that the host routes somewhere, but for those of the bridge itself."""
    used = [
        route.destination
        for route in routes
        if isinstance(route.destination, IPv4Network)
        and route.table != RT_TABLE_LOCAL
        and (route.index != except_index or not except_index)
    ]
    return used + [
        address.network
        for address in addresses
        if isinstance(address.network, IPv4Network) and address.index != except_index
    ]


def check_fixed_cidr(part: IPv4Network | None, subnet: IPv4Network) -> None:
    if part is not None and not part.subnet_of(subnet):
        raise InvalidParameter(f"fixed-cidr {part} is not part of the bridge's subnet {subnet}")


def check_overlap(bip: IPv4Interface, addresses: Sequence[Address], *, except_index: int) -> None:
    """A subnet that is another interface's too would take its neighbours away. InvalidParameter."""
    for address in addresses:
        network = address.network
        if (
            isinstance(network, IPv4Network)
            and address.index != except_index
            and network.overlaps(bip.network)
        ):
            raise InvalidParameter(
                f"bip {bip} overlaps {address.address}/{address.prefix} of another interface"
            )
