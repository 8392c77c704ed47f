"""`docker network rm` and `prune`."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.engine import filters as rules
from sampan.engine.network.events import tell
from sampan.engine.network.query import members
from sampan.engine.network.records import NetworkRecord
from sampan.engine.prune import until_of
from sampan.engine.services import Services
from sampan.errors import Forbidden, InvalidParameter, SampanError

_PRUNE = ("label", "label!", "until")


async def remove_network(services: Services, ref: str) -> None:
    """Raises NotFound, Forbidden."""
    record = services.network_records.get(ref)
    if record.built_in:
        raise Forbidden(f"{record.name} is a pre-defined network and cannot be removed")
    if members(services, record):
        raise Forbidden(
            f"error while removing network: network {record.name} id {record.id} has active endpoints"
        )
    for other in services.network_records.all():
        if record.config_only and other.config_from == record.name:
            raise Forbidden(
                f'error while removing network: configuration network "{record.name}" is in use'
            )
    await _remove(services, record)


async def _remove(services: Services, record: NetworkRecord) -> None:
    """The row first: a crash after it leaves a bridge that the next start finds to be an orphan."""
    services.network_records.delete(record)
    await services.networks.remove_bridge(record.id)
    tell(services, record, "destroy")


async def prune_networks(services: Services, filters: Mapping[str, list[str]]) -> list[str]:
    """Those that no container is connected to, running or not. Their names."""
    for key in filters:
        if key not in _PRUNE:
            raise InvalidParameter(f"invalid filter '{key}'")
    until = until_of(services, filters)
    used = {
        endpoint.network_id
        for container in services.containers.all()
        for endpoint in container.endpoints.values()
    }
    gone = []
    for record in services.network_records.all():
        labels = record.labels
        if (
            record.built_in
            or record.id in used
            or (until and record.created > until)
            or not rules.labels_hold(filters, "label", labels)
            or rules.label_exists(filters.get("label!", ()), labels)
        ):
            continue
        try:
            await remove_network(services, record.id)
        except SampanError:
            continue  # it came into use meanwhile
        gone.append(record.name)
    return gone
