"""What a container is called by its neighbours in a network."""

from __future__ import annotations

from sampan.engine.network.records import BUILT_IN
from sampan.engine.records import ContainerRecord


def dns_names(record: ContainerRecord, network: str) -> tuple[str, ...]:
    """Its name, its aliases, the beginning of its id and its hostname; the default bridge has no names."""
    if network in BUILT_IN:
        return ()
    asked = (record.networking.endpoints_config or {}).get(network)
    aliases = (asked.aliases if asked else None) or []
    return tuple(
        dict.fromkeys(
            text for text in (record.name, *aliases, record.id[:12], record.config.hostname) if text
        )
    )
