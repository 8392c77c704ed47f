"""Health checks as rules: what is asked of a container, when, and what an answer makes of it. Pure.

    starting ──success──▶ healthy ──`retries` failures in a row──▶ unhealthy ──success──▶ healthy
        └──failures after the start period, `retries` of them in a row──▶ unhealthy

Numbers and texts are moby's (`daemon/health.go`). Asking is `probe.py`'s.
"""

from __future__ import annotations

import msgspec

from sampan.engine.records import ContainerRecord, Health, HealthResult
from sampan.spec.container import ContainerConfig, HealthConfig
from sampan.spec.durations import format_duration

SECOND = 1_000_000_000
INTERVAL, TIMEOUT, START_INTERVAL = 30 * SECOND, 30 * SECOND, 5 * SECOND
RETRIES = 3
KEPT = 5  # results
OUTPUT_LIMIT = 4096  # bytes of a check's output
FAILED = -1  # exit code of a check that could not be made, or took too long

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


def command_of(config: ContainerConfig) -> tuple[str, ...]:
    """What to run in the container; empty: it has no check."""
    test = (config.healthcheck.test if config.healthcheck else None) or []
    match test[:1]:
        case ["CMD"]:
            return tuple(test[1:])
        case ["CMD-SHELL"]:
            return (*(config.shell or ("/bin/sh", "-c")), *test[1:])
    return ()


def begun(record: ContainerRecord) -> Health | None:
    """Of a container that has just been started."""
    if not command_of(record.config):
        return None
    return Health(status=STARTING, log=record.health.log if record.health else ())


def unwatched(record: ContainerRecord) -> Health | None:
    """Nobody asks any more (it ended, it is paused): dockerd says unhealthy then."""
    return record.health and msgspec.structs.replace(record.health, status=UNHEALTHY)


def timeout(record: ContainerRecord) -> int:
    return _config(record).timeout or TIMEOUT


def timed_out(nanoseconds: int, output: str) -> str:
    text = f"Health check exceeded timeout ({format_duration(nanoseconds)})"
    return f"{text}: {output}" if output else text


def delay(record: ContainerRecord, now: int) -> int:
    """Nanoseconds from the end of a check, or the start, to the next one."""
    config = _config(record)
    starting = record.health is not None and record.health.status == STARTING
    if starting and now - record.started_at < config.start_period:
        return config.start_interval or START_INTERVAL
    return config.interval or INTERVAL


def judge(record: ContainerRecord, result: HealthResult) -> ContainerRecord:
    """The record after one more check."""
    before = record.health or Health()
    config = _config(record)
    status, streak = before.status, before.failing_streak
    if result.exit_code == 0:
        status, streak = HEALTHY, 0
    elif status != STARTING or result.start - record.started_at >= config.start_period:
        streak += 1
        if streak >= (config.retries or RETRIES):
            status = UNHEALTHY
    log = (*before.log, result)[-KEPT:]
    return msgspec.structs.replace(
        record, health=Health(status=status, failing_streak=streak, log=log)
    )


def shown(output: bytes) -> str:
    """What is kept of a check's output."""
    text = output[:OUTPUT_LIMIT].decode("utf-8", "replace")
    return text + "..." if len(output) > OUTPUT_LIMIT else text


def _config(record: ContainerRecord) -> HealthConfig:
    return record.config.healthcheck or HealthConfig()
