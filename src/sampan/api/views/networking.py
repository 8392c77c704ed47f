"""A container's place in networks, as the API shows it (NetworkSettings, EndpointSettings, PortSummary)."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.engine.network.names import dns_names
from sampan.engine.network.ports import bindings
from sampan.engine.network.records import built_in_id
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.spec.container import EndpointSettings

_NONE = Endpoint()
BUILT_IN = ("host", "none")  # networks without addresses: they are always there
_ASKED_NOTHING = EndpointSettings()


def network_settings(record: ContainerRecord) -> dict[str, Any]:
    bridge = record.endpoints.get("bridge", _NONE)
    alive = record.state.alive
    own = not record.host_config.network_mode.startswith(("host", "container:"))
    return {
        "Bridge": "",
        "SandboxID": record.id if alive and own else "",
        # The kernel's own name of the network namespace; no mount is kept for it.
        "SandboxKey": f"/proc/{record.pid}/ns/net" if alive and own else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports(record),
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": bridge.endpoint_id,
        "Gateway": bridge.gateway,
        "GlobalIPv6Address": bridge.address6,
        "GlobalIPv6PrefixLen": bridge.prefix6,
        "IPAddress": bridge.address,
        "IPPrefixLen": bridge.prefix,
        "IPv6Gateway": bridge.gateway6,
        "MacAddress": bridge.mac,
        "Networks": networks(record),
    }


def networks(record: ContainerRecord) -> dict[str, dict[str, Any]]:
    mode = record.host_config.network_mode
    if mode in BUILT_IN and not record.endpoints:
        known = built_in_id(mode) if record.state.alive else ""
        return {mode: endpoint_settings(record, mode, Endpoint(network_id=known))}
    return {
        name: endpoint_settings(record, name, item)
        for name, item in sorted(record.endpoints.items())
    }


def endpoint_settings(record: ContainerRecord, name: str, endpoint: Endpoint) -> dict[str, Any]:
    asked = (record.networking.endpoints_config or {}).get(name, _ASKED_NOTHING)
    return {
        "IPAMConfig": _ipam(asked),
        "Links": asked.links,
        "Aliases": asked.aliases,
        "MacAddress": endpoint.mac,
        "DriverOpts": asked.driver_opts,
        "GwPriority": asked.gw_priority,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.endpoint_id,
        "Gateway": endpoint.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": endpoint.prefix,
        "IPv6Gateway": endpoint.gateway6,
        "GlobalIPv6Address": endpoint.address6,
        "GlobalIPv6PrefixLen": endpoint.prefix6,
        "DNSNames": list(dns_names(record, name)) or None,
    }


def _ipam(asked: EndpointSettings) -> dict[str, Any] | None:
    if asked.ipam_config is None:
        return None
    return {key: value for key, value in msgspec.to_builtins(asked.ipam_config).items() if value}


def ports(record: ContainerRecord) -> dict[str, list[dict[str, str]] | None]:
    """Ports while it runs in a network of its own; None for those that are exposed only."""
    if not record.state.alive or not any(item.address for item in record.endpoints.values()):
        return {}
    found: dict[str, list[dict[str, str]] | None] = dict.fromkeys(record.config.exposed_ports or {})
    for port, places in bindings(record.ports).items():
        found[port] = [{"HostIp": address, "HostPort": str(number)} for address, number in places]
    return {port: found[port] for port in sorted(found)}


def ports_summary(record: ContainerRecord) -> list[dict[str, Any]]:
    found = []
    for port, places in ports(record).items():
        number, _, protocol = port.partition("/")
        if not number.isdigit():
            continue
        if places is None:
            found.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
        for place in places or ():
            found.append(
                {
                    "IP": place["HostIp"],
                    "PrivatePort": int(number),
                    "PublicPort": int(place["HostPort"]),
                    "Type": protocol,
                }
            )
    return found
