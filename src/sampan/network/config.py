"""What the daemon's configuration says about networks (`sampand` flags and daemon.json)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from sampan.errors import InvalidParameter

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
    one a daemon that comes back takes them for the administrator's.
    """

    bridge: str = DEFAULT_BRIDGE
    bip: IPv4Interface | None = None
    fixed_cidr: IPv4Network | None = None
    mtu: int = DEFAULT_MTU
    ip_forward: bool = True
    ip_masq: bool = True
    pools: tuple[Pool, ...] = DEFAULT_POOLS
    ready: int = 3
    state_file: str = ""


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
