from __future__ import annotations

from sampan.engine.services import Services


async def resize_container(services: Services, ref: str, *, height: int, width: int) -> None:
    """Raises NotFound, Conflict (not running)."""
    raise NotImplementedError
