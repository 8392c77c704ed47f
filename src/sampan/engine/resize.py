"""`docker resize`: rows and columns of the container's terminal."""

from __future__ import annotations

from sampan.engine import transitions
from sampan.engine.actor import monitor_of
from sampan.engine.create import attributes_of
from sampan.engine.services import Services


async def resize_container(services: Services, ref: str, *, height: int, width: int) -> None:
    """Raises NotFound, Conflict (not running). Not queued: a window is dragged while other things go on."""
    actor = services.containers.actor(ref)
    transitions.check_running(actor.record)
    await monitor_of(actor).resize(height, width)
    said = {**attributes_of(actor.record), "height": str(height), "width": str(width)}
    services.events.emit("container", "resize", actor.record.id, said)
