"""`docker container prune`: remove every container that does not run."""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.engine import filters as rules
from sampan.engine import query, times
from sampan.engine.filters import Filters
from sampan.engine.records import ContainerRecord, State
from sampan.engine.remove import remove_container
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, NotFound

ACCEPTED = frozenset(("until", "label", "label!"))
_STANDING = frozenset((State.CREATED, State.EXITED, State.DEAD))


@dataclass(slots=True)
class Pruned:
    ids: list[str] = field(default_factory=list)
    reclaimed: int = 0  # bytes that the containers had written


async def prune_containers(services: Services, filters: Filters) -> Pruned:
    """`until`: only those made before; `label`, `label!`. Raises InvalidParameter."""
    rules.check_filters(filters, ACCEPTED)
    until = until_of(services, filters)
    pruned = Pruned()
    for record in services.containers.all():
        if record.state in _STANDING and _wanted(record, filters, until):
            await _remove(services, record, pruned)
    services.events.emit("container", "prune", "", {"reclaimed": str(pruned.reclaimed)})
    return pruned


def until_of(services: Services, filters: Filters) -> int:
    """Nanoseconds since the epoch; 0 for none. Raises InvalidParameter."""
    values = filters.get("until") or []
    if not values:
        return 0
    if len(values) > 1:
        raise InvalidParameter("more than one until filter specified")
    return times.from_moment(values[0], now=services.clock.now())


def _wanted(record: ContainerRecord, filters: Filters, until: int) -> bool:
    return (
        (not until or record.created <= until)
        and rules.labels_hold(filters, "label", record.labels)
        and not rules.label_exists(filters.get("label!", ()), record.labels)
    )


async def _remove(services: Services, record: ContainerRecord, pruned: Pruned) -> None:
    try:
        size = (await query.container_sizes(services, record)).writable
        await remove_container(services, record.id)
    except (NotFound, Conflict):
        return  # somebody has started it, or was quicker
    pruned.ids.append(record.id)
    pruned.reclaimed += size
