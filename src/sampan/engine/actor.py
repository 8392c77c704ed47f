"""One container's actor: a queue of jobs, run one after the other; the only writer of the record.

Readers take `record` as it is and never wait. A job never waits for the container's exit: the exit is a
job itself, and would wait for that one. No task is there while the queue is empty.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sampan.engine.records import ContainerRecord, State
from sampan.errors import Unavailable

if TYPE_CHECKING:
    from sampan.engine.doors import Monitor
    from sampan.engine.probe import Probe

T = TypeVar("T")
Job = Callable[[], Awaitable[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitResult:
    exit_code: int
    error: str = ""


class Pending(Protocol):
    """A client that attached before the start; it owns a descriptor."""

    def abandoned(self) -> bool:
        """Whether the client has gone."""
        ...

    async def hand_over(self, monitor: Monitor) -> None: ...
    def close(self) -> None: ...


class Actor:
    def __init__(self, record: ContainerRecord, write: Callable[[ContainerRecord], None]) -> None:
        self.record = record
        self.monitor: Monitor | None = None
        self.pending: list[Pending] = []  # attached before the start
        self.exits: set[asyncio.Future[WaitResult]] = set()
        self.removals: set[asyncio.Future[WaitResult]] = set()
        self.restart_timer: asyncio.TimerHandle | None = None
        self.restart_delay = 0  # nanoseconds; the last one
        self.filter: bytes | None = None  # seccomp's, of what runs
        self.filter_known = False
        self.gone = False
        self.probe: Probe | None = None  # asks how it is, while it runs
        self.kept = 0  # restarts under way, for which an end is no reason to auto-remove
        self._write = write
        self._jobs: deque[tuple[Job, asyncio.Future[Any] | None]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._starts: list[asyncio.Future[None]] = []

    # -- the queue ---------------------------------------------------------------------------

    async def do(self, job: Callable[[], Awaitable[T]]) -> T:
        """Run `job` after those before it. It goes on when the caller is cancelled."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(job, future)
        return await future

    def post(self, job: Job) -> None:
        """As `do`, for whoever does not wait; a failure is logged."""
        self._enqueue(job, None)

    async def idle(self) -> None:
        """Wait until the queue is empty."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def running(self) -> None:
        """Wait until its jobs are done and, if it waits for a restart, until it runs."""
        await self.idle()
        if self.record.state is State.RESTARTING:
            future = asyncio.get_running_loop().create_future()
            self._starts.append(future)
            await future

    def _enqueue(self, job: Job, future: asyncio.Future[Any] | None) -> None:
        self._jobs.append((job, future))
        if self._worker is None:
            self._worker = asyncio.create_task(
                self._work(), name=f"container {self.record.id[:12]}"
            )

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._run(*self._jobs.popleft())
        finally:
            self._worker = None

    async def _run(self, job: Job, future: asyncio.Future[Any] | None) -> None:
        try:
            result = await job()
        except Exception as error:
            if future is None:
                log.exception("container %s", self.record.id[:12])
            elif not future.done():
                future.set_exception(error)
        else:
            if future is not None and not future.done():
                future.set_result(result)

    # -- the record --------------------------------------------------------------------------

    def save(self, record: ContainerRecord, *, durable: bool = True) -> None:
        """The row first, then what readers see: a database that fails changes nothing.

        Not `durable`: where a crash is made good by reconciliation, so that no fsync is waited for."""
        if durable:
            self._write(record)
        self._take(record)

    def save_fact(self, record: ContainerRecord) -> bool:
        """Something that has happened, whatever the database says: readers see it in any case.

        False: the row could not be written (a full disk), and is stale."""
        try:
            self._write(record)
        except (sqlite3.Error, OSError):
            log.exception("container %s: its row could not be written", record.id[:12])
            return False
        finally:
            self._take(record)
        return True

    def _take(self, record: ContainerRecord) -> None:
        self.record = record
        if record.state is not State.RESTARTING:
            while self._starts:
                future = self._starts.pop()
                if not future.done():
                    future.set_result(None)

    def tell_exit(self) -> None:
        """Everybody who waits for an exit learns of the record's."""
        _resolve(self.exits, WaitResult(self.record.exit_code))

    def tell_removal(self) -> None:
        _resolve(self.exits, WaitResult(self.record.exit_code))
        _resolve(self.removals, WaitResult(self.record.exit_code))

    def hold(self, client: Pending) -> None:
        """Until the start; those that went away meanwhile are let go."""
        for other in [other for other in self.pending if other.abandoned()]:
            self.pending.remove(other)
            other.close()
        self.pending.append(client)

    def take_pending(self) -> list[Pending]:
        pending, self.pending = self.pending, []
        return pending

    def cancel_restart(self) -> bool:
        """True when one was waiting."""
        timer, self.restart_timer = self.restart_timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None


def monitor_of(actor: Actor) -> Monitor:
    """Of a container that runs; it may have died a moment ago."""
    if actor.monitor is None:
        raise Unavailable(f"container {actor.record.id} has no monitor")
    return actor.monitor


def _resolve(waiters: set[asyncio.Future[WaitResult]], result: WaitResult) -> None:
    for future in list(waiters):
        if not future.done():
            future.set_result(result)
    waiters.clear()
