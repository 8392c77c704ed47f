from __future__ import annotations

from dataclasses import dataclass

from sampan.engine.services import Services
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig


@dataclass(frozen=True, slots=True)
class Created:
    container_id: str
    warnings: list[str]


async def create_container(
    services: Services,
    *,
    name: str = "",
    config: ContainerConfig,
    host_config: HostConfig,
    networking: NetworkingConfig,
    platform: str = "",
) -> Created:
    """Make a container, not running. `name` empty: one is made up. Raises InvalidParameter, NotFound (image), Conflict (name)."""
    raise NotImplementedError
