"""`docker network connect` and `disconnect`, of containers that run and of those that do not."""

from __future__ import annotations

import os

import msgspec

from sampan.engine import etc, settings
from sampan.engine.actor import Actor
from sampan.engine.network import egress, endpoint_options, names, ports, routing
from sampan.engine.network.making import present
from sampan.engine.network.plugs import (
    bridge_of,
    check_addresses,
    open_namespace,
    plug,
    port_addresses,
    take_out,
    to_room,
)
from sampan.engine.network.records import BRIDGE, HOST, NONE, NetworkRecord
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services
from sampan.errors import Conflict, Forbidden, InvalidParameter, NotFound, SampanError
from sampan.spec.container import EndpointIPAMConfig, EndpointSettings, NetworkingConfig


async def connect_network(
    services: Services, ref: str, container: str, wanted: EndpointSettings | None
) -> None:
    """Raises NotFound, InvalidParameter, Forbidden, Conflict, SampanError."""
    network = services.network_records.get(ref)
    actor = services.containers.actor(container)
    await actor.do(lambda: _connect(services, actor, network, wanted or EndpointSettings()))


async def disconnect_network(
    services: Services, ref: str, container: str, *, force: bool = False
) -> None:
    """Raises NotFound, Forbidden, SampanError."""
    network = services.network_records.get(ref)
    try:
        actor = services.containers.actor(container)
    except NotFound:
        if force:
            raise NotFound(f"endpoint {container} not found") from None
        raise
    await actor.do(lambda: _disconnect(services, actor, network))


def _check(record: ContainerRecord, network: NetworkRecord, verb: str) -> None:
    mode = record.host_config.network_mode
    if network.name == HOST:
        raise Forbidden(
            "container cannot be disconnected from host network or connected to host network"
        )
    if mode == HOST or mode.startswith("container:"):
        if mode == HOST and verb == "disconnect":
            raise Forbidden(
                "container cannot be disconnected from host network or connected to host network"
            )
        raise Forbidden(
            "container sharing network namespace with another container or host cannot be connected "
            "to any other network"
        )
    if network.name == NONE or mode == NONE:
        raise Forbidden(
            "container cannot be connected to multiple networks with one of the networks in private "
            "(none) mode"
        )
    if network.config_only:
        raise Forbidden(f"cannot connect container to configuration-only network {network.name}")


async def _connect(
    services: Services, actor: Actor, network: NetworkRecord, wanted: EndpointSettings
) -> None:
    record = actor.record
    _check(record, network, "connect")
    await present(services, network)
    egress.check_network(record, network.name, network.driver)
    _check_wanted(network, wanted)
    known = record.endpoints.get(network.name)
    if known is not None and (known.endpoint_id or not record.state.alive):
        raise Forbidden(
            f"endpoint with name {record.name} already exists in network {network.name}"
        )
    record = _with(record, network, Endpoint(network_id=network.id), wanted)
    if record.state.alive:
        record = await _plug(services, record, network)
    try:
        if record.state.alive and egress.policy_of(record) is not None:
            await _bring_up(services, record, network)
        actor.save(msgspec.structs.replace(record, unsettled=record.state.alive))
    except BaseException:
        if record.state.alive:
            place = record.endpoints[network.name]
            await take_out(services, record, network.name, place)
        raise
    await settle(services, actor)


async def _bring_up(services: Services, record: ContainerRecord, network: NetworkRecord) -> None:
    """The link of a container with an egress policy is down until its policy holds there."""
    await names.tell(services, record)
    place = record.endpoints[network.name]
    await bridge_of(services, network).bring_up(to_room(record.id, place))


def _check_wanted(network: NetworkRecord, wanted: EndpointSettings) -> None:
    endpoint_options.check(wanted)
    ipam = wanted.ipam_config or EndpointIPAMConfig()
    endpoint_options.check_texts(network.name, ipam)
    check_addresses(network, ipam)
    if wanted.mac_address:
        settings.check_mac(wanted.mac_address)
    if network.name == BRIDGE and wanted.aliases:
        raise InvalidParameter(
            "network-scoped alias is supported only for containers in user defined networks"
        )


def _with(
    record: ContainerRecord, network: NetworkRecord, endpoint: Endpoint, wanted: EndpointSettings
) -> ContainerRecord:
    asked = dict(record.networking.endpoints_config or {})
    asked[network.name] = wanted
    return msgspec.structs.replace(
        record,
        endpoints=record.endpoints | {network.name: endpoint},
        networking=NetworkingConfig(endpoints_config=asked),
    )


async def _plug(
    services: Services, record: ContainerRecord, network: NetworkRecord
) -> ContainerRecord:
    taken = {item.inside_name for item in record.endpoints.values() if item.endpoint_id}
    number = next(i for i in range(len(taken) + 1) if f"eth{i}" not in taken)
    try:
        fd = open_namespace(record)
    except FileNotFoundError:
        raise Conflict(f"container {record.id} is not running") from None
    try:
        endpoint = await plug(
            services,
            record,
            network,
            fd,
            inside_name=f"eth{number}",
            default_route=False,
            up=egress.policy_of(record) is None,
        )
    except OSError as error:
        raise SampanError(
            f"cannot connect container {record.id} to {network.name}: {error}"
        ) from error
    finally:
        os.close(fd)
    return msgspec.structs.replace(record, endpoints=record.endpoints | {network.name: endpoint})


async def _disconnect(services: Services, actor: Actor, network: NetworkRecord) -> None:
    record = actor.record
    known = record.endpoints.get(network.name)
    if network.name == HOST or record.host_config.network_mode == HOST:
        _check(record, network, "disconnect")
    if known is None:
        raise Forbidden(f"container {record.id} is not connected to network {network.name}")
    endpoints = {name: item for name, item in record.endpoints.items() if name != network.name}
    asked = dict(record.networking.endpoints_config or {})
    asked.pop(network.name, None)
    before = record
    record = msgspec.structs.replace(
        record,
        endpoints=endpoints,
        networking=NetworkingConfig(endpoints_config=asked),
        unsettled=record.state.alive,
    )
    actor.save(record)  # the row first: a link without one is an orphan to the next daemon
    try:
        if known.endpoint_id:
            await take_out(services, record, network.name, known)
    except BaseException:
        actor.save(before)
        raise
    await settle(services, actor)


async def settle(services: Services, actor: Actor) -> None:
    """Default route, /etc files and published ports as the networks are now, if that is not done yet."""
    record = actor.record
    if not record.unsettled:
        return
    await routing.route(services, record)
    etc.write_hosts(services, record)
    etc.write_resolv_conf(services, record)
    await names.tell(services, record)
    if record.ports:
        held = ports.to_held(record.ports)
        await services.networks.open_ports(record.id, held, port_addresses(services, record))
    actor.save(msgspec.structs.replace(actor.record, unsettled=False))
