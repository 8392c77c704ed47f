"""Receipts: what a container has used, and what an auto-removed one still answers by its id."""

from __future__ import annotations

import json
import os

import pytest

from tests.engines import Driver, Engine, wait_until


def test_usage(ours: Driver) -> None:
    """After the exit State tells peak memory, CPU time, I/O and OOM kills; not while it runs, nor before."""
    script = "head -c 20000000 /dev/zero | tail -c 20000000 > /dev/shm/x; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
    ours.ok("create", "--name", "c1", "busybox", "sh", "-c", script)
    assert "Usage" not in ours.inspect("c1")["State"]
    ours.ok("start", "c1")
    ours.ok("wait", "c1")
    usage = ours.inspect("c1")["State"]["Usage"]
    assert set(usage) == {"PeakMemory", "CPUTime", "IORead", "IOWritten", "OOMKills"}
    assert usage["PeakMemory"] > 20_000_000
    assert usage["CPUTime"] > 20_000_000
    assert usage["OOMKills"] == 0
    shown = json.loads(ours.ok("inspect", "-f", "{{json .State}}", "c1"))
    assert shown["ExitCode"] == 0


def test_out_of_memory(ours: Driver) -> None:
    """The kills are counted, and the peak is the limit."""
    ours("run", "--name", "c1", "-m", "10m", "--memory-swap", "10m", "busybox", "tail", "/dev/zero")
    state = ours.inspect("c1")["State"]
    assert (state["OOMKilled"], state["Usage"]["OOMKills"]) == (True, 1)
    assert 8 << 20 < state["Usage"]["PeakMemory"] <= 10 << 20


@pytest.fixture
def gone(ours: Driver) -> tuple[Driver, str]:
    """The id of an auto-removed container."""
    identifier = ours.ok(
        "run", "-d", "--rm", "--name", "c1", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"
    )
    wait_until(lambda: "c1" not in ours.ok("ps", "-a", "--format", "{{.Names}}"), "its removal")
    return ours, identifier


def test_an_auto_removed_container(gone: tuple[Driver, str]) -> None:
    """By id and by its prefix; not by name, which is free; not in lists; and nothing else works."""
    driver, identifier = gone
    for ref in (identifier, identifier[:12]):
        assert driver.ok("wait", ref) == "7"
        logs = driver("logs", ref)
        assert (logs.out, logs.err) == ("out\n", "err\n")
        state = driver.inspect(ref)["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 7)
        assert state["Usage"]["PeakMemory"] > 0
    assert driver.ok("logs", "-f", "--tail", "1", identifier) in ("out", "")
    for words in (
        ["inspect", "c1"],
        ["logs", "c1"],
        ["start", identifier],
        ["rm", identifier],
        ["inspect", identifier[:8]],
    ):
        refused = driver(*words)
        assert refused.code != 0, words
        assert "No such" in refused.err
    assert driver.ok("ps", "-aq") == ""
    driver.ok("run", "--name", "c1", "busybox", "true")


def test_one_removed_by_hand(ours: Driver) -> None:
    """The API's `wait` and `logs` by id go on, `inspect` says that it is gone, as with docker."""
    identifier = ours.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c", "echo hi; exit 3")
    ours.ok("wait", "c1")
    ours.ok("rm", "c1")
    assert ours.ok("wait", identifier) == "3"
    status, log = ours.engine.request("GET", f"/containers/{identifier}/logs?stdout=1")
    assert (status, log[-3:]) == (200, "hi\n")
    assert "No such" in ours("inspect", identifier).err


def test_nothing_is_left(sampand: Engine) -> None:
    """A daemon that starts has no receipts, nor their logs."""
    driver = Driver(sampand, "docker")
    identifier = driver.ok("run", "-d", "busybox", "sh", "-c", "echo hi")
    driver.ok("wait", identifier)
    driver.ok("rm", identifier)
    folder = sampand.data_root / "receipts"
    assert identifier in os.listdir(folder)
    sampand.restart()
    assert os.listdir(folder) == []
    assert "No such container" in driver("logs", identifier).err
