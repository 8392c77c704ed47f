"""What each driver takes: its options, checked, and the room's configuration from a record. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

import msgspec

from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.errors import Forbidden, InvalidParameter, NotFound
from sampan.network.config import BridgeConfig, Pool

VXLAN, MACVLAN, IPVLAN = "vxlan", "macvlan", "ipvlan"
BRIDGED = ("bridge", VXLAN)  # where containers are ports of a bridge of this host
DRIVERS = (*BRIDGED, MACVLAN, IPVLAN, "host", "null")
_BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
IPV4, IPV6 = "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"
NAME = _BRIDGE + "name"
MASQUERADE = _BRIDGE + "enable_ip_masquerade"
ICC = _BRIDGE + "enable_icc"
HOST_BINDING = _BRIDGE + "host_binding_ipv4"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def check_driver(name: str) -> None:
    """Raises NotFound, Forbidden."""
    if name not in DRIVERS:
        raise NotFound(f'plugin "{name}" not found')
    if name in ("host", "null"):
        raise Forbidden(f'only one instance of "{name}" network is allowed')


def flag(options: dict[str, str], key: str, *, default: bool) -> bool:
    text = options.get(key)
    if text is None or text == "":
        return default
    if text not in _TRUE + _FALSE:
        raise InvalidParameter(
            f"failed to parse {key} value: {text} "
            f'(strconv.ParseBool: parsing "{text}": invalid syntax)'
        )
    return text in _TRUE


def mtu_of(options: dict[str, str], default: int) -> int:
    text = options.get(MTU, "")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise InvalidParameter(
            f'failed to parse {MTU} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)'
        )
    if not 68 <= int(text) <= 65535:
        raise InvalidParameter(f"invalid MTU number: {int(text)}")
    return int(text)


def bridge_name(record: NetworkRecord) -> str:
    return record.options.get(NAME) or f"br-{record.id[:12]}"


def with_defaults(
    record: NetworkRecord,
    defaults: Mapping[str, Mapping[str, str]],
    *,
    ipv6_said: bool = False,
) -> NetworkRecord:
    """With the options that the daemon gives to networks of this driver, and the families that options switch.

    What the user said stands; `ipv6_said`: about IPv6, one way or the other. Raises InvalidParameter."""
    if record.config_only:
        return record
    options = {**defaults.get(record.driver, {}), **record.options}
    return msgspec.structs.replace(
        record,
        options=options,
        ipv4=record.ipv4 and flag(options, IPV4, default=True),
        ipv6=record.ipv6 or (not ipv6_said and flag(options, IPV6, default=False)),
    )


def check_families(record: NetworkRecord) -> None:
    """Raises InvalidParameter."""
    if record.config_only:
        return
    versions = {parse_subnet(item.subnet).version for item in record.subnets}
    if not (record.ipv4 or record.ipv6):
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    if 4 in versions and not record.ipv4:
        raise InvalidParameter("IPv4 is disabled, but an IPv4 subnet was given")


def check_subnets(subnets: tuple[Subnet, ...]) -> None:
    """Each of them, and against each other. Raises InvalidParameter."""
    seen: list[IPv4Network | IPv6Network] = []
    for item in subnets:
        network = parse_subnet(item.subnet)
        if any(network.version == other.version for other in seen):
            raise InvalidParameter("bridge driver doesn't support multiple subnets")
        seen.append(network)
        for text, what in (
            (item.gateway, "gateway"),
            *((a, "auxiliary address") for a in item.auxiliary.values()),
        ):
            if text and _address(text, what) not in network:
                raise InvalidParameter(f"no matching subnet for {what} {text}")
        if item.ip_range:
            part = parse_subnet(item.ip_range)
            if part.version != network.version or not _within(part, network):
                raise InvalidParameter(f"no matching subnet for range {item.ip_range}")


def parse_subnet(text: str) -> IPv4Network | IPv6Network:
    try:
        if "/" not in text:
            raise ValueError
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(f"Invalid subnet {text} : invalid CIDR address: {text}") from None


def _address(text: str, what: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidParameter(f"invalid {what} address {text}") from None


def _within(part: IPv4Network | IPv6Network, whole: IPv4Network | IPv6Network) -> bool:
    return part.network_address in whole and part.broadcast_address in whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """What the subnets of a record say, whichever driver it has."""

    gateway: IPv4Interface | None = None
    gateway6: IPv6Interface | None = None
    allocation: IPv4Network | None = None
    allocation6: IPv6Network | None = None
    reserved: tuple[IPv4Address | IPv6Address, ...] = ()


def addressing(record: NetworkRecord) -> Addressing:
    found: dict[str, Any] = {}
    reserved: list[IPv4Address | IPv6Address] = []
    for item in record.subnets:
        network = parse_subnet(item.subnet)
        suffix = "" if network.version == 4 else "6"
        address = item.gateway or str(network.network_address + 1)
        found[f"gateway{suffix}"] = ip_interface(f"{address}/{network.prefixlen}")
        if item.ip_range:
            found[f"allocation{suffix}"] = parse_subnet(item.ip_range)
        reserved += [ip_address(text) for text in item.auxiliary.values()]
    return Addressing(reserved=tuple(reserved), **found)


def bridge_config(
    record: NetworkRecord,
    *,
    mtu: int,
    forward: bool,
    pools: tuple[Pool, ...] = (),
    avoid: tuple[IPv4Network, ...] = (),
) -> BridgeConfig:
    """`pools`: where the subnet comes from when the record has none."""
    place = addressing(record)
    return BridgeConfig(
        network_id=record.id,
        name=record.name,
        bridge=bridge_name(record),
        gateway=place.gateway,
        gateway6=place.gateway6,
        allocation=place.allocation,
        allocation6=place.allocation6,
        reserved=place.reserved,
        mtu=mtu_of(record.options, mtu),
        masquerade=flag(record.options, MASQUERADE, default=True),
        internal=record.internal,
        open=flag(record.options, ICC, default=True),
        forward=forward,
        pools=pools,
        avoid=avoid,
        ipv4=record.ipv4,
    )
