"""Events: the ring, times, filters, slow readers."""

from __future__ import annotations

import asyncio

import pytest

from sampan.engine import events
from sampan.engine.events import Event, Events
from sampan.errors import InvalidParameter, Unavailable
from tests.fakes.rooms import NOW, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ring(clock: FakeClock) -> Events:
    return Events(clock.now, size=5)


async def take(subscription: events.Subscription, count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [(await anext(subscription)).action for _ in range(count)]


async def test_what_comes(ring: Events) -> None:
    """From the subscription on; `close` ends it and leaves nothing."""
    ring.emit("container", "before", "c")
    subscription = ring.subscribe()
    ring.emit("container", "one", "c", {"a": "1"})
    ring.emit("container", "two", "c")
    assert await take(subscription, 2) == ["one", "two"]
    waiting = asyncio.create_task(anext(subscription))
    await asyncio.sleep(0)
    subscription.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert ring.listeners == 0


async def test_times_differ(ring: Events) -> None:
    """Even within one tick of the clock, so that `since` tells events apart."""
    times = [ring.emit("container", str(n), "c").time for n in range(3)]
    assert times == sorted(set(times))
    subscription = ring.subscribe(since=times[1])
    assert await take(subscription, 2) == ["1", "2"]


async def test_the_past(ring: Events, clock: FakeClock) -> None:
    """The ring keeps the last ones; `until` in the past ends at once."""
    for number in range(8):
        ring.emit("container", str(number), "c")
        clock.advance(1)
    found = [event.action async for event in ring.subscribe(since=1, until=clock.now())]
    assert found == ["3", "4", "5", "6", "7"]
    found = [event.action async for event in ring.subscribe(until=NOW + 5 * 10**9)]
    assert found == ["3", "4", "5"]


async def test_until_in_the_future(ring: Events, clock: FakeClock) -> None:
    """It ends then, though nothing happens."""
    subscription = ring.subscribe(until=clock.now() + 10**7)
    ring.emit("container", "one", "c")
    clock.advance(1)
    ring.emit("container", "late", "c")
    async with asyncio.timeout(5):
        assert [event.action async for event in subscription] == ["one"]


async def test_a_slow_reader(ring: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets what fits, then an error; the others lose nothing."""
    monkeypatch.setattr(events, "BACKLOG", 3)
    slow, quick = ring.subscribe(), ring.subscribe()
    for number in range(5):
        ring.emit("container", str(number), "c")
        assert await take(quick, 1) == [str(number)]
    assert await take(slow, 3) == ["0", "1", "2"]
    with pytest.raises(Unavailable):
        await anext(slow)


CONTAINER = Event(
    "container",
    "exec_start: sh -c x",
    "abcdef",
    {"name": "web", "image": "busybox:1", "a": "1"},
)
IMAGE = Event("image", "tag", "sha256:9", {"name": "busybox:1"})


@pytest.mark.parametrize(
    ("event", "filters", "expected"),
    [
        (CONTAINER, {}, True),
        (CONTAINER, {"type": ["container", "image"]}, True),
        (CONTAINER, {"type": ["image"]}, False),
        (CONTAINER, {"event": ["exec_start"]}, True),
        (CONTAINER, {"event": ["exec_start: sh -c x"]}, True),
        (CONTAINER, {"event": ["exec"]}, False),
        (CONTAINER, {"container": ["web"]}, True),
        (CONTAINER, {"container": ["abc"]}, True),
        (CONTAINER, {"container": ["xyz"]}, False),
        (CONTAINER, {"network": ["web"]}, False),
        (CONTAINER, {"image": ["busybox:1"]}, True),
        (CONTAINER, {"image": ["busybox"]}, True),
        (CONTAINER, {"image": ["busy"]}, False),
        (CONTAINER, {"label": ["a"]}, True),
        (CONTAINER, {"label": ["a=1", "b"]}, False),
        (CONTAINER, {"scope": ["swarm"]}, False),
        (IMAGE, {"image": ["busybox"]}, True),
        (IMAGE, {"image": ["sha256:9"]}, True),
        (IMAGE, {"event": ["tag"], "type": ["image"]}, True),
        (IMAGE, {"container": ["web"]}, False),
    ],
)
def test_filters(event: Event, filters: dict[str, list[str]], expected: bool) -> None:
    """moby's rules."""
    assert events.matches(event, filters) is expected


def test_unknown_filters(ring: Events) -> None:
    """400, and nobody is subscribed."""
    with pytest.raises(InvalidParameter, match="invalid filter 'foo'"):
        ring.subscribe(filters={"foo": ["x"]})
    assert ring.listeners == 0
