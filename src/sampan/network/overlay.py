"""Networks across hosts: what a VXLAN link (RFC 7348) needs to know. Pure, but for asking the kernel
for a way. The link itself is `overlay_link.py`'s.

    containers ═ bridge ── vx0000012b ── UDP ──▶ the other hosts' addresses

Frames for everybody, and for those that have not been met, go to each of `peers`; where the others are is
learnt from what comes in. What comes from somebody else is dropped by the firewall (`firewall.py`).
Who the peers are is said in the configuration, or found by name (`peers.py`). Encryption is out of scope:
the hosts' own network is trusted, or is one (IPsec, WireGuard) that encrypts.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from sampan.errors import InvalidParameter, SampanError
from sampan.linux.netlink import Address, Link

DEFAULT_PORT = 4789  # RFC 7348
NAMES_OFFSET = 1  # the port beside, where hosts ask each other for names
OVERHEAD = {4: 50, 6: 70}  # bytes: outer IP, UDP, VXLAN, inner Ethernet

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayWish:
    """What a user said. `name` is asked for the peers, instead of `peers`; `device`: whose address is ours;
    `mtu` None: what the way to the peers carries."""

    vni: int
    port: int = DEFAULT_PORT
    peers: tuple[IPAddress, ...] = ()
    name: str = ""
    local: IPAddress | None = None
    device: str = ""
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """`local`: this host's address among the hosts; `peers`: those of the others."""

    vni: int
    port: int
    local: IPAddress
    peers: tuple[IPAddress, ...] = ()

    @property
    def link(self) -> str:
        return f"vx{self.port:04x}{self.vni:06x}"

    def alias(self, bridge: str, owner: str, *, isolated: bool) -> str:
        """The mark of the link, with all that a link cannot be changed in."""
        apart = " isolated" if isolated else ""
        what = f"{self.vni} {self.port} {self.local}{apart}"
        return f"{_mark(bridge)}{what}@{owner}"


def is_overlay_of(alias: str, bridge: str) -> bool:
    """Whether a link with this alias is the VXLAN link of the bridge."""
    return alias.startswith(_mark(bridge))


def _mark(bridge: str) -> str:
    return f"sampan:{bridge} vxlan "


def local_address(wanted: Iterable[IPAddress], own: Iterable[IPAddress]) -> IPAddress:
    """Which of this host's addresses the others know: one that is among them, or from which they are
    reached. Raises SampanError."""
    hosts, mine = list(wanted), set(own)
    for host in hosts:
        if host in mine:
            return host
    for host in hosts:
        family = socket.AF_INET if host.version == 4 else socket.AF_INET6
        try:  # a host may be without one of the families
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
                probe.connect((str(host), 9))  # sends nothing
                return ip_address(probe.getsockname()[0])
        except OSError:
            continue
    raise SampanError(
        "vxlan: no address of this host leads to the peers: name it with --opt local="
    )


def settle(
    wish: OverlayWish,
    found: Sequence[IPAddress],
    links: Sequence[Link],
    addresses: Sequence[Address],
) -> tuple[Overlay, int]:
    """The overlay and its MTU, on a host with these links. `found`: who the hosts are, this one too or not.

    Raises InvalidParameter, SampanError."""
    own = {item.address: item.index for item in addresses if not item.address.is_link_local}
    if wish.device:
        index = next((link.index for link in links if link.name == wish.device), None)
        if index is None:
            raise InvalidParameter(f"vxlan: there is no interface {wish.device}")
        own = {address: at for address, at in own.items() if at == index}
        if not own:
            raise InvalidParameter(f"vxlan: interface {wish.device} has no address")
    local = wish.local
    if local is None and wish.device:
        version = found[0].version if found else 4
        local = next((item for item in own if item.version == version), next(iter(own)))
    elif local is None:
        local = local_address(found, own)
    elif local not in own:
        raise InvalidParameter(f"vxlan: {local} is not an address of this host")
    peers = tuple(item for item in found if item != local and item.version == local.version)
    if wish.peers and len(peers) != len([item for item in found if item != local]):
        raise InvalidParameter("vxlan: the peers' addresses and this host's must be of one family")
    link = next((item for item in links if item.index == own.get(local)), None)
    room = (link.mtu if link else 1500) - OVERHEAD[local.version]
    if wish.mtu is not None and wish.mtu > room:
        raise InvalidParameter(
            f"vxlan: mtu {wish.mtu} does not fit: {link.name if link else local} carries {room}"
        )
    overlay = Overlay(vni=wish.vni, port=wish.port, local=local, peers=peers)
    return overlay, wish.mtu or min(room, 65535)


def divide(
    subnet: IPv4Network | IPv6Network, local: IPAddress, peers: Iterable[IPAddress]
) -> IPv4Network | IPv6Network:
    """The part of the subnet that is this host's, the same on every host that knows the same hosts.

    Raises InvalidParameter when there is too little to divide."""
    hosts = sorted({local, *peers}, key=lambda item: (item.version, int(item)))
    bits = (len(hosts) - 1).bit_length()
    length = subnet.prefixlen + bits
    if length > subnet.max_prefixlen - 2:
        raise InvalidParameter(f"vxlan: subnet {subnet} is too small for {len(hosts)} hosts")
    size = 1 << (subnet.max_prefixlen - length)
    first = int(subnet.network_address) + hosts.index(local) * size
    return type(subnet)((first, length))
