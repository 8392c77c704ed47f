from __future__ import annotations

from sampan.engine.services import Services


async def kill_container(services: Services, ref: str, *, signal: str = "") -> None:
    """`signal`: name with or without SIG, or number; empty: KILL. Raises NotFound, Conflict (not running), InvalidParameter (signal)."""
    raise NotImplementedError
