"""`POST /containers/x/wait`: register first, answer the headers, then wait. Nothing between is missed."""

from __future__ import annotations

import asyncio

from sampan.engine.actor import WaitResult
from sampan.engine.records import State
from sampan.engine.services import Services
from sampan.errors import InvalidParameter

__all__ = ["WaitResult", "Waiter", "wait_container"]


class Waiter:
    """A wait that is registered: what happens from now on is not missed."""

    def __init__(self, waiters: set[asyncio.Future[WaitResult]]) -> None:
        self._waiters = waiters
        self.future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        waiters.add(self.future)

    @classmethod
    def done(cls, result: WaitResult) -> Waiter:
        waiter = cls(set())
        waiter.future.set_result(result)
        return waiter

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


def wait_container(services: Services, ref: str, *, condition: str = "not-running") -> Waiter:
    """Register; the API then sends its 200 and headers, then awaits `result`.

    `condition`: "not-running" (also when empty), "next-exit", "removed". Raises NotFound, InvalidParameter.
    """
    actor = services.containers.actor(ref)
    record = actor.record
    match condition:
        case "" | "not-running":
            if not record.state.alive and record.state is not State.RESTARTING:
                return Waiter.done(WaitResult(record.exit_code))
            return Waiter(actor.exits)
        case "next-exit":
            return Waiter(actor.exits)
        case "removed":
            return Waiter(actor.removals)
    raise InvalidParameter(f"invalid condition: {condition!r}")
