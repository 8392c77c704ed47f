from __future__ import annotations

from sampan.engine.services import Services


async def remove_container(
    services: Services, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
) -> None:
    """`volumes`: its anonymous volumes too. Raises NotFound, Conflict (running and not `force`; removal under way)."""
    raise NotImplementedError
