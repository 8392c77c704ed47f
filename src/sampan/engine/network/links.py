"""`--link` on the default bridge: names in /etc/hosts, and variables in the environment as of the start.

In users' networks a link is a name that one container has for another (`names.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sampan.engine.network.ports import exposed_ports
from sampan.engine.network.records import BRIDGE
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound

_KEPT = ("HOME", "PATH")  # variables of the other that say nothing about it


def linked(services: Services, record: ContainerRecord) -> list[tuple[str, ContainerRecord]]:
    """Alias and container. Raises NotFound, InvalidParameter (it does not run)."""
    found = list(_named(services, record))
    for alias, other in found:
        if not _runs(other):
            raise InvalidParameter(
                f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias}"
            )
    return found


def _named(services: Services, record: ContainerRecord) -> Iterator[tuple[str, ContainerRecord]]:
    if record.host_config.network_mode != BRIDGE:
        return
    for text in record.host_config.links or []:
        name, _, alias = text.partition(":")
        other = services.containers.get(name)
        yield alias.rpartition("/")[2] or other.name, other


def _runs(record: ContainerRecord) -> bool:
    return record.state.alive and BRIDGE in record.endpoints


def hosts(services: Services, record: ContainerRecord) -> list[str]:
    """`names:address` each, for /etc/hosts; who does not run now has no address. Raises NotFound."""
    return [
        f"{alias} {other.config.hostname} {other.name}:{other.endpoints[BRIDGE].address}"
        for alias, other in _named(services, record)
        if _runs(other)
    ]


def linking(services: Services, record: ContainerRecord) -> Iterator[ContainerRecord]:
    """The containers that run and are linked to this one."""
    for each in services.containers.all():
        if each.host_config.links and each.state.alive and each.id != record.id:
            try:
                if any(other.id == record.id for _, other in _named(services, each)):
                    yield each
            except NotFound:
                continue  # another that it was linked to is no more


def with_environment(services: Services, record: ContainerRecord) -> ContainerRecord:
    """The record as it is started: its variables, and those about whom it is linked to."""
    words = [
        word
        for alias, other in linked(services, record)
        for word in _environment(f"/{record.name}/{alias}", alias, other)
    ]
    if not words:
        return record
    config = msgspec.structs.replace(record.config, env=[*words, *(record.config.env or [])])
    return msgspec.structs.replace(record, config=config)


def _environment(path: str, alias: str, other: ContainerRecord) -> Iterator[str]:
    prefix = alias.upper().replace("-", "_")
    address = other.endpoints[BRIDGE].address
    ports = sorted(exposed_ports(other.config))
    for number, (port, protocol) in enumerate(ports):
        url = f"{protocol}://{address}:{port}"
        if number == 0:
            yield f"{prefix}_PORT={url}"
        one = f"{prefix}_PORT_{port}_{protocol.upper()}"
        yield f"{one}={url}"
        yield f"{one}_ADDR={address}"
        yield f"{one}_PORT={port}"
        yield f"{one}_PROTO={protocol}"
    yield f"{prefix}_NAME={path}"
    for word in other.config.env or []:
        name, equals, value = word.partition("=")
        if equals and name not in _KEPT:
            yield f"{prefix}_ENV_{name}={value}"
