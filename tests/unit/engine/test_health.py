"""Health checks as rules: what is run, when, and what an answer makes of the status."""

from __future__ import annotations

import pytest

from sampan.engine import health
from sampan.engine.records import ContainerRecord, Health, HealthResult
from sampan.spec.container import (
    ContainerConfig,
    HealthConfig,
    HostConfig,
    NetworkingConfig,
)

SECOND = 10**9
BEGAN = 1000 * SECOND


def record(config: HealthConfig | None = None, *, now: Health | None = None) -> ContainerRecord:
    return ContainerRecord(
        id="c" * 64,
        name="web",
        created=0,
        path="sh",
        config=ContainerConfig(healthcheck=config),
        host_config=HostConfig(),
        networking=NetworkingConfig(),
        started_at=BEGAN,
        health=now,
    )


def result(code: int, *, after: float = 1.0) -> HealthResult:
    start = BEGAN + int(after * SECOND)
    return HealthResult(start=start, end=start + 1, exit_code=code, output="")


@pytest.mark.parametrize(
    ("test", "shell", "command"),
    [
        (None, None, ()),
        ([], None, ()),
        (["NONE"], None, ()),
        (["CMD", "a", "b"], None, ("a", "b")),
        (["CMD"], None, ()),
        (["CMD-SHELL", "a b"], None, ("/bin/sh", "-c", "a b")),
        (["CMD-SHELL", "a b"], ["ash", "-ec"], ("ash", "-ec", "a b")),
        (["FOO", "a"], None, ()),
    ],
)
def test_what_is_run(
    test: list[str] | None, shell: list[str] | None, command: tuple[str, ...]
) -> None:
    """A command, a line for the image's shell, or nothing."""
    config = ContainerConfig(healthcheck=HealthConfig(test=test), shell=shell)
    assert health.command_of(config) == command


@pytest.mark.parametrize(
    ("codes", "states"),
    [
        ((0,), ["healthy 0"]),
        ((1, 1, 1), ["starting 1", "starting 2", "unhealthy 3"]),
        ((1, 0, 1), ["starting 1", "healthy 0", "healthy 1"]),
        ((0, 1, 2, -1, 0), ["healthy 0", "healthy 1", "healthy 2", "unhealthy 3", "healthy 0"]),
    ],
)
def test_three_failures_in_a_row(codes: tuple[int, ...], states: list[str]) -> None:
    """Status and streak after each check, with the usual number of retries."""
    current, seen = record(HealthConfig(test=["CMD", "x"]), now=Health()), []
    for code in codes:
        current = health.judge(current, result(code))
        assert current.health is not None
        seen.append(f"{current.health.status} {current.health.failing_streak}")
    assert seen == states


def test_the_start_period() -> None:
    """Failures in it do not count, until the first success; afterwards they do."""
    config = HealthConfig(test=["CMD", "x"], start_period=10 * SECOND, retries=1)
    young = health.judge(record(config, now=Health()), result(1, after=9))
    assert young.health is not None
    assert (young.health.status, young.health.failing_streak) == ("starting", 0)
    old = health.judge(young, result(1, after=11))
    assert old.health is not None
    assert old.health.status == "unhealthy"
    well = health.judge(young, result(0, after=1))
    again = health.judge(well, result(1, after=2))
    assert again.health is not None
    assert again.health.status == "unhealthy"


def test_five_results_are_kept() -> None:
    """The oldest goes first."""
    current = record(HealthConfig(test=["CMD", "x"]), now=Health())
    for code in range(7):
        current = health.judge(current, result(code))
    assert current.health is not None
    assert [kept.exit_code for kept in current.health.log] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("config", "status", "age", "delay"),
    [
        (HealthConfig(), "starting", 0, 30),
        (HealthConfig(interval=7 * SECOND), "healthy", 0, 7),
        (HealthConfig(start_period=9 * SECOND), "starting", 1, 5),
        (HealthConfig(start_period=9 * SECOND, start_interval=SECOND), "starting", 1, 1),
        (HealthConfig(start_period=9 * SECOND, start_interval=SECOND), "starting", 10, 30),
        (HealthConfig(start_period=9 * SECOND, start_interval=SECOND), "healthy", 1, 30),
    ],
)
def test_when_it_is_asked_next(config: HealthConfig, status: str, age: int, delay: int) -> None:
    """The interval; in the start period, until it is well, the start interval."""
    current = record(config, now=Health(status=status))
    assert health.delay(current, BEGAN + age * SECOND) == delay * SECOND


def test_start_and_end_of_asking() -> None:
    """A start begins anew but keeps the results; what is not asked any more is unhealthy."""
    config = HealthConfig(test=["CMD", "x"])
    before = record(config, now=Health(status="healthy", failing_streak=2, log=(result(0),)))
    assert health.begun(before) == Health(status="starting", log=(result(0),))
    assert health.begun(record(HealthConfig(test=["NONE"]))) is None
    ended = health.unwatched(before)
    assert ended is not None
    assert ended.status == "unhealthy"
    assert health.unwatched(record()) is None


def test_output() -> None:
    """4096 bytes of it, and a word about a timeout."""
    assert health.shown(b"a\xff") == "a\ufffd"
    assert health.shown(b"a" * 4096) == "a" * 4096
    assert health.shown(b"a" * 4097) == "a" * 4096 + "..."
    assert health.timed_out(200_000_000, "") == "Health check exceeded timeout (200ms)"
    assert health.timed_out(90 * SECOND, "x") == "Health check exceeded timeout (1m30s): x"
