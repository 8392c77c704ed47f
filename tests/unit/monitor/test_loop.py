"""The epoll loop: descriptors, timers, and callbacks that fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sampan.monitor.loop import HUP, IN, OUT, Loop


class Bench:
    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.loop = Loop(self.errors.append)
        self.read, self.write = os.pipe2(os.O_NONBLOCK)
        self.seen: list[int] = []


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for fd in (made.read, made.write):
        try:
            os.close(fd)
        except OSError:
            pass
    made.loop.close()


def test_a_ready_descriptor_calls_back_until_forgotten(bench: Bench) -> None:
    """Level-triggered; watching again replaces the events; forgetting twice is no error."""
    bench.loop.watch(bench.read, IN, bench.seen.append)
    bench.loop.step(0)
    assert bench.seen == []
    os.write(bench.write, b"x")
    bench.loop.step(0)
    bench.loop.step(0)
    assert bench.seen == [IN, IN]
    bench.loop.watch(bench.read, 0, bench.seen.append)
    bench.loop.step(0)
    assert len(bench.seen) == 2
    bench.loop.forget(bench.read)
    bench.loop.forget(bench.read)
    assert not bench.loop.watching(bench.read)


def test_a_hang_up_is_told_even_without_events(bench: Bench) -> None:
    """Which is why a blocked stream is forgotten and not only unwatched."""
    bench.loop.watch(bench.read, 0, bench.seen.append)
    os.close(bench.write)
    bench.loop.step(0)
    assert bench.seen == [HUP]


def test_one_forgotten_in_the_same_round_is_not_called(bench: Bench) -> None:
    """Its descriptor may be somebody else's by then."""
    os.write(bench.write, b"x")
    called: list[str] = []

    def first(_events: int) -> None:
        called.append("first")
        bench.loop.forget(bench.write)
        bench.loop.forget(bench.read)

    bench.loop.watch(bench.read, IN, first)
    bench.loop.watch(bench.write, OUT, first)
    bench.loop.step(0)
    assert called == ["first"]


def test_timers_run_in_order_and_can_be_cancelled(bench: Bench) -> None:
    """A step waits for the next timer, not longer; a cancelled one does not wake it."""
    order: list[str] = []
    bench.loop.later(0.002, lambda: order.append("late"))
    bench.loop.later(0.001, lambda: order.append("early"))
    bench.loop.later(0, lambda: order.append("never")).cancel()
    while len(order) < 2:
        bench.loop.step()
    assert order == ["early", "late"]
    bench.loop.later(3600, bench.loop.stop).cancel()
    assert bench.loop._until_timer() is None


def test_a_callback_that_raises_loses_only_its_own(bench: Bench) -> None:
    """Descriptor or timer; the error is told and the loop goes on."""

    def fail(*_: object) -> None:
        raise ValueError("mine")

    os.write(bench.write, b"x")
    bench.loop.watch(bench.read, IN, fail)
    bench.loop.later(0, fail)
    bench.loop.later(0, bench.loop.stop)
    bench.loop.run()
    assert [str(error) for error in bench.errors] == ["mine", "mine"]
    assert not bench.loop.watching(bench.read)
