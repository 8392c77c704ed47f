"""Networks as the API shows them."""

from __future__ import annotations

from typing import Any

from sampan.engine import times
from sampan.engine.network.query import members
from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services


def network_body(
    services: Services, record: NetworkRecord, *, containers: bool = False
) -> dict[str, Any]:
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": times.to_text(record.created) if record.created else times.ZERO,
        "Scope": "local",
        "Driver": record.driver,
        "EnableIPv4": record.ipv4,
        "EnableIPv6": record.ipv6,
        "IPAM": {
            "Driver": record.ipam_driver,
            "Options": record.ipam_options,
            "Config": [_subnet(item) for item in record.subnets],
        },
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": record.config_from},
        "ConfigOnly": record.config_only,
        "Containers": {item.id: _member(item, place) for item, place in members(services, record)}
        if containers
        else {},
        "Options": record.options,
        "Labels": record.labels,
    }


def _subnet(item: Subnet) -> dict[str, Any]:
    body: dict[str, Any] = {"Subnet": item.subnet}
    if item.ip_range:
        body["IPRange"] = item.ip_range
    if item.gateway:
        body["Gateway"] = item.gateway
    if item.auxiliary:
        body["AuxiliaryAddresses"] = item.auxiliary
    return body


def _member(record: ContainerRecord, place: Endpoint) -> dict[str, str]:
    return {
        "Name": record.name,
        "EndpointID": place.endpoint_id,
        "MacAddress": place.mac,
        "IPv4Address": f"{place.address}/{place.prefix}" if place.address else "",
        "IPv6Address": f"{place.address6}/{place.prefix6}" if place.address6 else "",
    }
