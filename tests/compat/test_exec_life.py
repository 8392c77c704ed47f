"""Exec'd processes with a life of their own: a cgroup each, listed, killed with their children, limited in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, wait_until

SPAWN = "sleep 4321 & sleep 4322 & setsid sleep 4323 & wait"


@pytest.fixture
def box(sampand: Engine) -> object:
    driver = Driver(sampand, "sampan")
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    yield driver
    driver.close()


def running(driver: Driver) -> list[str]:
    """Commands in c1, its first process excepted."""
    rows = driver.ok("top", "c1", "-o", "pid,args").splitlines()[1:]
    return sorted(row.split(None, 1)[1].strip() for row in rows if "sleep 1000" not in row)


def test_ls_and_kill(box: Driver) -> None:
    """What runs is listed with its command; SIGKILL takes its children too, another signal only itself."""
    box.ok("exec", "-d", "c1", "sh", "-c", SPAWN)
    box.ok("exec", "-d", "-u", "nobody", "c1", "sleep", "5000")
    wait_until(lambda: len(running(box)) == 5, "five processes")
    rows = [line.split() for line in box.ok("exec", "ls", "--no-trunc", "c1").splitlines()]
    assert rows[0] == ["EXEC", "ID", "CONTAINER", "COMMAND", "PID", "USER", "STATUS"]
    assert (rows[2][1], rows[2][-2:]) == ("c1", ["nobody", "running"])
    first, second = box.ok("exec", "ls", "-q").split()
    box.ok("exec", "kill", "-s", "TERM", second)
    wait_until(lambda: len(running(box)) == 4, "the end of one")
    assert box.ok("exec", "kill", first) == first
    wait_until(lambda: running(box) == [], "the end of all")
    assert box.ok("exec", "ls", "-q") == ""
    ended = box.ok("exec", "ls", "-a", "--format", "{{.Status}}").splitlines()
    assert ended == ["exited (137)", "exited (143)"]
    for words, text in (
        (["kill", first], "is not running"),
        (["kill", "nosuch"], "No such exec instance: nosuch"),
        (["kill", "-s", "FOO", first], "Invalid signal: FOO"),
        (["ls", "nosuch"], "No such container: nosuch"),
        (["kill"], "requires at least 1 argument"),
    ):
        refused = box("exec", *words)
        assert (refused.code != 0, text in refused.err) == (True, True), refused


def test_a_container_of_that_name(box: Driver) -> None:
    """`exec ls` means the container that is called so, if there is one."""
    box.ok("run", "-d", "--name", "ls", "busybox", "sleep", "1000")
    assert box.ok("exec", "ls", "echo", "inside") == "inside"


def test_timeout(box: Driver) -> None:
    """Over its time it is killed with its children, which the exit code and the event say."""
    begin = time.time()
    late = box("exec", "--timeout", "300ms", "c1", "sh", "-c", SPAWN)
    assert (late.code, "its time was over" in late.err) == (124, True), late
    wait_until(lambda: running(box) == [], "the end of all")
    out = box.ok(
        "events",
        "--since",
        f"{begin:.6f}",
        "--until",
        f"{time.time():.6f}",
        "--filter",
        "event=exec_die",
    )
    assert "exitCode=137" in out
    assert "reason=timeout" in out
    assert box.ok("exec", "--timeout", "1m", "c1", "echo", "in time") == "in time"


def test_die_with_client(box: Driver) -> None:
    """The client is killed, and what it had started ends; without the flag it goes on, as with docker."""
    for flags, left in ((["--die-with-client"], 0), ([], 4)):
        client = box.popen("exec", *flags, "c1", "sh", "-c", SPAWN)
        wait_until(lambda: len(running(box)) == 4, "the processes")
        client.kill()
        client.wait()
        if left:
            box.ok("exec", "c1", "true")
            assert len(running(box)) == left
        else:
            wait_until(lambda: running(box) == [], "their end")


def test_each_has_a_cgroup(box: Driver, sampand: Engine) -> None:
    """Below the container's; it goes with the last of its processes, at the latest with the container."""
    box.ok("exec", "-d", "c1", "sleep", "4444")
    [exec_id] = box.ok("exec", "ls", "-q", "--no-trunc").split()
    pid = sampand.request("GET", f"/exec/{exec_id}/json")[1]["Pid"]
    place = next(
        line.rpartition("0::")[2]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    assert place.endswith(f"/exec-{exec_id[:32]}")
    init = Path(f"/proc/{box.inspect('c1')['State']['Pid']}/cgroup").read_text().splitlines()
    own = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert [line for line in own if not line.startswith("0::")] == [
        line for line in init if not line.startswith("0::")
    ]
    folders = list(Path("/sys/fs/cgroup").rglob(f"exec-{exec_id[:32]}"))
    assert len(folders) == 1
    box.ok("exec", "kill", exec_id)
    wait_until(lambda: not folders[0].exists(), "the cgroup's end")


def test_over_a_restart(box: Driver, sampand: Engine) -> None:
    """The next daemon knows what runs, and can end it; a time limit holds without a daemon."""
    box.ok("exec", "-d", "c1", "sleep", "4444")
    limited = sampand.request("POST", "/containers/c1/exec", {"Cmd": ["sleep", "5555"]})[1]["Id"]
    assert sampand.request("POST", f"/sampan/execs/{limited}/limits", {"Timeout": 10**9})[0] == 204
    assert sampand.request("POST", f"/exec/{limited}/start", {"Detach": True})[0] == 200
    again = sampand.request("POST", f"/sampan/execs/{limited}/limits", {"Timeout": 10**9})
    assert again[0] == 409
    sampand.kill()
    sampand.start()
    wait_until(lambda: running(box) == ["sleep 4444"], "the end of the limited one")
    shown = box.ok("exec", "ls", "--format", "{{.Command}}")
    assert shown == '"sleep 4444"'
    box.ok("exec", "kill", box.ok("exec", "ls", "-q"))
    wait_until(lambda: running(box) == [], "its end")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sampan/execs/nosuch/kill", None, 404),
        ("POST", "/sampan/execs/nosuch/limits", b"{}", 404),
        ("POST", "/sampan/execs/nosuch/limits", b'{"Timeout":-1}', 400),
        ("POST", "/sampan/execs/nosuch/limits", b'{"Timeout":"x"}', 400),
        ("GET", "/sampan/execs/nosuch", None, 404),
        ("GET", "/sampan/execs?container=nosuch", None, 404),
        ("GET", "/sampan/nosuch", None, 404),
        ("GET", "/sampan", None, 404),
        ("GET", "/v1.41/sampan/execs", None, 200),
    ],
)
def test_api(sampand: Engine, method: str, path: str, body: bytes | None, status: int) -> None:
    """Unknown ids and bad bodies have their statuses."""
    assert sampand.request(method, path, body)[0] == status
