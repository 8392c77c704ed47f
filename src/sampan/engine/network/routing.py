"""The default route of a container that runs, after its networks have changed."""

from __future__ import annotations

import os

from sampan.engine.network.plugs import gateway_network, open_namespace
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services


async def route(services: Services, record: ContainerRecord) -> None:
    name = gateway_network(services, record, record.endpoints)
    endpoint = record.endpoints.get(name)
    try:
        fd = open_namespace(record)
    except FileNotFoundError:
        return  # it ended meanwhile
    try:
        gateways = [] if endpoint is None else [endpoint.gateway, endpoint.gateway6]
        await services.networks.set_default_route(fd, [text for text in gateways if text])
    finally:
        os.close(fd)
