"""`docker network create` and its restoration: a record, and what the room makes of it."""

from __future__ import annotations

import logging
import os
import re
from ipaddress import IPv4Network, IPv6Network

import msgspec

from sampan.engine.network import drivers
from sampan.engine.network.events import tell
from sampan.engine.network.records import BUILT_IN, NetworkRecord, Subnet, built_in
from sampan.engine.network_config import pools
from sampan.engine.services import Services
from sampan.errors import Forbidden, InvalidParameter, SampanError
from sampan.network.config import BridgeConfig
from sampan.network.pools import choose_subnet6

log = logging.getLogger(__name__)

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,255}")


async def create_network(services: Services, wanted: NetworkRecord) -> NetworkRecord:
    """`wanted` without id and time. Raises InvalidParameter, Forbidden, NotFound, Conflict, SampanError."""
    if not wanted.name.strip() or not _NAME.fullmatch(wanted.name):
        raise InvalidParameter(
            "invalid network name: name is empty"
            if not wanted.name.strip()
            else f"invalid network name: {wanted.name!r}"
        )
    if wanted.name in (*BUILT_IN, "default"):
        raise Forbidden(f"operation is not permitted on predefined {wanted.name} network")
    registry = services.network_records
    with registry.reserved(wanted.name):
        record = msgspec.structs.replace(
            _configured(services, wanted), id=os.urandom(32).hex(), created=services.clock.now()
        )
        if not record.config_only:
            drivers.check_driver(record.driver)
        drivers.check_subnets(record.subnets)
        _check_overlaps(services, record)
        if not record.config_only:
            record = await _make(services, record)
        try:
            registry.put(record)
        except BaseException:
            await services.networks.remove_bridge(record.id)
            raise
    tell(services, record, "create")
    return record


def _configured(services: Services, wanted: NetworkRecord) -> NetworkRecord:
    """With the configuration of the network that it names."""
    if wanted.config_only:
        if wanted.config_from:
            raise InvalidParameter(
                "configuration-only networks cannot depend on another configuration network"
            )
        return msgspec.structs.replace(wanted, driver="null")
    if not wanted.config_from:
        return wanted
    source = services.network_records.find(wanted.config_from)
    if source is None or not source.config_only:
        raise InvalidParameter(f"configuration network {wanted.config_from!r} does not exist")
    if wanted.subnets or wanted.options or wanted.ipv6:
        raise InvalidParameter(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    return msgspec.structs.replace(
        wanted,
        ipv6=source.ipv6,
        subnets=source.subnets,
        options=dict(source.options),
        labels={**source.labels, **wanted.labels},
    )


def _check_overlaps(services: Services, record: NetworkRecord) -> None:
    others = [
        drivers.parse_subnet(item.subnet)
        for other in services.network_records.all()
        if not other.config_only
        for item in other.subnets
    ]
    for item in record.subnets:
        network = drivers.parse_subnet(item.subnet)
        if any(network.version == o.version and network.overlaps(o) for o in others):
            raise Forbidden("Pool overlaps with other one on this address space")
    if not record.config_only:
        name = drivers.bridge_name(record)
        for other in services.network_records.all():
            if (
                other.driver == "bridge"
                and not other.built_in
                and drivers.bridge_name(other) == name
            ):
                raise Forbidden(f"network {other.id} ({name}) conflicts: same bridge name")


async def _make(services: Services, record: NetworkRecord) -> NetworkRecord:
    """The bridge, and the record with the subnets that were chosen."""
    if record.ipv6 and not any(":" in item.subnet for item in record.subnets):
        subnet = choose_subnet6(_used6(services))
        chosen = Subnet(subnet=str(subnet), gateway=str(subnet[1]), chosen=True)
        record = msgspec.structs.replace(record, subnets=(*record.subnets, chosen))
    config = drivers.bridge_config(
        record,
        mtu=services.config.mtu,
        forward=services.config.ip_forward,
        pools=pools(services.config),
        avoid=tuple(_used4(services)),
    )
    bridge = await services.networks.add_bridge(config)
    settled = []
    if not any(":" not in item.subnet for item in record.subnets):
        settled.append(Subnet(subnet=str(bridge.subnet), gateway=str(bridge.gateway), chosen=True))
    for item in record.subnets:
        first = drivers.parse_subnet(item.subnet).network_address + 1
        settled.append(msgspec.structs.replace(item, gateway=item.gateway or str(first)))
    return msgspec.structs.replace(record, subnets=tuple(settled))


def _used4(services: Services) -> list[IPv4Network]:
    return [item for item in _used(services) if isinstance(item, IPv4Network)]


def _used6(services: Services) -> list[IPv6Network]:
    return [item for item in _used(services) if isinstance(item, IPv6Network)]


def _used(services: Services) -> list[IPv4Network | IPv6Network]:
    return [
        drivers.parse_subnet(item.subnet)
        for other in services.network_records.all()
        for item in other.subnets
    ]


async def restore_networks(services: Services) -> None:
    """When the daemon comes up, before containers are looked at: every network of the records."""
    registry = services.network_records
    if services.networks.default is not None:
        registry.show(default_record(services))
    for record in registry.load():
        if not record.config_only:
            config = drivers.bridge_config(
                record, mtu=services.config.mtu, forward=services.config.ip_forward
            )
            await _restore(services, record, config)


async def _restore(services: Services, record: NetworkRecord, config: BridgeConfig) -> None:
    try:
        await services.networks.add_bridge(config)
    except SampanError as error:  # the others are better restored than not
        log.error("network %s could not be restored: %s", record.name, error)


def default_record(services: Services) -> NetworkRecord:
    bridge, config = services.networks.default, services.config
    assert bridge is not None
    word = {True: "true", False: "false"}
    return msgspec.structs.replace(
        built_in("bridge"),
        id=bridge.network_id,
        subnets=(Subnet(subnet=str(bridge.subnet), gateway=str(bridge.gateway)),),
        options={
            "com.docker.network.bridge.default_bridge": "true",
            drivers.ICC: word[config.icc],
            drivers.MASQUERADE: word[config.ip_masq],
            drivers.HOST_BINDING: "0.0.0.0",
            drivers.NAME: bridge.name,
            drivers.MTU: str(config.mtu),
        },
    )
