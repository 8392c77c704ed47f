"""`docker kill`, and signals for whoever else sends them."""

from __future__ import annotations

import asyncio
import errno
import signal as signals_
from collections.abc import Mapping

from sampan.engine import lifecycle, signals, transitions
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.doors import Monitor
from sampan.engine.records import State
from sampan.engine.services import Services
from sampan.engine.wait import Waiter
from sampan.errors import Conflict, InvalidParameter, SampanError, Unavailable
from sampan.monitor.client import RequestFailed

DEADLINE = 10.0  # seconds between SIGKILL and the exit


async def kill_container(services: Services, ref: str, *, signal: str = "") -> None:
    """`signal`: a name with or without SIG, or a number; empty: KILL, whose effect is waited for.

    Raises NotFound, Conflict (not running), InvalidParameter (signal).
    """
    number = signals.parse(signal) if signal else int(signals_.SIGKILL)
    actor = services.containers.actor(ref)
    if number > signals.HIGHEST:
        raise InvalidParameter(
            f"Cannot kill container: {ref}: The linux daemon does not support signal {number}"
        )
    try:
        if actor.record.state is State.RESTARTING and _ends(actor, number):
            await actor.do(lambda: lifecycle.cancel_restart(actor))
        elif number == signals_.SIGKILL:
            await kill_and_wait(services, actor)
        else:
            await send(services, actor, number)
    except Conflict as error:
        raise Conflict(f"Cannot kill container: {ref}: {error}") from None


async def kill_and_wait(
    services: Services, actor: Actor, details: Mapping[str, str] | None = None
) -> None:
    """Raises Conflict when it does not run, SampanError when it does not die."""
    waiter = Waiter(actor)
    try:
        await send(services, actor, int(signals_.SIGKILL), details)
        await wait_for(waiter, DEADLINE, actor)
    finally:
        waiter.close()


async def wait_for(waiter: Waiter, seconds: float, actor: Actor) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiter.result()
    except TimeoutError:
        raise SampanError(
            f"tried to kill container {actor.record.id}, but did not receive an exit event"
        ) from None


async def send(
    services: Services, actor: Actor, number: int, details: Mapping[str, str] | None = None
) -> None:
    """Signal the first process, as a job of the actor. Raises Conflict when there is none."""

    async def job() -> None:
        transitions.check_running(actor.record)
        monitor = actor.monitor
        if monitor is None:
            raise Unavailable(f"container {actor.record.id} has no monitor")
        if _ends(actor, number):
            # Not durable: the exit that follows writes it down.
            actor.save(transitions.stopped_by_hand(actor.record), durable=False)
        try:
            await monitor.kill(number)
        except RequestFailed as error:
            if error.errno == errno.ESRCH:  # it has ended, and its exit is on the way
                raise Conflict(f"Container {actor.record.id} is not running") from None
            raise
        said = {**attributes_of(actor.record), "signal": str(number), **(details or {})}
        services.events.emit("container", "kill", actor.record.id, said)
        if actor.record.state is State.PAUSED and _ends(actor, number):
            await _thaw(monitor)
            actor.save(transitions.unpaused(actor.record), durable=False)

    await actor.do(job)


async def _thaw(monitor: Monitor) -> None:
    """So that it takes the signal; with cgroup v2 SIGKILL reaches the frozen as well, and it may be gone already."""
    try:
        await monitor.resume()
    except RequestFailed as error:
        if error.errno != errno.ESRCH:
            raise


def _ends(actor: Actor, number: int) -> bool:
    """Whether the signal says that the container is to end: KILL, its stop signal, or any when it has none
    (as in dockerd). Then no restart policy acts."""
    configured = actor.record.config.stop_signal
    return number == signals_.SIGKILL or not configured or signals.parse(configured) == number
