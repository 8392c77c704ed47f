"""The actor: jobs in order, none lost when a caller goes away, no task while there is nothing to do."""

from __future__ import annotations

import asyncio

import pytest

from sampan.engine.actor import Actor
from sampan.engine.records import State
from tests.fakes.engine import record


@pytest.fixture
def actor() -> Actor:
    return Actor(record("web"), lambda changed: None)


async def test_order(actor: Actor) -> None:
    """One after the other, results and errors to whom they belong."""
    seen: list[int] = []

    async def job(number: int) -> int:
        await asyncio.sleep(0)
        seen.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    results = await asyncio.gather(
        *(actor.do(lambda n=n: job(n)) for n in range(3)),  # type: ignore[misc]
        return_exceptions=True,
    )
    assert seen == [0, 1, 2]
    assert results[0] == 0
    assert isinstance(results[1], ValueError)
    assert results[2] == 2


async def test_a_caller_that_goes_away(actor: Actor) -> None:
    """Its job is done all the same, and so is the next one."""
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    caller = asyncio.create_task(actor.do(slow))
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    go_on.set()
    async with asyncio.timeout(5):
        await done.wait()
        await actor.idle()
    assert [t for t in asyncio.all_tasks() if t.get_name().startswith("container")] == []


async def test_posted_failures_are_logged(actor: Actor, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for them, and the actor goes on."""

    async def broken() -> None:
        raise OSError("on purpose")

    actor.post(broken)
    await actor.idle()
    assert "on purpose" in caplog.text

    async def fine() -> int:
        return 5

    assert await actor.do(fine) == 5


async def test_a_database_that_fails_changes_nothing() -> None:
    """The row first, then what readers see; a fact is a fact all the same."""

    def full(changed: object) -> None:
        raise OSError(28, "No space left on device")

    actor = Actor(record("web"), full)
    before, after = actor.record, record("other")
    with pytest.raises(OSError, match="No space"):
        actor.save(after)
    assert actor.record is before
    assert actor.save_fact(after) is False
    assert actor.record is after


async def test_running(actor: Actor) -> None:
    """Who waits for a restart is waited for, until it runs or will not be started; others are not."""
    await asyncio.wait_for(actor.running(), 5)
    for state in (State.RUNNING, State.EXITED):
        actor.save(record("web", state=State.RESTARTING))
        waiter = asyncio.create_task(actor.running())
        done, _ = await asyncio.wait([waiter], timeout=0.05)
        assert not done
        actor.save_fact(record("web", state=state))
        await asyncio.wait_for(waiter, 5)
