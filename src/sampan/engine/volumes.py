"""Volumes: create, list, inspect, remove, prune; and, for a container, making, mounting and letting go of its own.

The store keeps them; who uses one, the containers' records say.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from sampan.engine import filters as rules
from sampan.engine.filters import Filters
from sampan.engine.records import ContainerRecord, MountPoint
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, NotFound, SampanError
from sampan.spec.digest import Digest
from sampan.store.volumes import Volume

log = logging.getLogger(__name__)

_ACCEPTED = ("dangling", "driver", "label", "name")
_ACCEPTED_BY_PRUNE = ("all", "label", "label!")


@dataclass(frozen=True, slots=True)
class Usage:
    references: int  # containers that were made with it
    size: int  # bytes; -1: not known


@dataclass(frozen=True, slots=True)
class Pruned:
    names: list[str]
    reclaimed: int  # bytes


def without_options(services: Services) -> frozenset[str]:
    """Those that are folders of ours, and nothing that their driver's options mount there."""
    return frozenset(v.name for v in services.store.volumes.list() if not v.options)


# -- verbs -------------------------------------------------------------------------------------


def list_volumes(services: Services, filters: Filters) -> list[Volume]:
    """By name. Raises InvalidParameter."""
    rules.check_filters(filters, _ACCEPTED)
    dangling = rules.boolean(filters, "dangling")
    used = users(services)
    return [
        volume
        for volume in services.store.volumes.list()
        if _wanted(volume, filters) and (dangling is None or dangling != (volume.name in used))
    ]


def _wanted(volume: Volume, filters: Filters) -> bool:
    names = filters.get("name")
    return (
        (not names or any(name in volume.name for name in names))
        and rules.exact(filters, "driver", "local")
        and rules.labels_hold(filters, "label", volume.labels or {})
    )


def create_volume(
    services: Services,
    name: str = "",
    *,
    driver: str = "",
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Volume:
    """A new one, or the one of that name as it is. Raises InvalidParameter, NotFound (driver)."""
    known = bool(name) and services.store.volumes.find(name) is not None
    volume = services.store.volumes.create(name, driver=driver, labels=labels, options=options)
    if not known:
        _tell(services, volume.name, "create")
    return volume


def inspect_volume(services: Services, name: str) -> Volume:
    """Raises NotFound."""
    return services.store.volumes.get(name)


async def remove_volume(services: Services, name: str, *, force: bool = False) -> None:
    """`force`: one that is not there is no failure. Raises NotFound, Conflict (in use)."""
    ids = users(services).get(name)
    if ids:
        raise Conflict(f"remove {name}: volume is in use - [{', '.join(ids)}]")
    try:
        await _remove(services, name)
    except NotFound:
        if not force:
            raise


async def prune_volumes(services: Services, filters: Filters, *, named: bool) -> Pruned:
    """What no container was made with: anonymous ones, and with `named` or the filter `all` the others too.

    Those with options of the driver stay: what they hold is elsewhere. Raises InvalidParameter."""
    for key in filters:
        if key not in _ACCEPTED_BY_PRUNE:
            raise InvalidParameter(f"invalid filter '{key}'")
    everything = named or bool(rules.boolean(filters, "all"))
    used = users(services)
    pruned = Pruned([], 0)
    for volume in services.store.volumes.list():
        labels = volume.labels or {}
        if (
            volume.name not in used
            and not volume.options
            and (everything or volume.anonymous)
            and rules.labels_hold(filters, "label", labels)
            and not rules.label_exists(filters.get("label!", ()), labels)
        ):
            size = max(0, await size_of(services, volume))
            await remove_volume(services, volume.name, force=True)
            pruned = Pruned([*pruned.names, volume.name], pruned.reclaimed + size)
    services.events.emit("volume", "prune", "", {"reclaimed": str(pruned.reclaimed)})
    return pruned


async def _remove(services: Services, name: str) -> None:
    try:
        await services.store.volumes.remove(name)
    except OSError as error:
        raise SampanError(f"remove {name}: {error}") from error
    _tell(services, name, "destroy")


def _tell(services: Services, name: str, action: str) -> None:
    services.events.emit("volume", action, name, {"driver": "local"})


def users(services: Services) -> dict[str, list[str]]:
    """Ids of containers by the name of the volume that they were made with."""
    found: dict[str, list[str]] = {}
    for record in services.containers.all():
        for name in names_of(record):
            found.setdefault(name, []).append(record.id)
    return found


def names_of(record: ContainerRecord) -> list[str]:
    """Each volume of the container, once."""
    return list(dict.fromkeys(point.name for point in record.mounts if point.type == "volume"))


async def usage(services: Services, volume: Volume) -> Usage:
    references = len(users(services).get(volume.name, ()))
    return Usage(references, await size_of(services, volume))


async def size_of(services: Services, volume: Volume) -> int:
    """Bytes; -1 for one whose options name another file system, as dockerd has it."""
    if volume.options:
        return -1
    try:
        return await services.store.volumes.size(volume.name)
    except (OSError, SampanError) as error:
        log.warning("cannot measure volume %s: %s", volume.name, error)
        return -1


# -- for a container -----------------------------------------------------------------------------


async def make_for(
    services: Services, record: ContainerRecord, point: MountPoint, made: list[str]
) -> MountPoint:
    """The volume of a mount point, made if it is not there (its name is added to `made`), and filled with what
    the image has at its place if it is empty. Raises InvalidParameter, NotFound, SampanError."""
    store = services.store.volumes
    new = not point.name or store.find(point.name) is None
    volume = create_volume(
        services,
        point.name,
        driver=point.driver,
        labels=point.labels,
        options=point.driver_options,
    )
    if new:
        made.append(volume.name)
    if point.copy_up and not point.subpath and record.chain_id:
        await store.mounts.hold(volume.name, volume.options, record.id)
        try:
            await store.copy_up(volume.name, Digest(record.chain_id), point.destination)
        finally:
            await store.mounts.release(volume.name, record.id)
    source = store.mountpoint(volume.name)
    return msgspec.structs.replace(point, name=volume.name, source=source)


async def take_back(services: Services, made: list[str]) -> None:
    """Those of `make_for`, when the container does not come to be."""
    for name in reversed(made):
        await _remove(services, name)


async def mount_for(services: Services, record: ContainerRecord) -> None:
    """Before it starts: what its volumes' options name. Raises NotFound, SampanError."""
    store = services.store.volumes
    for name in names_of(record):
        await store.mounts.hold(name, store.get(name).options, record.id)


async def release_for(services: Services, record: ContainerRecord) -> None:
    """After its end. A mount that cannot be taken off is reported, and swept by the next daemon."""
    for name in names_of(record):
        try:
            await services.store.volumes.mounts.release(name, record.id)
        except (OSError, SampanError) as error:
            log.error("container %s: cannot unmount volume %s: %s", record.id[:12], name, error)


def hold_again(services: Services, record: ContainerRecord) -> None:
    """It runs, started by an earlier daemon."""
    for name in names_of(record):
        services.store.volumes.mounts.hold_again(name, record.id)


async def sweep(services: Services) -> None:
    """After all that runs holds its volumes again: what nobody holds is taken off."""
    try:
        await services.store.volumes.mounts.sweep()
    except (OSError, SampanError) as error:
        log.error("cannot unmount what volumes have left: %s", error)


async def remove_anonymous(services: Services, record: ContainerRecord) -> None:
    """Those that were made for this container, which is gone, and that no other one uses."""
    used = users(services)
    for point in record.mounts:
        if point.type != "volume" or not point.anonymous or point.name in used:
            continue
        try:
            await _remove(services, point.name)
        except SampanError as error:
            log.warning("cannot remove volume %s: %s", point.name, error)


def tell_of(services: Services, record: ContainerRecord, action: str) -> None:
    """`mount` at the start, `unmount` at the end."""
    for point in record.mounts:
        if point.type != "volume":
            continue
        details = {"container": record.id, "driver": point.driver}
        if action == "mount":
            details |= {
                "destination": point.destination,
                "propagation": point.propagation,
                "read/write": "true" if point.read_write else "false",
            }
        services.events.emit("volume", action, point.name, details)
