from __future__ import annotations

from sampan.engine.services import Services


async def rename_container(services: Services, ref: str, *, name: str) -> None:
    """Raises NotFound, InvalidParameter, Conflict (name taken)."""
    raise NotImplementedError
