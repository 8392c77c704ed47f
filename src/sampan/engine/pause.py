"""`docker pause` and `unpause`: the container's cgroup is frozen by its monitor."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sampan.engine import probe, transitions
from sampan.engine.actor import Actor, monitor_of
from sampan.engine.create import attributes_of
from sampan.engine.services import Services
from sampan.errors import Conflict
from sampan.monitor.client import RequestFailed


async def pause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not running, paused, restarting)."""
    actor = services.containers.actor(ref)

    async def job() -> None:
        transitions.check_pause(actor.record)
        with _ended_is_not_running(actor):
            await monitor_of(actor).pause()
        probe.end(actor)
        actor.save(transitions.paused(actor.record))
        services.events.emit("container", "pause", actor.record.id, attributes_of(actor.record))

    await actor.do(job)


async def unpause_container(services: Services, ref: str) -> None:
    """Raises NotFound, Conflict (not paused)."""
    actor = services.containers.actor(ref)

    async def job() -> None:
        transitions.check_unpause(actor.record)
        with _ended_is_not_running(actor):
            await monitor_of(actor).resume()
        actor.save(transitions.unpaused(actor.record))
        probe.begin(services, actor)
        services.events.emit("container", "unpause", actor.record.id, attributes_of(actor.record))

    await actor.do(job)


@contextmanager
def _ended_is_not_running(actor: Actor) -> Iterator[None]:
    """It has ended, and its exit is on the way."""
    try:
        yield
    except RequestFailed as error:
        if error.errno != errno.ESRCH:
            raise
        raise Conflict(f"Container {actor.record.id} is not running") from None


def mark_of(services: Services, container_id: str) -> str:
    """The file that says, while it is there, that a commit has frozen the container, and nobody else."""
    return os.path.join(services.paths.run(container_id), "frozen")
