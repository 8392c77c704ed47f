from __future__ import annotations

from dataclasses import dataclass

from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services


@dataclass(frozen=True, slots=True)
class Sizes:
    writable: int  # the container's own layer
    root: int  # with the image's


def inspect_container(services: Services, ref: str) -> ContainerRecord:
    """Raises NotFound, InvalidParameter (ambiguous)."""
    raise NotImplementedError


def list_containers(
    services: Services,
    *,
    everything: bool = False,
    limit: int = 0,
    filters: dict[str, list[str]] | None = None,
) -> list[ContainerRecord]:
    """Newest first. `filters` as decoded from the API: {"status": ["running"], …}. Raises InvalidParameter ("invalid filter 'x'")."""
    raise NotImplementedError


async def container_sizes(services: Services, record: ContainerRecord) -> Sizes:
    raise NotImplementedError
