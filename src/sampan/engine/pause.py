"""`docker pause` and `unpause`: the container's cgroup is frozen by its monitor."""

from __future__ import annotations

from sampan.engine import transitions
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.doors import Monitor
from sampan.engine.services import Services
from sampan.errors import Unavailable


async def pause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not running, paused, restarting)."""
    actor = services.containers.actor(ref)

    async def job() -> None:
        transitions.check_pause(actor.record)
        await monitor_of(actor).pause()
        actor.save(transitions.paused(actor.record))
        services.events.emit("container", "pause", actor.record.id, attributes_of(actor.record))

    await actor.do(job)


async def unpause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not paused)."""
    actor = services.containers.actor(ref)

    async def job() -> None:
        transitions.check_unpause(actor.record)
        await monitor_of(actor).resume()
        actor.save(transitions.unpaused(actor.record))
        services.events.emit("container", "unpause", actor.record.id, attributes_of(actor.record))

    await actor.do(job)


def monitor_of(actor: Actor) -> Monitor:
    """Of a container that runs; it may have died a moment ago."""
    if actor.monitor is None:
        raise Unavailable(f"container {actor.record.id} has no monitor")
    return actor.monitor
