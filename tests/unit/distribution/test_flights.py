"""Work that several want is done once, and goes on as long as somebody wants it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sampan.distribution.flights import Flights
from sampan.distribution.progress import Message, Progress
from sampan.errors import SampanError


class Work:
    """Runs until it is told; counts."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.running = asyncio.Event()
        self.cancelling = asyncio.Event()
        self.begun = self.cancelled = 0
        self.error: Exception | None = None
        self.slow_end: asyncio.Event | None = None
        self.report: Progress = lambda message: None

    async def __call__(self, report: Progress) -> str:
        self.begun += 1
        self.report = report
        self.running.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            self.cancelling.set()
            if self.slow_end is not None:
                await self.slow_end.wait()
            raise
        if self.error is not None:
            raise self.error
        return f"result{self.begun}"


def quiet(message: Message) -> None:
    """Nobody listens."""


async def take(flights: Flights[str], work: Work, watch: Progress = quiet) -> tuple[str, bool]:
    async with flights.hold("key", work, watch) as held:
        return await held.result(), held.joined


async def test_the_second_waits_for_the_first() -> None:
    """One run, one result, disposed of once when both have let go."""
    disposed: list[str] = []
    flights: Flights[str] = Flights(disposed.append)
    work = Work()
    tasks = [asyncio.create_task(take(flights, work)) for _ in range(3)]
    await work.running.wait()
    work.go_on.set()
    assert sorted(await asyncio.gather(*tasks)) == [
        ("result1", False),
        ("result1", True),
        ("result1", True),
    ]
    assert (work.begun, disposed) == (1, ["result1"])
    assert await take(flights, work) == ("result2", False)
    assert disposed == ["result1", "result2"]


async def test_a_result_is_good_until_the_last_lets_go() -> None:
    """And not disposed of before."""
    disposed: list[str] = []
    flights: Flights[str] = Flights(disposed.append)
    work = Work()
    work.go_on.set()
    async with flights.hold("key", work, quiet) as first:
        await first.result()
        async with flights.hold("key", work, quiet) as second:
            assert await second.result() == "result1"
        assert disposed == []
    assert disposed == ["result1"]


async def test_one_may_go_and_the_work_goes_on() -> None:
    """Only when the last one is cancelled, the work is, and its end is waited for."""
    flights: Flights[str] = Flights(quiet)  # type: ignore[arg-type]
    work = Work()
    first = asyncio.create_task(take(flights, work))
    await work.running.wait()
    second = asyncio.create_task(take(flights, work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert work.cancelled == 0
    second.cancel()
    await asyncio.wait([second])
    assert work.cancelled == 1


async def test_a_new_one_waits_for_the_old_to_end() -> None:
    """Two never write the same file."""
    flights: Flights[str] = Flights(quiet)  # type: ignore[arg-type]
    old, new = Work(), Work()
    old.slow_end = asyncio.Event()
    new.go_on.set()
    first = asyncio.create_task(take(flights, old))
    await old.running.wait()
    first.cancel()
    while not old.cancelled:  # noqa: ASYNC110
        await asyncio.sleep(0)
    second = asyncio.create_task(take(flights, new))
    for _ in range(20):
        await asyncio.sleep(0)
    assert new.begun == 0
    old.slow_end.set()
    assert await second == ("result1", False)


async def test_failed_work_fails_for_all_and_may_begin_anew() -> None:
    """Nothing of the failure stays."""
    flights: Flights[str] = Flights(quiet)  # type: ignore[arg-type]
    work = Work()
    work.error = SampanError("broken")
    tasks = [asyncio.create_task(take(flights, work)) for _ in range(2)]
    await work.running.wait()
    work.go_on.set()
    results: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["broken", "broken"]
    work.error = None
    assert await take(flights, work) == ("result2", False)


async def test_reports_reach_all_and_late_comers_get_the_last() -> None:
    """Whoever joins sees at once where it stands."""
    flights: Flights[str] = Flights(quiet)  # type: ignore[arg-type]
    work = Work()
    first: list[Message] = []
    second: list[Message] = []
    one = asyncio.create_task(take(flights, work, first.append))
    await work.running.wait()
    work.report({"n": 1})
    work.report({"n": 2})
    two = asyncio.create_task(take(flights, work, second.append))
    await asyncio.sleep(0)
    work.report({"n": 3})
    work.go_on.set()
    await asyncio.gather(one, two)
    assert first == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert second == [{"n": 2}, {"n": 3}]


async def test_a_holder_that_does_not_look_is_no_problem() -> None:
    """A failure that nobody asked for is not a warning of the loop."""
    flights: Flights[str] = Flights(quiet)  # type: ignore[arg-type]
    work = Work()
    work.error = SampanError("broken")
    work.go_on.set()
    with pytest.raises(SampanError, match="mine"):
        async with flights.hold("key", work, quiet):
            await work.running.wait()
            raise SampanError("mine")
