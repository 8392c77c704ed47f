"""A container's places in networks: plugged in at its start and by `connect`, given back at its end."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from ipaddress import ip_address

from sampan.engine.doors import Bridge
from sampan.engine.network import endpoint_options, names, ports
from sampan.engine.network.drivers import BRIDGED, parse_subnet
from sampan.engine.network.events import tell
from sampan.engine.network.records import NetworkRecord
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.network import endpoint as room
from sampan.spec.container import EndpointIPAMConfig, EndpointSettings

log = logging.getLogger(__name__)

_NOTHING = EndpointSettings()


def to_room(container_id: str, endpoint: Endpoint) -> room.Endpoint:
    values = {name: getattr(endpoint, name) for name in Endpoint.__struct_fields__}
    return room.Endpoint(container_id=container_id, **values)


def from_room(endpoint: room.Endpoint) -> Endpoint:
    return Endpoint(**{name: getattr(endpoint, name) for name in Endpoint.__struct_fields__})


def asked(record: ContainerRecord, name: str) -> EndpointSettings:
    """What the user said about the container's place in this network."""
    return (record.networking.endpoints_config or {}).get(name) or _NOTHING


def network_of(services: Services, name: str, endpoint: Endpoint) -> NetworkRecord:
    """By its name, which survives that the network is made anew. Raises NotFound."""
    found = services.network_records.named(name)
    return found or services.network_records.get(endpoint.network_id or name)


def bridge_of(services: Services, network: NetworkRecord) -> Bridge:
    """Raises NotFound when the room has no such network (any more)."""
    bridge = services.networks.bridge(network.id)
    if bridge is None:
        raise NotFound(f"network {network.name} not found")
    return bridge


def in_order(services: Services, record: ContainerRecord) -> list[str]:
    """The first is `eth0`: the network of `--network`, then the others by name."""
    main = record.host_config.network_mode
    found = services.network_records.find(main)
    name = found.name if found else main
    return sorted(record.endpoints, key=lambda each: (each != name, each))


def gateway_network(services: Services, record: ContainerRecord, names: Iterable[str]) -> str:
    """Which network the default route goes through: the highest priority, then the first by name.

    Internal networks have no way out; "" when all are."""
    candidates = []
    for name in names:
        network = services.network_records.named(name)
        if network is not None and not network.internal:
            candidates.append((-asked(record, name).gw_priority, name))
    return min(candidates)[1] if candidates else ""


async def plug(
    services: Services,
    record: ContainerRecord,
    network: NetworkRecord,
    netns_fd: int,
    *,
    inside_name: str,
    default_route: bool,
    up: bool = True,
) -> Endpoint:
    """Raises InvalidParameter, Conflict, SampanError in Docker's words."""
    bridge = bridge_of(services, network)
    wanted = asked(record, network.name)
    ipam = wanted.ipam_config or EndpointIPAMConfig()
    check_addresses(network, ipam)
    inside_name = endpoint_options.interface_name(wanted) or inside_name
    settings = endpoint_options.interface_settings(wanted, inside_name)
    plugged = await bridge.plug(
        record.id,
        netns_fd,
        mac=wanted.mac_address.replace("-", ":").lower(),
        address=ipam.i_pv4_address,
        address6=ipam.ipv6_address,
        inside_name=inside_name,
        default_route=default_route,
        up=up,
    )
    more = [(inside_name, address) for address in endpoint_options.link_local(wanted)]
    if settings or more:
        try:
            await services.networks.set_inside(netns_fd, settings, more)
        except OSError as error:
            await bridge.release(plugged)
            what = error.filename or "the addresses of the interface"
            raise SampanError(f"failed to set {what}: {error.strerror}") from error
    tell(services, network, "connect", record.id)
    return from_room(plugged)


def check_addresses(network: NetworkRecord, ipam: EndpointIPAMConfig) -> None:
    """`--ip`: only where the user has chosen the subnet, and only one of it. Raises InvalidParameter."""
    for text, version in ((ipam.i_pv4_address, 4), (ipam.ipv6_address, 6)):
        if not text:
            continue
        address = ip_address(text)
        own = [item for item in network.subnets if parse_subnet(item.subnet).version == version]
        if network.built_in:
            raise InvalidParameter(
                "user specified IP address is supported on user defined networks only"
            )
        if not own or own[0].chosen:
            raise InvalidParameter(
                "user specified IP address is supported only when connecting to networks with "
                "user configured subnets"
            )
        if address not in parse_subnet(own[0].subnet):
            raise InvalidParameter(
                f"Invalid address {text}: It does not belong to any of this network's subnets"
            )


async def unplug(services: Services, container_id: str, name: str, endpoint: Endpoint) -> None:
    """The container ended, or was never there. Raises SampanError."""
    bridge = services.networks.bridge(endpoint.network_id)
    if bridge is not None and endpoint.endpoint_id:
        await bridge.release(to_room(container_id, endpoint))
    _tell_gone(services, container_id, endpoint)


async def take_out(
    services: Services, record: ContainerRecord, name: str, endpoint: Endpoint
) -> None:
    """The container goes on, and loses this link. Raises SampanError."""
    bridge = services.networks.bridge(endpoint.network_id)
    if bridge is not None and endpoint.endpoint_id:
        try:
            fd = open_namespace(record)
        except FileNotFoundError:  # it ended meanwhile, and took its links along
            await bridge.release(to_room(record.id, endpoint))
        else:
            try:
                await bridge.unplug(to_room(record.id, endpoint), fd)
            finally:
                os.close(fd)
    _tell_gone(services, record.id, endpoint)


def _tell_gone(services: Services, container_id: str, endpoint: Endpoint) -> None:
    network = services.network_records.find(endpoint.network_id)
    if network is not None:
        tell(services, network, "disconnect", container_id)


async def release(services: Services, record: ContainerRecord) -> None:
    """Give everything back, and say so. A failure is logged: the container is gone all the same."""
    if record.ports:
        await _quietly(record, services.networks.close_ports(record.id))
    for name, endpoint in record.endpoints.items():
        if endpoint.endpoint_id:
            await _quietly(record, unplug(services, record.id, name, endpoint))
    # The links first: others may be in its namespace, and its egress policy holds them too.
    await _quietly(record, services.networks.forget_names(record.id))


async def _quietly(record: ContainerRecord, work: object) -> None:
    try:
        await work  # type: ignore[misc]
    except SampanError as error:
        log.error("container %s: %s", record.id[:12], error)


async def restore(services: Services, record: ContainerRecord) -> None:
    """After a restart of the daemon: the addresses and ports of a container that runs are taken."""
    for endpoint in record.endpoints.values():
        bridge = services.networks.bridge(endpoint.network_id)
        if bridge is None or not endpoint.endpoint_id:
            continue
        try:
            bridge.restore(to_room(record.id, endpoint))
        except SampanError as error:  # it runs all the same, and is better looked after than not
            log.error("container %s: %s", record.id[:12], error)
    if record.ports:
        try:
            await services.networks.restore_ports(
                record.id, ports.to_held(record.ports), port_addresses(services, record)
            )
        except Exception as error:
            log.error("container %s: its ports are not held: %s", record.id[:12], error)
    try:
        await names.tell(services, record)
    except Exception as error:
        log.error("container %s: it finds no names: %s", record.id[:12], error)


def publishes(services: Services, record: ContainerRecord) -> bool:
    """Whether published ports lead anywhere: they need one of this host's bridges."""
    return bool(_bridged(services, record))


def _bridged(services: Services, record: ContainerRecord) -> list[str]:
    return [
        name
        for name in record.endpoints
        if (network := services.network_records.named(name)) and network.driver in BRIDGED
    ]


def port_addresses(services: Services, record: ContainerRecord) -> list[str]:
    """Where published ports go: the container's addresses in the network of its default route, or, where
    that one is none of this host's bridges, in another that is."""
    name = gateway_network(services, record, record.endpoints)
    bridged = _bridged(services, record)
    if name not in bridged:
        name = gateway_network(services, record, bridged)
    endpoint = record.endpoints.get(name, Endpoint())
    return [text for text in (endpoint.address, endpoint.address6) if text]


def open_namespace(record: ContainerRecord) -> int:
    """The network namespace of a container that runs. Raises FileNotFoundError when it does not."""
    return os.open(f"/proc/{record.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
