"""`sampan ports`: the published ports of all containers, and who can reach them."""

from __future__ import annotations

from typing import Any

from sampan.engine.network.ports import to_held
from sampan.engine.services import Services
from sampan.network.exposure import Exposure, Way
from sampan.network.warden.holds import Held

_WORDS = {True: "yes", False: "no", None: "depends"}


async def list_ports(services: Services, *, exposed: bool) -> list[dict[str, Any]]:
    """In the order of names and ports. Raises SampanError where the rules cannot be read."""
    ports = [
        ({"ID": record.id, "Name": record.name}, held)
        for record in sorted(services.containers.all(), key=lambda each: each.name)
        if record.state.alive
        for held in sorted(to_held(record.ports), key=lambda each: (each.host_port, each.address))
    ]
    if not exposed:
        return [about | _port(held) for about, held in ports]
    # All at once: the host's rules are read for it.
    found = await services.networks.expose([held for _, held in ports]) if ports else []
    return [
        about | _port(each.held) | _exposure(each)
        for (about, _), parts in zip(ports, found, strict=True)
        for each in parts
    ]


def _port(held: Held) -> dict[str, Any]:
    return {
        "Protocol": held.protocol,
        "HostIp": held.address,
        "HostPort": _range(held.host_port, held.count),
        "ContainerPort": _range(held.container_port, held.count),
    }


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def _exposure(exposure: Exposure) -> dict[str, Any]:
    return {
        "Reach": exposure.reach,
        "Rule": exposure.rule,
        "Way": "forwarded" if exposure.forwarded else "relayed",
        "Interfaces": [_way(way) for way in exposure.ways],
    }


def _way(way: Way) -> dict[str, Any]:
    return {
        "Name": way.interface.name,
        "Kind": way.interface.kind,
        "Addresses": list(way.interface.addresses),
        "Reach": _WORDS[way.passes],
        "Rule": way.rule,
    }
