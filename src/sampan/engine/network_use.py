"""A container's place in networks: its record's endpoints and the network room's, and what events say of them."""

from __future__ import annotations

import logging

from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services
from sampan.errors import SampanError
from sampan.network import endpoint as network

log = logging.getLogger(__name__)


def to_network(container_id: str, endpoint: Endpoint) -> network.Endpoint:
    return network.Endpoint(
        network_id=endpoint.network_id,
        endpoint_id=endpoint.endpoint_id,
        container_id=container_id,
        address=endpoint.address,
        prefix=endpoint.prefix,
        gateway=endpoint.gateway,
        mac=endpoint.mac,
        host_interface=endpoint.host_interface,
    )


def from_network(endpoint: network.Endpoint) -> Endpoint:
    return Endpoint(
        network_id=endpoint.network_id,
        endpoint_id=endpoint.endpoint_id,
        address=endpoint.address,
        prefix=endpoint.prefix,
        gateway=endpoint.gateway,
        mac=endpoint.mac,
        host_interface=endpoint.host_interface,
    )


async def release(services: Services, record: ContainerRecord) -> None:
    """Give the addresses back, and say so. A failure is logged: the container is gone all the same."""
    bridge = services.networks.default
    for name, endpoint in record.endpoints.items():
        if not endpoint.endpoint_id:
            continue
        if bridge is not None:
            try:
                await bridge.release(to_network(record.id, endpoint))
            except SampanError as error:
                log.error("container %s: %s", record.id[:12], error)
        tell(services, record.id, name, endpoint.network_id, "disconnect")


def restore(services: Services, record: ContainerRecord) -> None:
    """After a restart of the daemon: the addresses of a container that runs are taken."""
    bridge = services.networks.default
    for endpoint in record.endpoints.values():
        if bridge is None or not endpoint.endpoint_id:
            continue
        try:
            bridge.restore(to_network(record.id, endpoint))
        except SampanError as error:  # it runs all the same, and is better looked after than not
            log.error("container %s: %s", record.id[:12], error)


def tell(services: Services, container_id: str, name: str, network_id: str, action: str) -> None:
    details = {"container": container_id, "name": name, "type": "bridge"}
    services.events.emit("network", action, network_id, details)
