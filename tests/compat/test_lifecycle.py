"""create, start, stop, restart, kill, rm, rename, wait, ps, logs: a container's life from outside."""

from __future__ import annotations

import re
import time

import pytest

from tests.engines import Driver, wait_until


def state(driver: Driver, name: str) -> str:
    return driver.ok("inspect", "-f", "{{.State.Status}}", name)


def test_create_start_stop_rm(driver: Driver) -> None:
    """The states a container goes through, and what each command prints."""
    identifier = driver.ok(
        "create",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 5' TERM; while :; do sleep 0.1; done",
    )
    assert re.fullmatch("[0-9a-f]{64}", identifier)
    assert state(driver, "c1") == "created"
    assert driver.ok("start", "c1") == "c1"
    assert state(driver, "c1") == "running"
    assert driver.ok("start", "c1") == "c1"
    assert driver.ok("stop", "c1") == "c1"
    assert driver.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c1") == "exited 5"
    assert driver.ok("start", identifier[:8]) == identifier[:8]
    assert driver.ok("restart", "-t", "3", "c1") == "c1"
    assert state(driver, "c1") == "running"
    assert driver.ok("rm", "-f", "c1") == "c1"
    assert driver.ok("ps", "-aq") == ""


def test_names(driver: Driver) -> None:
    """Names are unique, prefixes of ids are enough unless ambiguous, rename frees the old name."""
    first = driver.ok("create", "--name", "one", "busybox", "true")
    clash = driver("create", "--name", "one", "busybox", "true")
    assert clash.code in (1, 125)
    assert (
        f'Conflict. The container name "/one" is already in use by container "{first}"' in clash.err
    )
    assert (
        "You have to remove (or rename) that container to be able to reuse that name." in clash.err
    )
    driver.ok("rename", "one", "two")
    driver.ok("create", "--name", "one", "busybox", "true")
    taken = driver("rename", "two", "one")
    assert taken.code == 1
    assert "is already in use" in taken.err
    assert driver.ok("inspect", "-f", "{{.Name}}", first[:10]) == "/two"
    missing = driver("start", "nosuch")
    assert missing.code == 1
    assert "No such container: nosuch" in missing.err


def test_ambiguous_prefix(driver: Driver) -> None:
    """A prefix that fits two containers is refused."""
    by_first: dict[str, int] = {}
    for _ in range(17):
        identifier = driver.ok("create", "busybox", "true")
        by_first[identifier[0]] = by_first.get(identifier[0], 0) + 1
    twice = next(letter for letter, count in by_first.items() if count > 1)
    refused = driver("start", twice)
    assert refused.code == 1
    assert re.search(
        rf"(multiple IDs found with provided prefix|Multiple IDs found with provided prefix): {twice}",
        refused.err,
    )


def test_rm_refuses_a_running_container(driver: Driver) -> None:
    """A running container is removed only by force."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    refused = driver("rm", "c1")
    assert refused.code == 1
    assert re.search(
        r"[Yy]ou cannot remove a running container|cannot remove container .*container is running",
        refused.err,
    )
    assert state(driver, "c1") == "running"
    driver.ok("rm", "-f", "c1")
    again = driver("rm", "c1")
    assert again.code == 1
    assert "No such container: c1" in again.err


def test_kill_and_wait(driver: Driver) -> None:
    """`kill` sends the signal asked for; `wait` gives the exit code; killing what is dead is refused."""
    driver.ok(
        "run",
        "-d",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 9' USR1; while :; do sleep 0.1; done",
    )
    waiting = driver.popen("wait", "c1")
    wait_until(lambda: driver("exec", "c1", "true").code == 0, "the container to run")
    assert driver.ok("kill", "-s", "USR1", "c1") == "c1"
    assert waiting.communicate(timeout=20)[0].decode() == "9\n"
    refused = driver("kill", "c1")
    assert refused.code == 1
    assert re.search("is not running", refused.err)
    assert driver.ok("wait", "c1") == "9"
    bad = driver("kill", "-s", "NOSUCH", "c1")
    assert bad.code == 1
    assert re.search(r"[Ii]nvalid signal: NOSUCH", bad.err)


def test_kill_without_a_signal_is_sigkill(driver: Driver) -> None:
    """The default signal ends any process; the exit code is 128+9."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    driver.ok("kill", "c1")
    assert driver.ok("wait", "c1") == "137"


def test_stop_of_a_process_that_cannot_be_stopped_politely(ours: Driver) -> None:
    """PID 1 without a handler never receives SIGTERM: the grace is not waited for."""
    ours.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    begin = time.monotonic()
    ours.ok("stop", "c1")
    assert time.monotonic() - begin < 2
    assert ours.ok("inspect", "-f", "{{.State.ExitCode}}", "c1") == "137"


def test_stop_waits_for_a_process_that_handles_the_signal(driver: Driver) -> None:
    """A handler gets its grace, and the grace is -t seconds."""
    driver.ok(
        "run",
        "-d",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "trap 'sleep 0.5; exit 4' TERM; while :; do sleep 0.1; done",
    )
    driver.ok("stop", "c1")
    assert driver.ok("inspect", "-f", "{{.State.ExitCode}}", "c1") == "4"
    driver.ok(
        "run",
        "-d",
        "--name",
        "d1",
        "busybox",
        "sh",
        "-c",
        "trap : TERM; while :; do sleep 0.1; done",
    )
    begin = time.monotonic()
    driver.ok("stop", "-t", "1", "d1")
    assert 0.9 < time.monotonic() - begin < 6
    assert driver.ok("inspect", "-f", "{{.State.ExitCode}}", "d1") == "137"


def test_logs(driver: Driver) -> None:
    """Both streams are kept apart, with tail, timestamps and since."""
    driver.ok(
        "run",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "echo one; echo two >&2; sleep 0.2; echo three; printf unended",
    )
    logs = driver("logs", "c1")
    assert logs.out == "one\nthree\nunended"
    assert logs.err == "two\n"
    tail = driver("logs", "--tail", "2", "c1")
    assert (tail.out, tail.err) == ("three\nunended", "")
    stamped = driver("logs", "-t", "c1").out.splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z one", stamped)
    assert driver("logs", "--since", "2030-01-01T00:00:00Z", "c1").out == ""
    assert driver("logs", "--until", "2020-01-01T00:00:00Z", "c1").out == ""


def test_logs_follow(driver: Driver) -> None:
    """`logs -f` shows what comes and ends with the container."""
    driver.ok(
        "run",
        "-d",
        "-i",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "echo begin; while [ ! -e /go ]; do sleep 0.05; done; echo end",
    )
    follower = driver.popen("logs", "-f", "c1")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"begin\n"
    driver.ok("exec", "c1", "touch", "/go")
    assert follower.communicate(timeout=20)[0] == b"end\n"
    assert follower.returncode == 0


def test_ps(driver: Driver) -> None:
    """The table's columns, filters, formats and quiet forms."""
    running = driver.ok("run", "-d", "--name", "up", "-l", "tier=web", "busybox", "sleep", "100")
    driver("run", "--name", "down", "busybox", "sh", "-c", "exit 3")
    table = driver.ok("ps", "-a").splitlines()
    assert re.fullmatch(
        r"CONTAINER ID\s+IMAGE\s+COMMAND\s+CREATED\s+STATUS\s+PORTS\s+NAMES", table[0].strip()
    )
    rows = {line.split()[-1]: line for line in table[1:]}
    assert re.search(rf'^{running[:12]}\s+busybox\s+"sleep 100"\s+.*ago\s+Up .*\s+up$', rows["up"])
    assert re.search(r'"sh -c \'exit 3\'"\s+.*Exited \(3\) .*ago\s+down$', rows["down"])
    assert driver.ok("ps", "-q") == running[:12]
    assert driver.ok("ps", "-q", "--no-trunc") == running
    assert (
        driver.ok("ps", "-a", "--format", "{{.Names}} {{.Image}}", "--filter", "status=exited")
        == "down busybox"
    )
    assert driver.ok("ps", "-a", "--filter", "label=tier=web", "--format", "{{.Names}}") == "up"
    assert driver.ok("ps", "-a", "--filter", "exited=3", "--format", "{{.Names}}") == "down"
    assert driver.ok("ps", "-a", "--filter", "name=^/up$", "--format", "{{.Names}}") == "up"
    assert driver.ok("ps", "-l", "--format", "{{.Names}}") == "down"
    assert sorted(
        driver.ok("ps", "-a", "--format", "{{.Names}}", "--filter", "ancestor=busybox").split()
    ) == ["down", "up"]
    assert driver("ps", "--filter", "nosuch=1").code == 1


def test_auto_remove(driver: Driver) -> None:
    """`--rm` takes the container away, also after a detached run."""
    assert driver.ok("run", "--rm", "busybox", "echo", "x") == "x"
    driver.ok("run", "-d", "--rm", "--name", "c1", "busybox", "true")
    wait_until(lambda: driver.ok("ps", "-aq") == "", "the container to go")


def test_start_attached(driver: Driver) -> None:
    """`start -a` shows the output and gives the exit code; `start -ai` feeds stdin too."""
    driver.ok("create", "--name", "c1", "busybox", "sh", "-c", "echo out; exit 6")
    result = driver("start", "-a", "c1")
    assert (result.code, result.out) == (6, "out\n")
    driver.ok("create", "-i", "--name", "d1", "busybox", "cat")
    assert driver("start", "-ai", "d1", input="words\n").out == "words\n"


def test_start_that_fails_leaves_a_created_container(driver: Driver) -> None:
    """A command that is not there: 127 in the state, the text in State.Error, and the container can be removed."""
    driver.ok("create", "--name", "c1", "busybox", "nosuch")
    result = driver("start", "c1")
    assert result.code == 1
    assert 'exec: "nosuch": executable file not found in $PATH' in result.err
    facts = driver.inspect("c1")["State"]
    assert facts["Status"] == "created"
    assert facts["ExitCode"] == 127
    assert 'exec: "nosuch": executable file not found in $PATH' in facts["Error"]
    driver.ok("rm", "c1")


def test_events(driver: Driver) -> None:
    """The events of a life, in order."""
    since = str(int(time.time()) - 1)
    name = f"evented-{time.time_ns()}"  # another driver may have done this within the same second
    driver.ok("run", "--name", name, "busybox", "true")
    driver.ok("rm", name)
    until = str(int(time.time()) + 1)
    lines = driver.ok(
        "events", "--since", since, "--until", until, "--filter", f"container={name}"
    ).splitlines()
    actions = [line.split()[2] for line in lines if line.split()[1] == "container"]
    assert actions == ["create", "attach", "start", "die", "destroy"]


@pytest.mark.parametrize("policy", ["always", "on-failure:2"])
def test_restart_policies(driver: Driver, policy: str) -> None:
    """A failing container is started again as its policy says."""
    driver.ok("run", "-d", "--name", "c1", "--restart", policy, "busybox", "sh", "-c", "exit 7")
    count = lambda: int(driver.ok("inspect", "-f", "{{.RestartCount}}", "c1"))  # noqa: E731
    wait_until(lambda: count() >= 2, "two restarts", 30)
    if policy != "always":
        wait_until(lambda: state(driver, "c1") == "exited", "the policy to give up", 30)
        assert count() == 2
    driver.ok("stop", "c1")
    assert state(driver, "c1") == "exited"
