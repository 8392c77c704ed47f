from __future__ import annotations

from sampan.engine.services import Services


async def restart_container(
    services: Services, ref: str, *, signal: str = "", grace: int | None = None
) -> None:
    """Stop (if it runs), then start. Raises NotFound and what start raises."""
    raise NotImplementedError
