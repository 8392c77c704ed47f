"""A container's place in a network, as records keep it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

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

    @property
    def interface(self) -> IPv4Interface:
        return IPv4Interface(f"{self.address}/{self.prefix}")

    @property
    def ip(self) -> IPv4Address:
        return IPv4Address(self.address)


def host_interface_name(container_id: str, endpoint_id: str) -> str:
    """For a pair made for this container; one that was made in advance has a random name.

    13 characters of the 15 that the kernel allows; the last 4 tell several networks apart.
    """
    return f"sv{container_id[:7]}{endpoint_id[:4]}"


def bridge_alias(bridge: str) -> str:
    """What marks a bridge as made by us, and so as ours to change and to remove."""
    return f"{MARK}:{bridge}"


def link_alias(bridge: str, container_id: str) -> str:
    """The mark of a container's veth; the bridge tells the daemons of one host apart."""
    return f"{MARK}:{bridge}:{container_id}"


def owner(alias: str, bridge: str) -> str | None:
    """The container whose veth of `bridge` has this alias; None when it is no such veth."""
    start = f"{MARK}:{bridge}:"
    return alias[len(start) :] if alias.startswith(start) else None
