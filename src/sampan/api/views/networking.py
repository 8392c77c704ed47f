"""A container's place in networks, as the API shows it (NetworkSettings, EndpointSettings, PortSummary)."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

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
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": bridge.address,
        "IPPrefixLen": bridge.prefix,
        "IPv6Gateway": "",
        "MacAddress": bridge.mac,
        "Networks": networks(record),
    }


def network_id(name: str) -> str:
    """Of a built-in network."""
    return hashlib.sha256(f"sampan network {name}".encode()).hexdigest()


def networks(record: ContainerRecord) -> dict[str, dict[str, Any]]:
    mode = record.host_config.network_mode
    if mode in BUILT_IN and not record.endpoints:
        known = network_id(mode) if record.state.alive else ""
        return {mode: endpoint_settings(record, mode, Endpoint(network_id=known))}
    return {name: endpoint_settings(record, name, item) for name, item in record.endpoints.items()}


def endpoint_settings(record: ContainerRecord, name: str, endpoint: Endpoint) -> dict[str, Any]:
    asked = (record.networking.endpoints_config or {}).get(name, _ASKED_NOTHING)
    return {
        "IPAMConfig": msgspec.to_builtins(asked.ipam_config) if asked.ipam_config else None,
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
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": asked.dns_names,
    }


def ports(record: ContainerRecord) -> dict[str, None]:
    """Ports that the container exposes, while it runs in a network of its own; none is published."""
    if not record.state.alive or not any(item.address for item in record.endpoints.values()):
        return {}
    return dict.fromkeys(sorted(record.config.exposed_ports or {}))


def ports_summary(record: ContainerRecord) -> list[dict[str, Any]]:
    found = []
    for port in ports(record):
        number, _, protocol = port.partition("/")
        if number.isdigit():
            found.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return found
