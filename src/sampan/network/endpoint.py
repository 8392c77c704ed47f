"""A container's place in a network, as records keep it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)

from sampan.network.pools import mac_of

MARK = "sampan"
READY = "ready"
INSIDE_NAME = "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """All text and numbers, so that a record can hold it as it is."""

    network_id: str
    endpoint_id: str
    container_id: str
    address: str
    prefix: int
    gateway: str
    mac: str
    host_interface: str
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    inside_name: str = INSIDE_NAME

    @property
    def interfaces(self) -> list[IPv4Interface | IPv6Interface]:
        pairs = ((self.address, self.prefix), (self.address6, self.prefix6))
        return [ip_interface(f"{address}/{prefix}") for address, prefix in pairs if address]

    @property
    def addresses(self) -> list[IPv4Address | IPv6Address]:
        return [interface.ip for interface in self.interfaces]

    @property
    def gateways(self) -> list[IPv4Address | IPv6Address]:
        return [ip_address(text) for text in (self.gateway, self.gateway6) if text]


def build_endpoint(
    got: Mapping[int, IPv4Address | IPv6Address],
    gateways: Iterable[IPv4Interface | IPv6Interface | None],
    *,
    routed: bool,
    mac: str,
    **names: str,
) -> Endpoint:
    """`got`: an address of each family, by version; `gateways` with the lengths of their subnets.

    `names` are the endpoint's other fields. Not `routed`: there is no way out."""
    parts: dict[str, str | int] = {"address": "", "prefix": 0, "gateway": ""}
    for gateway in gateways:
        if gateway is not None:
            suffix = "6" if gateway.version == 6 else ""
            parts[f"address{suffix}"] = str(got[gateway.version])
            parts[f"prefix{suffix}"] = gateway.network.prefixlen
            parts[f"gateway{suffix}"] = str(gateway.ip) if routed else ""
    return Endpoint(mac=mac or mac_of(got[min(got)]), **parts, **names)  # type: ignore[arg-type]


def host_interface_name(container_id: str, endpoint_id: str) -> str:
    """For a pair made for this container; one that was made in advance has a random name.

    13 characters of the 15 that the kernel allows; the last 4 tell several networks apart.
    """
    return f"sv{container_id[:7]}{endpoint_id[:4]}"


def bridge_alias(bridge: str, owner: str = "") -> str:
    """What marks a bridge as made by us, and so as ours to change and to remove.

    `owner`: of a user's network, the daemon whose it is; it finds its orphans by that."""
    return f"{MARK}:{bridge}@{owner}" if owner else f"{MARK}:{bridge}"


def is_network_of(alias: str, owner: str) -> bool:
    """Whether a bridge (or other device) with this alias was made for a user's network of `owner`."""
    return alias.startswith(f"{MARK}:") and alias.endswith(f"@{owner}")


def link_alias(bridge: str, container_id: str) -> str:
    """The mark of a container's veth; the bridge tells the daemons of one host apart."""
    return f"{MARK}:{bridge}:{container_id}"


def owner(alias: str, bridge: str) -> str | None:
    """The container whose veth of `bridge` has this alias; None when it is no such veth."""
    start = f"{MARK}:{bridge}:"
    return alias[len(start) :] if alias.startswith(start) else None
