"""Options of the driver for a container's place in a network: its interface's name and kernel settings. Pure.

    com.docker.network.endpoint.ifname=web0
    com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,…      IFNAME stands for that name

Other names are other drivers' affair: they are kept and shown, as by docker.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from sampan.errors import InvalidParameter
from sampan.spec.container import EndpointIPAMConfig, EndpointSettings

_NAME = "com.docker.network.endpoint.ifname"
_SYSCTLS = "com.docker.network.endpoint.sysctls"
_SETTING = re.compile(r"net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.([a-z0-9_]+)=([ -~]{1,64})")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", re.ASCII)

Setting = tuple[tuple[str, ...], str]
"""The parts of a name below /proc/sys, and the value."""


def interface_name(asked: EndpointSettings) -> str:
    """What the interface is to be called inside; "" when nothing is said. Raises InvalidParameter."""
    name = (asked.driver_opts or {}).get(_NAME, "")
    if name and (not _INTERFACE.fullmatch(name) or name in ("lo", "all", "default")):
        raise InvalidParameter(f"invalid interface name: {name}")
    return name


def interface_settings(asked: EndpointSettings, interface: str) -> list[Setting]:
    """Raises InvalidParameter."""
    found: list[Setting] = []
    text = (asked.driver_opts or {}).get(_SYSCTLS, "")
    for each in text.split(",") if text else ():
        match = _SETTING.fullmatch(each.strip().replace("/", "."))
        if match is None:
            raise InvalidParameter(f"invalid endpoint sysctl setting: {each.strip()}")
        family, kind, setting, value = match.groups()
        found.append((("net", family, kind, interface, setting), value))
    return found


def check(asked: EndpointSettings) -> None:
    """Raises InvalidParameter."""
    interface_settings(asked, interface_name(asked))


def link_local(asked: EndpointSettings) -> list[IPv4Interface | IPv6Interface]:
    """Addresses that the interface has besides, with the lengths of their classes as docker gives them.

    That they are addresses was checked when the container was made."""
    found: list[IPv4Interface | IPv6Interface] = []
    for text in (asked.ipam_config.link_local_i_ps if asked.ipam_config else None) or ():
        address = ip_address(text)
        length = 64 if address.version == 6 else _class_length(int(address) >> 24)
        found.append(ip_interface(f"{address}/{length}"))
    return found


def _class_length(first: int) -> int:
    return 8 if first < 128 else 16 if first < 192 else 24


def check_texts(name: str, ipam: EndpointIPAMConfig) -> None:
    """`name`: the network's. Raises InvalidParameter for what are no addresses."""
    wrong = [
        f"invalid IPv{version} address: {text}"
        for text, version in ((ipam.i_pv4_address, 4), (ipam.ipv6_address, 6))
        if text and not _is_address(text, version)
    ]
    wrong += [
        f"invalid link-local IP address: {text}"
        for text in ipam.link_local_i_ps or ()
        if not (_is_address(text, 4) or _is_address(text, 6))
    ]
    if wrong:
        raise InvalidParameter(
            f"invalid config for network {name}: invalid endpoint settings:\n" + "\n".join(wrong)
        )


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False
