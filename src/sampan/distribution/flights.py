"""Work that several want and one does: whoever comes second waits for the first.

    async with flights.hold(key, work, watch) as held:
        result = await held.result()
        …                                     # the result stays good until everybody has let go

`work(report)` runs as one task; what it reports goes to all who hold it, late comers get the last report at once.
When the last one lets go, unfinished work is cancelled and waited for, and a finished result is disposed of. So a
user who presses Ctrl-C does not take a layer away from another. Failed work fails for all who hold it; whoever
only `joined` may begin it anew, perhaps with better credentials.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from sampan.distribution.progress import Message, Progress

T = TypeVar("T")
Work = Callable[[Progress], Awaitable[T]]


class Held(Generic[T]):
    """`joined`: somebody else began the work."""

    def __init__(self, flight: _Flight[T], *, joined: bool) -> None:
        self._flight = flight
        self.joined = joined

    async def result(self) -> T:
        """Raises what the work raised."""
        await asyncio.wait([self._flight.task])
        return self._flight.task.result()


class Flights(Generic[T]):
    def __init__(self, dispose: Callable[[T], None]) -> None:
        self._dispose = dispose
        self._flights: dict[str, _Flight[T]] = {}

    @asynccontextmanager
    async def hold(self, key: str, work: Work[T], watch: Progress) -> AsyncIterator[Held[T]]:
        while (flight := self._flights.get(key)) is not None and flight.ending:
            await asyncio.wait([flight.task])
            await asyncio.sleep(0)  # whoever ended it clears up first
        joined = flight is not None
        if flight is None:
            flight = self._flights[key] = _Flight(work, lambda: self._flights.pop(key, None))
        flight.join(watch)
        try:
            yield Held(flight, joined=joined)
        finally:
            await self._let_go(key, flight, watch)

    async def _let_go(self, key: str, flight: _Flight[T], watch: Progress) -> None:
        flight.leave(watch)
        if flight.watchers or flight.ending:
            return
        flight.ending = True
        flight.task.cancel()  # nothing happens when it is done
        try:
            await _settled(flight.task)
        finally:
            if not flight.task.cancelled() and flight.task.exception() is None:
                self._dispose(flight.task.result())
            if self._flights.get(key) is flight:
                del self._flights[key]


class _Flight(Generic[T]):
    def __init__(self, work: Work[T], failed: Callable[[], Any]) -> None:
        self.watchers: list[Progress] = []
        self.ending = False
        self._last: Message | None = None
        self._failed = failed
        self.task: asyncio.Task[T] = asyncio.create_task(self._run(work))

    async def _run(self, work: Work[T]) -> T:
        try:
            return await work(self._report)
        except Exception:
            self._failed()  # the next one who wants it begins anew
            raise

    def join(self, watch: Progress) -> None:
        self.watchers.append(watch)
        if self._last is not None:
            watch(self._last)

    def leave(self, watch: Progress) -> None:
        self.watchers.remove(watch)

    def _report(self, message: Message) -> None:
        self._last = message
        for watch in self.watchers:
            watch(message)


async def _settled(task: asyncio.Task[Any]) -> None:
    """Wait for its end, even when whoever waits is cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
