"""What a container is called by its neighbours in a network, and what it may ask itself."""

from __future__ import annotations

import os

from sampan.engine.network import egress
from sampan.engine.network.records import BUILT_IN
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import SampanError
from sampan.network.naming import NamedPlace, Naming
from sampan.spec.container import EndpointSettings


def dns_names(record: ContainerRecord, network: str) -> tuple[str, ...]:
    """Its name, its aliases, the beginning of its id and its hostname; the default bridge has no names."""
    if network in BUILT_IN:
        return ()
    aliases = _asked(record, network).aliases or []
    return tuple(
        dict.fromkeys(
            text for text in (record.name, *aliases, record.id[:12], record.config.hostname) if text
        )
    )


def has_names(record: ContainerRecord) -> bool:
    """Whether it has a name server of ours: in a network with names, or for the sake of an egress policy."""
    return any(name not in BUILT_IN for name in record.endpoints) or (
        bool(record.endpoints) and egress.policy_of(record) is not None
    )


def naming_of(services: Services, record: ContainerRecord) -> Naming:
    places, links, external = [], {}, False
    for name, endpoint in sorted(record.endpoints.items()):
        network = services.network_records.find(endpoint.network_id)
        external = external or (network is not None and not network.internal)
        names = dns_names(record, name)
        addresses = tuple(text for text in (endpoint.address, endpoint.address6) if text)
        if names and addresses:
            places.append(NamedPlace(endpoint.network_id, name, names, addresses))
        for link in _asked(record, name).links or []:
            target, _, alias = link.partition(":")
            links[alias or target] = _name(services, target)
    servers = record.host_config.dns or services.config.dns
    return Naming(
        places=tuple(places),
        links=links,
        servers=tuple(servers),
        external=external,
        egress=egress.egress_of(services, record),
    )


def _name(services: Services, target: str) -> str:
    """What a link's target is called in its networks, also when it was given by its id."""
    try:
        return services.containers.get(target).name
    except SampanError:
        return target  # not there, or not yet


async def serve(services: Services, record: ContainerRecord, netns_fd: int) -> None:
    """A name server for a container that has networks with names; nothing for others. Raises SampanError."""
    if has_names(record):
        await services.networks.serve_names(record.id, netns_fd, naming_of(services, record))


async def tell(services: Services, record: ContainerRecord) -> None:
    """Something has changed (a network, a name) of a container that may run."""
    if not record.state.alive:
        return
    if not has_names(record):
        await services.networks.forget_names(record.id)
        return
    try:
        fd = os.open(f"/proc/{record.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it ended meanwhile
    try:
        await serve(services, record, fd)
    finally:
        os.close(fd)


def _asked(record: ContainerRecord, network: str) -> EndpointSettings:
    return (record.networking.endpoints_config or {}).get(network) or EndpointSettings()
