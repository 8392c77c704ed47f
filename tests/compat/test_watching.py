"""top, stats, diff: looking at a container from outside, with both clients, on both engines."""

from __future__ import annotations

import json
import re

from tests.engines import Driver, Engine, wait_until


def test_top(driver: Driver) -> None:
    """The container's processes and no others, with the columns that were asked for."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c", "sleep 1234 & sleep 1235 & wait")
    wait_until(lambda: len(driver.ok("top", "c1").splitlines()) == 4, "three processes")
    header, *rows = driver.ok("top", "c1").splitlines()
    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert sum("sleep 123" in row for row in rows) == 3
    header, *rows = driver.ok("top", "c1", "-o", "pid,comm").splitlines()
    assert header.split() == ["PID", "COMMAND"]
    assert sorted(row.split()[1] for row in rows) == ["sh", "sleep", "sleep"]
    for options, text in (
        (["-o", "comm"], "Couldn't find PID field in ps output"),
        (["--nosuch"], "ps: error: unknown gnu long option"),
    ):
        refused = driver("top", "c1", *options)
        assert (refused.code, text in refused.err) == (1, True), refused
    driver.ok("create", "--name", "c2", "busybox")
    assert "is not running" in driver("top", "c2").err
    assert "No such container: nosuch" in driver("top", "nosuch").err


def test_stats(driver: Driver) -> None:
    """One line a container: what runs has numbers, what does not has zeros; a template; an unknown name."""
    identifier = driver.ok("run", "-d", "--name", "c1", "-m", "64m", "busybox", "sleep", "1000")
    driver.ok("create", "--name", "c2", "busybox")
    header, row = driver.ok("stats", "--no-stream").splitlines()
    assert header.split("  ")[0] == "CONTAINER ID"
    assert row.split()[:2] == [identifier[:12], "c1"]
    assert "/ 64MiB" in row
    shown = driver.ok("stats", "--no-stream", "-a", "--format", "{{.Name}} {{.PIDs}}")
    assert sorted(shown.splitlines()) == ["c1 1", "c2 0"]
    missing = driver("stats", "--no-stream", "nosuch")
    assert missing.code == 1
    assert "No such container: nosuch" in missing.err


def test_stats_stream(driver: Driver) -> None:
    """It goes on, and shows what began meanwhile."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    stream = driver.popen("stats", "--format", "{{.Name}}:")
    assert stream.stdout is not None
    seen = b""
    while b"c1:" not in seen:
        seen += stream.stdout.read1()
    driver.ok("run", "-d", "--name", "c2", "busybox", "sleep", "1000")
    while b"c2:" not in seen:
        seen += stream.stdout.read1()


def test_stats_json_is_dockers(dockerd: Engine, sampand: Engine) -> None:
    """The same keys at every level, one-shot, whole and of what does not run."""
    shapes = []
    for engine in (dockerd, sampand):
        driver = Driver(engine, "docker")
        try:
            driver.ok("run", "-d", "--name", "c1", "-m", "64m", "busybox", "sleep", "1000")
            driver.ok("create", "--name", "c2", "busybox")
            shapes.append(
                [
                    shape(engine.request("GET", f"/v1.41/containers/{path}")[1])
                    for path in (
                        "c1/stats?stream=0",
                        "c1/stats?stream=0&one-shot=1",
                        "c2/stats?stream=0",
                    )
                ]
            )
        finally:
            driver.close()
    assert shapes[0] == shapes[1]


def shape(value: object) -> object:
    """Without the numbers, and without what depends on the kernel's counters alone."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key != "failcnt"}
    return type(value).__name__ if not isinstance(value, list) else "list"


def test_diff(driver: Driver) -> None:
    """What was added, changed and removed, while it runs and afterwards; nothing for a fresh one."""
    script = "echo x > /etc/new; rm /bin/ls; mkdir -p /x/y; chmod 700 /bin; touch /x/y/z"
    driver.ok("run", "--name", "c1", "busybox", "sh", "-c", script)
    assert sorted(driver.ok("diff", "c1").splitlines()) == sorted(
        ["C /bin", "D /bin/ls", "C /etc", "A /etc/new", "A /x", "A /x/y", "A /x/y/z"]
    )
    driver.ok("create", "--name", "c2", "busybox")
    assert driver.ok("diff", "c2") == ""
    assert "No such container: nosuch" in driver("diff", "nosuch").err


def test_sampan_shows_percentages(ours: Driver) -> None:
    """A busy container has a CPU share that is no zero."""
    ours.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c", "while :; do :; done")
    row = json.loads(ours.ok("stats", "--no-stream", "--format", "json", "c1"))
    assert re.fullmatch(r"\d+\.\d\d%", row["CPUPerc"])
    assert float(row["CPUPerc"][:-1]) > 5
    assert row["Container"] == "c1"
