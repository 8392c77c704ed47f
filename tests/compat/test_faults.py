"""A container that misbehaves disturbs neither the daemon nor another container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, wait_until

ECHO = 'while read line; do echo "$line"; done'
FORKS = "(while :; do sleep 1000 & done); exec sleep 1000"


class Neighbour:
    """Another container, which answers on its standard input while the test goes on."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._process = driver.popen(
            *("run", "-i", "--rm", "--name", "neighbour", "busybox", "sh", "-c", ECHO)
        )
        self.answers()

    def answers(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"are you there?\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"are you there?\n"
        assert self._driver.ok("exec", "neighbour", "echo", "yes") == "yes"
        assert "neighbour" in self._driver.ok("ps", "--format", "{{.Names}}")


@pytest.fixture
def neighbour(ours: Driver) -> Iterator[Neighbour]:
    found = Neighbour(ours)
    yield found
    found.answers()


def start(driver: Driver, script: str, *flags: str) -> str:
    return driver.ok("run", "-d", "--name", "bad", *flags, "busybox", "sh", "-c", script)


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_it_floods_its_output(ours: Driver, neighbour: Neighbour) -> None:
    """Its log stays within its bounds, the daemon's memory where it was, a client that reads nothing hangs nobody."""
    assert ours.engine.process is not None
    before = resident(ours.engine.process.pid)
    bounds = ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"]
    name = start(ours, "yes flood", *bounds)
    ours.popen("logs", "-f", name)
    ours.popen("attach", name)
    home = ours.engine.data_root / "containers" / name
    wait_until(lambda: len(list(home.glob("*-json.log*"))) == 2, "a rotation", 30)
    for _ in range(5):
        neighbour.answers()
    assert sum(path.stat().st_size for path in home.glob("*-json.log*")) < 4 << 20
    assert resident(ours.engine.process.pid) < before + (64 << 20)
    ours.ok("rm", "-f", name)


def test_it_forks_without_end(ours: Driver, neighbour: Neighbour) -> None:
    """The limit of processes holds it; it can be looked at, and killed with all of them."""
    name = start(ours, FORKS, "--pids-limit", "40", "--cpus", "0.2")
    wait_until(lambda: "can't fork" in ours("logs", name).err, "it to reach its limit", 60)
    ours.ok("pause", name)
    ours.ok("unpause", name)
    neighbour.answers()
    assert 20 < len(ours.ok("top", name).splitlines()) <= 41
    ours.ok("rm", "-f", name)
    assert ours.ok("ps", "-aq", "-f", "name=bad") == ""


def test_it_fills_its_disk(ours: Driver, neighbour: Neighbour) -> None:
    """A file system of its own that is full is its own affair."""
    script = "dd if=/dev/zero of=/t/x bs=64k 2>/dev/null; echo full; exec sleep 1000"
    name = start(ours, script, "--tmpfs", "/t:size=2m")
    wait_until(lambda: ours.ok("logs", name) == "full", "its disk to be full")
    neighbour.answers()
    refused = ours("exec", name, "sh", "-c", "echo x > /t/y")
    assert "No space left on device" in refused.err


def test_it_ignores_signals(ours: Driver, neighbour: Neighbour) -> None:
    """`stop` waits its grace, and not longer."""
    name = start(ours, "trap '' TERM INT HUP; echo up; while :; do sleep 0.1; done")
    wait_until(lambda: ours.ok("logs", name) == "up", "its traps")
    ours.ok("stop", "-t", "1", name, timeout=30)
    assert ours.inspect(name)["State"]["ExitCode"] == 137


def test_it_closes_its_streams(ours: Driver, neighbour: Neighbour) -> None:
    """It runs on, can be waited for, and tells how it ended; clients of its output get their end."""
    script = "exec 0<&- 1>&- 2>&-; while ! [ -e /go ]; do sleep 0.1; done; exit 7"
    name = start(ours, script)
    follower = ours.popen("logs", "-f", name)
    attached = ours.popen("attach", name)
    neighbour.answers()
    assert ours.inspect(name)["State"]["Running"] is True
    ours.ok("exec", name, "touch", "/go")
    assert ours.ok("wait", name) == "7"
    assert follower.wait(20) == 0
    assert attached.wait(20) in (0, 7)


def test_its_monitor_is_killed(ours: Driver, neighbour: Neighbour) -> None:
    """It is killed too, said so, and can be started again."""
    name = start(ours, "exec sleep 1000")
    run = ours.engine.exec_root / "containers" / name / "monitor.json"
    pid = int(run.read_text().partition('"pid":')[2].split(",")[0])
    os.kill(pid, 9)
    wait_until(lambda: not ours.inspect(name)["State"]["Running"], "its end")
    state = ours.inspect(name)["State"]
    assert state["ExitCode"] == 137
    assert "monitor" in state["Error"]
    ours.ok("start", name)
    assert ours.inspect(name)["State"]["Running"] is True


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_restart_policies_over_the_daemon(ours: Driver, policy: str) -> None:
    """Back-off doubles; what waits for its restart when the daemon dies is started by the next one."""
    name = ours.ok("run", "-d", "--restart", policy, "busybox", "sh", "-c", "exit 3")
    wait_until(lambda: ours.inspect(name)["RestartCount"] >= 3, "three restarts", 30)
    ours.engine.kill()
    ours.engine.start()
    before = ours.inspect(name)["RestartCount"]
    wait_until(lambda: ours.inspect(name)["RestartCount"] > before, "another restart", 30)
    ours.ok("stop", name)
    assert ours.inspect(name)["State"]["Status"] == "exited"
    ours.engine.restart()
    if policy == "always":
        wait_until(lambda: ours.inspect(name)["State"]["Status"] != "exited", "its start", 30)
    else:
        assert ours.inspect(name)["State"]["Status"] == "exited"
