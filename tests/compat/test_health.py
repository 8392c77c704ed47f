"""Health checks from outside: `--health-*`, what `ps`, `inspect` and `events` say, over pause, restart and daemon."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.engines import Driver, wait_until
from tests.rootfs import busybox_tar

FAST = ["--health-interval", "200ms", "--health-retries", "2"]


def start(driver: Driver, name: str, *flags: str) -> str:
    return driver.ok("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")


def health(driver: Driver, name: str) -> dict[str, Any]:
    status, body = driver.engine.request("GET", f"/containers/{name}/json")
    assert status == 200
    found: dict[str, Any] = body["State"].get("Health")
    return found


def wait_for(driver: Driver, name: str, status: str) -> dict[str, Any]:
    wait_until(lambda: health(driver, name)["Status"] == status, f"{name} to be {status}", 30)
    return health(driver, name)


def shown(driver: Driver, *flags: str) -> str:
    return driver.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}", *flags)


def test_from_starting_to_healthy(driver: Driver) -> None:
    """The status through failures and success, as inspect, ps, filters and events tell it."""
    since = str(int(time.time()))
    check = "cat /ok && echo fine"
    identifier = start(driver, "h1", "--health-cmd", check, "--health-interval", "500ms")
    found = health(driver, "h1")
    assert (found["Status"], found["FailingStreak"], found["Log"]) == ("starting", 0, [])
    assert shown(driver).endswith("(health: starting)")
    failed = wait_for(driver, "h1", "unhealthy")
    assert failed["FailingStreak"] >= 3
    assert failed["Log"][0]["ExitCode"] == 1
    assert "can't open '/ok'" in failed["Log"][0]["Output"]
    assert shown(driver).endswith("(unhealthy)")
    driver.ok("exec", "h1", "touch", "/ok")
    well = wait_for(driver, "h1", "healthy")
    assert (well["FailingStreak"], well["Log"][-1]["Output"]) == (0, "fine\n")
    assert shown(driver, "-f", "health=healthy").endswith("(healthy)")
    assert shown(driver, "-f", "health=unhealthy") == ""
    until = str(time.time())
    form = ["--format", "{{.Action}}", "-f", "event=health_status", "-f", f"container={identifier}"]
    events = driver.ok("events", "--since", since, "--until", until, *form)
    assert events.splitlines() == ["health_status: unhealthy", "health_status: healthy"]
    assert driver.inspect("h1")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", check],
        "Interval": 500_000_000,
    }


def test_pause_and_end(driver: Driver) -> None:
    """Who is not asked any more is unhealthy; after unpause and start it is asked again."""
    start(driver, "h1", "--health-cmd", "true", *FAST)
    wait_for(driver, "h1", "healthy")
    driver.ok("pause", "h1")
    assert health(driver, "h1")["Status"] == "unhealthy"
    assert shown(driver).endswith("(Paused)")
    driver.ok("unpause", "h1")
    wait_for(driver, "h1", "healthy")
    driver.ok("kill", "h1")
    assert health(driver, "h1")["Status"] == "unhealthy"
    assert "health" not in shown(driver)
    driver.ok("start", "h1")
    wait_for(driver, "h1", "healthy")


def test_a_check_that_takes_too_long(driver: Driver) -> None:
    """It is given up, said so, and killed."""
    flags = ["--health-cmd", "exec sleep 77", "--health-timeout", "200ms"]
    start(driver, "h1", *flags, "--health-interval", "200ms", "--health-retries", "1")
    found = wait_for(driver, "h1", "unhealthy")
    assert found["Log"][0]["ExitCode"] == -1
    assert found["Log"][0]["Output"].startswith("Health check exceeded timeout (200ms)")
    if driver.engine.kind == "sampand":
        count = ["exec", "h1", "sh", "-c", "ps | grep -c '[s]leep 77' || true"]
        wait_until(lambda: int(driver.ok(*count)) <= 1, "killed checks to go")


@pytest.mark.parametrize(
    ("check", "code", "output"),
    [
        (["CMD", "nosuch"], -1, 'exec: "nosuch": executable file not found in $PATH'),
        (["CMD", "sh", "-c", "echo $X; pwd; exit 3"], 3, "y\n/tmp\n"),
        (["CMD-SHELL", "yes | head -c 6000; exit 1"], 1, "y\n" * 2048 + "..."),
    ],
)
def test_kinds_of_checks(driver: Driver, check: list[str], code: int, output: str) -> None:
    """A command, a line for the shell; its environment and folder; as much output as is kept."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "Env": ["X=y"],
        "WorkingDir": "/tmp",
        "Healthcheck": {"Test": check, "Interval": 10**8, "Retries": 1},
    }
    assert driver.engine.request("POST", "/containers/create?name=h1", body)[0] == 201
    driver.ok("start", "h1")
    found = wait_for(driver, "h1", "unhealthy")["Log"][0]
    assert found["ExitCode"] == code
    assert output in found["Output"]


def test_the_image_says_so(driver: Driver) -> None:
    """An image's check is used, its numbers too where the user gives none; --no-healthcheck switches it off."""
    check = "HEALTHCHECK --interval=1s --retries=9 CMD echo well"
    driver.load_image(busybox_tar(), "checked:latest", check)
    driver.ok("run", "-d", "--name", "h1", "--health-retries", "4", "checked", "sleep", "1000")
    assert driver.inspect("h1")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", "echo well"],
        "Interval": 1_000_000_000,
        "Retries": 4,
    }
    assert wait_for(driver, "h1", "healthy")["Log"][-1]["Output"] == "well\n"
    driver.ok("run", "-d", "--name", "h2", "--no-healthcheck", "checked", "sleep", "1000")
    assert health(driver, "h2") is None
    assert "health" not in shown(driver, "-f", "name=h2")
    driver.ok("rm", "-f", "h1", "h2")
    driver.ok("rmi", "checked")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--health-interval", "1us"], "Interval in Healthcheck cannot be less than 1ms"),
        (["--health-timeout", "1us"], "Timeout in Healthcheck cannot be less than 1ms"),
        (["--health-start-period", "1us"], "StartPeriod in Healthcheck cannot be less than 1ms"),
        (["--health-retries", "-1"], "--health-retries cannot be negative"),
        (["--no-healthcheck"], "--no-healthcheck conflicts with --health-* options"),
    ],
)
def test_refused(driver: Driver, flags: list[str], complaint: str) -> None:
    """Numbers that make no sense, in docker's words."""
    refused = driver("run", "--rm", "--health-cmd", "true", *flags, "busybox")
    assert (refused.code, complaint in refused.err) == (125, True), refused.err


def test_the_start_period(driver: Driver) -> None:
    """Failures in it do not count."""
    flags = ["--health-cmd", "exit 1", "--health-interval", "100ms", "--health-retries", "1"]
    start(driver, "h1", *flags, "--health-start-period", "1h")
    start(driver, "h2", *flags)
    wait_for(driver, "h2", "unhealthy")
    wait_until(
        lambda: driver.engine.kind == "sampand" or health(driver, "h1")["Log"], "a check", 30
    )
    found = health(driver, "h1")
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)


def test_the_daemon_comes_back(ours: Driver) -> None:
    """Status and results are known to the next daemon, and it goes on asking."""
    start(ours, "h1", "--health-cmd", "cat /ok", *FAST)
    wait_for(ours, "h1", "unhealthy")
    ours.engine.kill()
    ours.engine.start()
    assert health(ours, "h1")["Status"] == "unhealthy"
    ours.ok("exec", "h1", "sh", "-c", "echo 1 > /ok")
    assert json.dumps(wait_for(ours, "h1", "healthy")["Log"][-1]["Output"]) == '"1\\n"'
