"""`docker network ls` and `inspect`: looking at records."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.engine import filters as rules
from sampan.engine.network.records import NetworkRecord
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services
from sampan.errors import InvalidParameter

ACCEPTED = ("dangling", "driver", "id", "label", "name", "scope", "type")


def list_networks(
    services: Services, filters: Mapping[str, list[str]] | None = None
) -> list[NetworkRecord]:
    """Raises InvalidParameter."""
    filters = filters or {}
    rules.check_filters(filters, ACCEPTED)
    dangling = rules.boolean(filters, "dangling")
    found = [item for item in services.network_records.all() if _wanted(item, filters)]
    if dangling is None:
        return found
    # Networks that are always there are never dangling, used or not.
    return [
        item for item in found if dangling == (not item.built_in and not members(services, item))
    ]


def _wanted(record: NetworkRecord, filters: Mapping[str, list[str]]) -> bool:
    names, kinds = filters.get("name"), filters.get("type")
    for kind in kinds or ():
        if kind not in ("builtin", "custom"):
            raise InvalidParameter(f"invalid filter: 'type'='{kind}'")
    return (
        (not names or any(name in record.name for name in names))
        and rules.prefix(filters, "id", record.id)
        and rules.exact(filters, "driver", record.driver)
        and rules.exact(filters, "scope", "local")
        and rules.labels_hold(filters, "label", record.labels)
        and (not kinds or ("builtin" if record.built_in else "custom") in kinds)
    )


def inspect_network(services: Services, ref: str) -> NetworkRecord:
    """Raises NotFound, InvalidParameter (ambiguous)."""
    return services.network_records.get(ref)


def members(services: Services, network: NetworkRecord) -> list[tuple[ContainerRecord, Endpoint]]:
    """The containers that run in it, and their places."""
    found = []
    for record in services.containers.all():
        if not record.state.alive:
            continue
        if record.host_config.network_mode == network.name and network.name in ("host", "none"):
            found.append((record, Endpoint(network_id=network.id)))
        for endpoint in record.endpoints.values():
            if endpoint.network_id == network.id and endpoint.endpoint_id:
                found.append((record, endpoint))
    return found
