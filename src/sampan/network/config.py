"""What the daemon's configuration says about networks (`sampand` flags and daemon.json)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from sampan.errors import InvalidParameter
from sampan.network.overlay import Overlay

DEFAULT_BRIDGE = "sampan0"
NO_BRIDGE = "none"
DEFAULT_MTU = 1500


@dataclass(frozen=True, slots=True)
class Pool:
    """An address range that is cut into subnets of `size` bits."""

    base: IPv4Network
    size: int


DEFAULT_POOLS = (
    Pool(IPv4Network("172.17.0.0/16"), 16),
    Pool(IPv4Network("172.18.0.0/16"), 16),
    Pool(IPv4Network("172.19.0.0/16"), 16),
    Pool(IPv4Network("172.20.0.0/14"), 16),
    Pool(IPv4Network("172.24.0.0/14"), 16),
    Pool(IPv4Network("172.28.0.0/14"), 16),
    Pool(IPv4Network("192.168.0.0/16"), 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """`bridge` "none" means no default network. `ready`: how many namespaces are kept prepared.

    `state_file`, in the run folder: which interfaces forward because of us (`forwarding.py`); without
    one a daemon that comes back takes them for the administrator's. `publish_mode` "docker": published
    ports are forwarded before the host's INPUT rules; "host": they are relayed, so that those decide.
    `owner`: another name than the bridge's for the table.
    """

    bridge: str = DEFAULT_BRIDGE
    bip: IPv4Interface | None = None
    fixed_cidr: IPv4Network | None = None
    ipv6: bool = False
    fixed_cidr6: IPv6Network | None = None
    mtu: int = DEFAULT_MTU
    ip_forward: bool = True
    ip_masq: bool = True
    icc: bool = True
    pools: tuple[Pool, ...] = DEFAULT_POOLS
    ready: int = 3
    state_file: str = ""
    warden_socket: str = ""
    publish_mode: str = "docker"
    owner: str = ""

    def default_bridge(self) -> BridgeConfig:
        digest = hashlib.sha256(f"sampan bridge {self.bridge}".encode())
        return BridgeConfig(
            network_id=digest.hexdigest(),
            name="bridge",
            bridge=self.bridge,
            gateway=self.bip,
            allocation=self.fixed_cidr,
            gateway6=self._gateway6(digest.digest()) if self.ipv6 else None,
            mtu=self.mtu,
            masquerade=self.ip_masq,
            open=self.icc,
            forward=self.ip_forward,
            pools=self.pools,
            ready=self.ready,
        )

    def _gateway6(self, digest: bytes) -> IPv6Interface:
        """Of the subnet that was given, else of a unique local one (RFC 4193), the same each time."""
        number = int.from_bytes(b"\xfd" + digest[:5] + bytes(10), "big")
        subnet = self.fixed_cidr6 or IPv6Network((number, 64))
        return IPv6Interface((int(subnet.network_address) + 1, subnet.prefixlen))


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeConfig:
    """One network of the driver `bridge`. `gateway` None: the first free subnet of `pools`.

    `owner`: of a user's network, the daemon (`firewall.table_name`) whose it is; "" for the default
    bridge, which the administrator may have made. `reserved`: addresses that no container gets.
    `open`: containers reach each other. `avoid`: subnets that the pools must not give, besides what the host routes.
    Not `ipv4`: `gateway6` says all. `overlay`: the network goes on at other hosts,
    which are asked for by `peer_name`, where there is one, again and again.
    """

    network_id: str
    name: str
    bridge: str
    owner: str = ""
    gateway: IPv4Interface | None = None
    gateway6: IPv6Interface | None = None
    allocation: IPv4Network | None = None
    allocation6: IPv6Network | None = None
    reserved: tuple[IPv4Address | IPv6Address, ...] = ()
    mtu: int = DEFAULT_MTU
    masquerade: bool = True
    internal: bool = False
    open: bool = True
    forward: bool = True
    pools: tuple[Pool, ...] = ()
    avoid: tuple[IPv4Network, ...] = ()
    ready: int = 0
    ipv4: bool = True
    overlay: Overlay | None = None
    peer_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentConfig:
    """A network of the driver `macvlan` or `ipvlan`: containers beside the host, on a link of it.

    `kind` and `mode` are the kernel's; `flag`: of ipvlan. `parent` may be `LINK.VLAN`, which is made where
    it is missing; "": a link of its own that leads nowhere. Subnets are the lengths of the gateways.
    """

    network_id: str
    name: str
    owner: str = ""
    kind: str
    parent: str
    mode: str
    flag: str = "bridge"
    gateway: IPv4Interface | None = None
    gateway6: IPv6Interface | None = None
    allocation: IPv4Network | None = None
    allocation6: IPv6Network | None = None
    reserved: tuple[IPv4Address | IPv6Address, ...] = ()
    mtu: int | None = None
    internal: bool = False
    pools: tuple[Pool, ...] = ()
    avoid: tuple[IPv4Network, ...] = ()
    ipv4: bool = True


def parse_bip(text: str) -> IPv4Interface:
    """`--bip`: an address of the host with the length of its subnet. Raises InvalidParameter."""
    try:
        if "/" not in text:
            raise ValueError
        interface = IPv4Interface(text)
    except ValueError:
        raise InvalidParameter(f"invalid CIDR address: {text}") from None
    edges = (interface.network.network_address, interface.network.broadcast_address)
    if interface.network.prefixlen > 30 or interface.ip in edges:
        raise InvalidParameter(f"bip {text} leaves no address for a container or is none of a host")
    return interface


def parse_fixed_cidr(text: str) -> IPv4Network:
    """`--fixed-cidr`: the part of the bridge's subnet for containers. Raises InvalidParameter."""
    try:
        if "/" not in text:
            raise ValueError
        return IPv4Network(text, strict=False)
    except ValueError:
        raise InvalidParameter(f"invalid CIDR address: {text}") from None


def parse_pool(base: str, size: int) -> Pool:
    """One of `--default-address-pool`. Raises InvalidParameter."""
    try:
        network = IPv4Network(base, strict=False)
    except ValueError:
        raise InvalidParameter(f"invalid base pool {base!r}") from None
    if not network.prefixlen <= size <= 30:
        raise InvalidParameter(f"invalid pools provided: {base} cannot be cut into /{size}")
    return Pool(network, size)
