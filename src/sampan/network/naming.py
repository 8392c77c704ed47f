"""What a container is to find by name: the request to the warden, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sampan.network.egress import Egress


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """A container's place in a network: `domain` is the network's name, the first of `names` its own."""

    network: str
    domain: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """`links`: names that this container alone has for neighbours. `servers`: who answers other questions,
    none for the host's; not `external`: nobody does. `egress`: what it may reach at all, None for everything."""

    places: tuple[NamedPlace, ...]
    links: dict[str, str]
    servers: tuple[str, ...] = ()
    external: bool = True
    egress: Egress | None = None

    def to_message(self) -> dict[str, Any]:
        return asdict(self)
