"""Networks across hosts (`-d vxlan`): what their options say, and this host's part of their subnets. Pure.

The options are the same on every host: `peers` may name this host too, `vni` is made of the network's name.
Each host gives addresses of a part of its own: of a list of hosts a part is taken by the place in it; where
the hosts are found by name, `--ip-range` says it. The first address of the part is the host's own.
"""

from __future__ import annotations

import zlib
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from sampan.engine.network.drivers import MTU, parse_subnet
from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.errors import InvalidParameter
from sampan.network.overlay import DEFAULT_PORT, Overlay, OverlayWish, divide

OPTIONS = ("peers", "vni", "port", "local", "device", "mtu", MTU)
BY_NAME = "dns:"
MAX_VNI = (1 << 24) - 1
MAX_PORT = 65534  # names are asked at the next one
MAX_PEERS = 256


def wish_of(record: NetworkRecord) -> OverlayWish:
    """Raises InvalidParameter."""
    options = record.options
    for key in options:
        if key not in OPTIONS and not key.startswith("com.docker."):
            raise InvalidParameter(
                f"vxlan: unknown option {key!r}: use one of {', '.join(OPTIONS)}"
            )
    text = options.get("peers", "")
    name = text.removeprefix(BY_NAME) if text.startswith(BY_NAME) else ""
    if not (name or text.removeprefix(BY_NAME)):
        raise InvalidParameter("vxlan: --opt peers=ADDRESS,… or peers=dns:NAME is needed")
    peers = () if name else _peers(text)
    local = _address(options["local"], "local") if options.get("local") else None
    mtu = options.get("mtu") or options.get(MTU) or ""
    return OverlayWish(
        vni=_number(options, "vni", _default_vni(record.name), 1, MAX_VNI),
        port=_number(options, "port", DEFAULT_PORT, 1, MAX_PORT),
        peers=peers,
        name=name,
        local=local,
        device=options.get("device", ""),
        mtu=_number({"mtu": mtu}, "mtu", 0, 576, 65535) if mtu else None,
    )


def settled(record: NetworkRecord, overlay: Overlay, *, by_name: bool) -> NetworkRecord:
    """With this host's part of each subnet. Raises InvalidParameter."""
    subnets = tuple(_part(item, overlay, by_name=by_name) for item in record.subnets)
    return msgspec.structs.replace(record, subnets=subnets, local_address=str(overlay.local))


def _part(item: Subnet, overlay: Overlay, *, by_name: bool) -> Subnet:
    if not item.ip_range and by_name:
        raise InvalidParameter(
            f"vxlan: peers that are found by name need --ip-range, the part of {item.subnet} that this "
            "host gives addresses from"
        )
    subnet = parse_subnet(item.subnet)
    part = (
        parse_subnet(item.ip_range)
        if item.ip_range
        else divide(subnet, overlay.local, overlay.peers)
    )
    first = part.network_address + (1 if part.num_addresses > 1 else 0)
    return msgspec.structs.replace(item, ip_range=str(part), gateway=item.gateway or str(first))


def _default_vni(name: str) -> int:
    """The same on every host, 1 .. 2^24-1."""
    return zlib.crc32(f"sampan network {name}".encode()) % MAX_VNI + 1


def _peers(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    found = tuple(dict.fromkeys(_address(item.strip(), "peer") for item in text.split(",")))
    if len(found) > MAX_PEERS:
        raise InvalidParameter(f"vxlan: {len(found)} peers, more than {MAX_PEERS}")
    return found


def _address(text: str, what: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidParameter(f"vxlan: {what} {text!r} is not an IP address") from None
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        raise InvalidParameter(f"vxlan: {what} {text} is not the address of a host")
    return address


def _number(options: dict[str, str], key: str, default: int, low: int, high: int) -> int:
    text = options.get(key, "")
    if not text:
        return default
    fits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_VNI))
    if not fits or not low <= int(text) <= high:
        raise InvalidParameter(f"vxlan: {key} must be between {low} and {high}, received: {text}")
    return int(text)
