from __future__ import annotations

from sampan.engine.services import Services


async def start_container(services: Services, ref: str) -> None:
    """Raises NotFound, NotModified (running already), Conflict (paused, removing), InvalidParameter or SampanError (the command or a step failed)."""
    raise NotImplementedError
