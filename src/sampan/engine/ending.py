"""Ending a container for good, whatever its restart policy is about to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sampan.engine import lifecycle
from sampan.engine.actor import Actor
from sampan.engine.kill import DEADLINE, wait_for
from sampan.engine.records import State
from sampan.engine.wait import Waiter
from sampan.errors import Conflict


async def end_for_good(actor: Actor, end: Callable[[], Awaitable[None]]) -> bool:
    """Do `end` until the container neither runs nor waits to be restarted; False when it did neither.

    `end` raises Conflict when it finds nothing that runs: the container has ended by itself just
    before, and its policy may bring it back. Returns when the exit is written down.
    """
    acted = ended = False
    while not ended and (actor.record.state.alive or actor.record.state is State.RESTARTING):
        acted = True
        if actor.record.state.alive:
            ended = await _ended(actor, end)
        # After the jobs of the exit, and of a restart that was due already.
        await actor.do(lambda: lifecycle.cancel_restart(actor))
    return acted


async def _ended(actor: Actor, end: Callable[[], Awaitable[None]]) -> bool:
    pid = actor.record.pid
    try:
        await end()
    except Conflict:
        await _exit_of(actor, pid)
        return False
    return True


async def _exit_of(actor: Actor, pid: int) -> None:
    """Of a process that is gone, while its monitor has not yet said everything."""
    if actor.record.state.alive and actor.record.pid == pid:
        waiter = Waiter(actor)
        try:
            await wait_for(waiter, DEADLINE, actor)
        finally:
            waiter.close()
