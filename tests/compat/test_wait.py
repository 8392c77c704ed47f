"""wait: its three conditions over the API, on both engines, and the commands' exit codes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.engines import Driver, Engine, wait_until


@pytest.fixture(params=["dockerd", "sampand"])
def driver_of(request: pytest.FixtureRequest) -> object:
    engine: Engine = request.getfixturevalue(request.param)
    driver = Driver(engine, "docker")
    yield driver
    driver.close()


class Waiting:
    """A wait in a thread of its own."""

    def __init__(self, engine: Engine, name: str, condition: str) -> None:
        self.answer: tuple[int, Any] | None = None
        self._thread = threading.Thread(target=self._run, args=(engine, name, condition))
        self._thread.start()

    def _run(self, engine: Engine, name: str, condition: str) -> None:
        path = f"/v1.41/containers/{name}/wait?condition={condition}"
        self.answer = engine.request("POST", path, timeout=60)

    def result(self) -> int:
        self._thread.join(60)
        assert self.answer is not None
        assert self.answer[0] == 200
        code: int = self.answer[1]["StatusCode"]
        return code


def test_conditions(driver_of: Driver) -> None:
    """Of what does not run: not-running at once; next-exit at the next one; removed at the removal."""
    engine = driver_of.engine
    driver_of.ok("create", "--name", "c1", "busybox", "sh", "-c", "sleep 0.3; exit 5")
    assert Waiting(engine, "c1", "not-running").result() == 0
    next_exit, removed = (Waiting(engine, "c1", word) for word in ("next-exit", "removed"))
    assert (next_exit.answer, removed.answer) == (None, None)
    driver_of.ok("start", "c1")
    assert next_exit.result() == 5
    assert Waiting(engine, "c1", "not-running").result() == 5
    assert removed.answer is None
    driver_of.ok("rm", "c1")
    assert removed.result() == 5
    assert engine.request("POST", "/v1.41/containers/c1/wait?condition=bogus")[0] in (400, 404)


def test_command(driver: Driver) -> None:
    """Several names, one of them unknown; a container that is paused meanwhile."""
    driver("run", "--name", "c1", "busybox", "sh", "-c", "exit 3")
    driver("run", "--name", "c2", "busybox", "true")
    found = driver("wait", "c1", "nosuch", "c2")
    assert (found.code, found.out.split()) == (1, ["3", "0"])
    assert "No such container: nosuch" in found.err
    driver.ok("run", "-d", "--name", "c3", "busybox", "sleep", "1000")
    driver.ok("pause", "c3")
    waiting = driver.popen("wait", "c3")
    driver.ok("unpause", "c3")
    driver.ok("kill", "c3")
    assert waiting.communicate(timeout=60)[0] == b"137\n"
    wait_until(lambda: driver.ok("inspect", "-f", "{{.State.Status}}", "c3") == "exited", "the end")


def test_pause_and_unpause(driver: Driver) -> None:
    """States, and what is refused in each."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    assert driver.ok("pause", "c1") == "c1"
    assert driver.ok("ps", "--format", "{{.State}}") == "paused"
    for words, text in (
        (["pause", "c1"], "is already paused"),
        (["exec", "c1", "true"], "is paused"),
        (["rm", "c1"], "paused"),
        (["start", "c1"], "cannot start a paused container"),
    ):
        refused = driver(*words)
        assert (refused.code != 0, text in refused.err) == (True, True), refused
    assert driver.ok("unpause", "c1") == "c1"
    assert "is not paused" in driver("unpause", "c1").err
    some = driver("pause", "nosuch", "c1")
    assert (some.code, some.out) == (1, "c1\n")
