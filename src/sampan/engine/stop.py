from __future__ import annotations

from sampan.engine.services import Services


async def stop_container(
    services: Services, ref: str, *, signal: str = "", grace: int | None = None
) -> None:
    """`grace` in seconds, -1 for ever, None the container's own (10). Raises NotFound, NotModified (does not run)."""
    raise NotImplementedError
