from __future__ import annotations

from sampan.engine.services import Services


async def pause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not running, paused, restarting)."""
    raise NotImplementedError


async def unpause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not paused)."""
    raise NotImplementedError
