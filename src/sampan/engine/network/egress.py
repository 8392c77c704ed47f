"""Egress policies of containers: the label that says one, and what the network room is told.

The label is the caller's alone: those of images in our name space count for nothing (`merge.py`).
"""

from __future__ import annotations

from sampan.engine.network.drivers import parse_subnet
from sampan.engine.network.records import BRIDGE, HOST
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import InvalidParameter
from sampan.network.egress import Egress, Link
from sampan.spec.container import ContainerConfig, HostConfig
from sampan.spec.egress import LABEL, parse


def check(config: ContainerConfig, host: HostConfig) -> None:
    """At the creation. Raises InvalidParameter."""
    text = (config.labels or {}).get(LABEL)
    if text is None:
        return
    try:
        parse(text)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
    if host.network_mode == HOST or host.network_mode.startswith("container:"):
        raise InvalidParameter(
            "conflicting options: an egress policy needs a network of the container's own, "
            f"and the network mode is {host.network_mode}"
        )


def policy_of(record: ContainerRecord) -> str | None:
    return record.labels.get(LABEL)


def check_network(record: ContainerRecord, name: str, driver: str) -> None:
    """Raises InvalidParameter for a network that passes by the host."""
    if policy_of(record) is not None and driver != "bridge":
        raise InvalidParameter(
            f"network {name} has the driver {driver}: egress policies hold in networks of the driver "
            "bridge only"
        )


def egress_of(services: Services, record: ContainerRecord) -> Egress | None:
    """With the places that the container has by now."""
    policy = policy_of(record)
    if policy is None:
        return None
    links = []
    for name, place in sorted(record.endpoints.items()):
        network = services.network_records.find(place.network_id)
        if network is None or not place.endpoint_id:
            continue
        links.append(
            Link(
                interface=place.host_interface,
                mac=place.mac,
                addresses=tuple(text for text in (place.address, place.address6) if text),
                subnets=tuple(str(parse_subnet(item.subnet)) for item in network.subnets),
                gateways=tuple(item.gateway for item in network.subnets if item.gateway),
                friendly=name != BRIDGE,
            )
        )
    return Egress(policy, tuple(links))
