"""From a network's record to what the room makes of it, whichever its driver; when it is made, and restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import msgspec

from sampan.engine.network import drivers, plugs, vxlan
from sampan.engine.network.drivers import BRIDGED, IPVLAN, MACVLAN, VXLAN
from sampan.engine.network.parented import check_shared, parent_config, parent_of
from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.engine.network_config import pools
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.network.config import BridgeConfig
from sampan.network.pools import choose_subnet6


async def make(services: Services, record: NetworkRecord) -> NetworkRecord:
    """The record with the subnets that were chosen. Raises InvalidParameter, Conflict, SampanError."""
    record = with_subnet6(services, record)
    if record.driver == VXLAN:
        return await _make_across(services, record)
    avoid = [item for item in _used(services) if isinstance(item, IPv4Network)]
    if record.driver in BRIDGED:
        network = await services.networks.add_bridge(_bridge_config(services, record, avoid))
    else:
        config = parent_config(record, pools=pools(services.config), avoid=tuple(avoid))
        check_shared(config, [parent_config(other) for other in _parented(services)])
        network = await services.networks.add_parented(config)
    return _with_chosen(record, str(network.subnet), str(network.gateway))


async def make_again(services: Services, record: NetworkRecord) -> None:
    """After a restart of the daemon. Raises InvalidParameter, Conflict, SampanError."""
    if record.driver == VXLAN:
        await services.networks.add_bridge((await _across(services, record))[0])
    elif record.driver in BRIDGED:
        await services.networks.add_bridge(_bridge_config(services, record))
    else:
        await services.networks.add_parented(parent_config(record))


async def present(services: Services, record: NetworkRecord) -> None:
    """It is there, or is made now: what kept it from being restored (a link that came late, a name that nobody
    knew) may be over. Raises NotFound when it cannot be made, with the cause."""
    registry, room = services.network_records, services.networks
    if room.bridge(record.id) is not None or record.built_in or record.config_only:
        return
    async with registry.restoring:
        if room.bridge(record.id) is not None:
            return
        try:
            await make_again(services, record)
        except SampanError as error:
            text = f"network {record.name} not found: it could not be restored: {error}"
            raise NotFound(text) from error
        network = room.bridge(record.id)
        assert network is not None
        for container in services.containers.all():
            for endpoint in container.endpoints.values():
                if endpoint.network_id == record.id and endpoint.endpoint_id:
                    network.restore(plugs.to_room(container.id, endpoint))


def link_of(record: NetworkRecord) -> str:
    """The host's link that the network stands on."""
    if record.driver in (MACVLAN, IPVLAN):
        return parent_of(record)
    return drivers.bridge_name(record)


def with_subnet6(services: Services, record: NetworkRecord) -> NetworkRecord:
    if not record.ipv6 or any(":" in item.subnet for item in record.subnets):
        return record
    if record.driver == VXLAN:
        raise InvalidParameter("vxlan: an IPv6 --subnet is needed, the same on every host")
    subnet = choose_subnet6([item for item in _used(services) if isinstance(item, IPv6Network)])
    chosen = Subnet(subnet=str(subnet), gateway=str(subnet[1]), chosen=True)
    return msgspec.structs.replace(record, subnets=(*record.subnets, chosen))


def _with_chosen(record: NetworkRecord, subnet: str, gateway: str) -> NetworkRecord:
    settled = []
    if record.ipv4 and not any(":" not in item.subnet for item in record.subnets):
        settled.append(Subnet(subnet=subnet, gateway=gateway, chosen=True))
    for item in record.subnets:
        first = drivers.parse_subnet(item.subnet).network_address + 1
        settled.append(msgspec.structs.replace(item, gateway=item.gateway or str(first)))
    return msgspec.structs.replace(record, subnets=tuple(settled))


def _bridge_config(
    services: Services, record: NetworkRecord, avoid: Sequence[IPv4Network] = ()
) -> BridgeConfig:
    return drivers.bridge_config(
        record,
        mtu=services.config.mtu,
        forward=services.config.ip_forward,
        pools=pools(services.config),
        avoid=tuple(avoid),
    )


async def _make_across(services: Services, record: NetworkRecord) -> NetworkRecord:
    config, record = await _across(services, record)
    try:
        await services.networks.add_bridge(config)
    except BaseException:
        await services.networks.remove_bridge(config.network_id)
        raise
    return record


async def _across(services: Services, record: NetworkRecord) -> tuple[BridgeConfig, NetworkRecord]:
    """The bridge of a network across hosts, and its record with this host's part of the subnets."""
    wish = vxlan.wish_of(record)
    if not record.subnets:
        raise InvalidParameter("vxlan: --subnet is needed, the same on every host")
    overlay, mtu = await services.networks.settle_overlay(wish, record.local_address)
    record = vxlan.settled(record, overlay, by_name=bool(wish.name))
    config = drivers.bridge_config(record, mtu=mtu, forward=services.config.ip_forward)
    config = replace(config, mtu=mtu, overlay=overlay, peer_name=wish.name)
    return config, record


def _parented(services: Services) -> list[NetworkRecord]:
    return [
        item
        for item in services.network_records.all()
        if item.driver in (MACVLAN, IPVLAN) and not item.config_only
    ]


def _used(services: Services) -> list[IPv4Network | IPv6Network]:
    return [
        drivers.parse_subnet(item.subnet)
        for other in services.network_records.all()
        for item in other.subnets
    ]
