"""Options of the driver for a container's place in a network: its interface's name and kernel settings. Pure.

    com.docker.network.endpoint.ifname=web0
    com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,…      IFNAME stands for that name

Other names are other drivers' affair: they are kept and shown, as by docker.
"""

from __future__ import annotations

import re

from sampan.errors import InvalidParameter
from sampan.spec.container import EndpointSettings

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
    if asked.ipam_config is not None and asked.ipam_config.link_local_i_ps:
        raise InvalidParameter("link-local addresses of an endpoint are not supported")
