"""`docker network create` and its restoration: a record, and what the room makes of it."""

from __future__ import annotations

import logging
import os
import re

import msgspec

from sampan.engine.network import drivers
from sampan.engine.network.events import tell
from sampan.engine.network.making import link_of, make, make_again
from sampan.engine.network.records import BUILT_IN, NetworkRecord, Subnet, built_in
from sampan.engine.services import Services
from sampan.errors import Forbidden, InvalidParameter, SampanError

log = logging.getLogger(__name__)

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,255}")


async def create_network(
    services: Services, wanted: NetworkRecord, *, ipv6_said: bool = False
) -> NetworkRecord:
    """`wanted` without id and time; `ipv6_said`: the user chose whether it has IPv6.

    Raises InvalidParameter, Forbidden, NotFound, Conflict, SampanError."""
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
            drivers.with_defaults(
                _configured(services, wanted),
                services.config.default_network_opts,
                ipv6_said=ipv6_said,
            ),
            id=os.urandom(32).hex(),
            created=services.clock.now(),
        )
        if not record.config_only:
            drivers.check_driver(record.driver)
        drivers.check_families(record)
        drivers.check_subnets(record.subnets)
        _check_overlaps(services, record)
        if not record.config_only:
            record = await make(services, record)
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
        if wanted.internal or wanted.attachable:
            raise Forbidden(
                "configuration network can only contain network specific fields. Network operator "
                "fields like [ ingress | internal | attachable | scope ] are not supported."
            )
        return msgspec.structs.replace(wanted, driver="null")
    if not wanted.config_from:
        return wanted
    source = services.network_records.find(wanted.config_from)
    if source is None or not source.config_only:
        raise InvalidParameter(f'configuration network "{wanted.config_from}" does not exist')
    if wanted.subnets or wanted.options or wanted.ipv6 or not wanted.ipv4:
        raise InvalidParameter(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    return msgspec.structs.replace(
        wanted,
        ipv4=source.ipv4,
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
    if not record.config_only and record.driver in drivers.BRIDGED:
        name = drivers.bridge_name(record)
        for other in services.network_records.all():
            if (
                other.driver in drivers.BRIDGED
                and not other.built_in
                and drivers.bridge_name(other) == name
            ):
                raise Forbidden(
                    f"cannot create network {record.id} ({name}): conflicts with network "
                    f"{other.id} ({name}): networks have same bridge name"
                )


async def restore_networks(services: Services) -> None:
    """When the daemon comes up, before containers are looked at: every network of the records."""
    registry = services.network_records
    if services.networks.default is not None:
        registry.show(default_record(services))
    for record in registry.load():
        if not record.config_only:
            try:
                await make_again(services, record)
            except (SampanError, OSError) as error:  # the others are better restored than not
                log.error("network %s could not be restored: %s", record.name, error)
                services.networks.spare(record.id, link_of(record))


def default_record(services: Services) -> NetworkRecord:
    bridge, config = services.networks.default, services.config
    assert bridge is not None
    word = {True: "true", False: "false"}
    return msgspec.structs.replace(
        built_in("bridge"),
        id=bridge.network_id,
        ipv6=bridge.subnet6 is not None,
        subnets=tuple(
            Subnet(subnet=str(subnet), gateway=str(gateway))
            for subnet, gateway in (
                (bridge.subnet, bridge.gateway),
                (bridge.subnet6, bridge.gateway6),
            )
            if subnet is not None
        ),
        options={
            "com.docker.network.bridge.default_bridge": "true",
            drivers.ICC: word[config.icc],
            drivers.MASQUERADE: word[config.ip_masq],
            drivers.HOST_BINDING: "0.0.0.0",
            drivers.NAME: bridge.name,
            drivers.MTU: str(config.mtu),
        },
    )
