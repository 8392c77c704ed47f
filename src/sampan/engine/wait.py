"""`POST /containers/x/wait`: register first, answer the headers, then wait. Nothing between is missed.

The daemon may be killed or restarted before the end: the connection is then answered by the container's
monitor, which has a duplicate of it (`monitor/waits.py`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sampan.engine.actor import Actor, WaitResult
from sampan.engine.doors import Monitor
from sampan.engine.records import State
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.errors import InvalidParameter, NotFound
from sampan.monitor.messages import WaitOptions

__all__ = ["WaitResult", "Waiter", "wait_container"]


class Waiter:
    """A wait that is registered: what happens from now on is not missed."""

    def __init__(self, actor: Actor, *, removal: bool = False) -> None:
        self._actor = actor
        self._removal = removal
        self._waiters = actor.removals if removal else actor.exits
        self._held: HeldWait | None = None
        self.future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        self._waiters.add(self.future)

    @classmethod
    def done(cls, actor: Actor, result: WaitResult) -> Waiter:
        waiter = cls(actor)
        waiter._waiters.discard(waiter.future)  # nothing is waited for
        waiter.future.set_result(result)
        return waiter

    async def outlive_daemon(self, client: ClientStream, *, chunked: bool) -> None:
        """`client`, whose headers are sent, gets its answer also when we end before the container. Takes it over."""
        if self.ready:
            client.close()
            return
        self._held = HeldWait(client, WaitOptions(removal=self._removal, chunked=chunked))
        await self._actor.do(self._join)

    async def _join(self) -> None:
        """A job: between two states of the container, so that the start is never missed."""
        actor, held = self._actor, self._held
        if held is None:
            return
        if actor.monitor is not None and actor.record.state.alive:
            try:
                await held.hand_over(actor.monitor)
            except OSError:
                held.close()  # the monitor has just died; what it tells is told to everybody who waits
        elif self.ready:
            held.close()
        else:
            actor.hold(held)

    async def result(self) -> WaitResult:
        """Wait for the condition. May be cancelled; then `close` is needed."""
        return await self.future

    @property
    def ready(self) -> bool:
        return self.future.done()

    def close(self) -> None:
        """Forget it. Needed when `result` did not return."""
        self._waiters.discard(self.future)
        self.future.cancel()
        held, self._held = self._held, None
        if held is not None:
            if held in self._actor.pending:
                self._actor.pending.remove(held)
            held.close()


@dataclass(slots=True, eq=False)
class HeldWait:
    """A client that waits, until there is a monitor for it."""

    client: ClientStream
    options: WaitOptions

    def abandoned(self) -> bool:
        return self.client.abandoned()

    async def hand_over(self, monitor: Monitor) -> None:
        await monitor.wait(self.options, self.client.fd)
        self.client.close()

    def close(self) -> None:
        self.client.close()


def wait_container(services: Services, ref: str, *, condition: str = "not-running") -> Waiter:
    """Register; the API then sends its 200 and headers, then awaits `result`.

    `condition`: "not-running" (also when empty), "next-exit", "removed". Raises NotFound, InvalidParameter.
    """
    try:
        actor = services.containers.actor(ref)
    except NotFound:
        receipt = services.receipts.find(ref)
        if receipt is None:
            raise
        return Waiter.done(Actor(receipt, lambda _: None), WaitResult(receipt.exit_code))
    record = actor.record
    match condition:
        case "" | "not-running":
            if not record.state.alive and record.state is not State.RESTARTING:
                return Waiter.done(actor, WaitResult(record.exit_code))
            return Waiter(actor)
        case "next-exit":
            return Waiter(actor)
        case "removed":
            return Waiter(actor, removal=True)
    raise InvalidParameter(f"invalid condition: {condition!r}")
