"""A monitor in a process of its own, over a fake runtime: every message, and the order of its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import Unavailable
from sampan.linux.channel import Channel
from sampan.monitor import client as client_module
from sampan.monitor.client import Monitor, MonitorLost, Monitors, RequestFailed, Spawned, Spawner
from sampan.monitor.main import run
from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, LogOptions
from sampan.monitor.monitor import Monitor as MonitorProcess
from sampan.monitor.records import read_exit_record, read_monitor_record
from sampan.monitor.spawner import launch
from sampan.runtime.failure import RuntimeFailure
from tests.fakes.runtime import FakeRuntime

DEADLINE = 20.0


def fake_monitor(args: dict[str, Any], fds: list[int]) -> None:
    """The role, with a runtime that fails at `title`."""
    arguments = Arguments.from_message(args)
    MonitorProcess(arguments, FakeRuntime(arguments.title)).run(Channel.adopt(fds[0]), fds[1:])


class Desk:
    """The daemon's desk: one container and what its monitor said."""

    def __init__(self, spawner: Spawner, folder: Path) -> None:
        self.spawner = spawner
        self.folder = folder
        self.events: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self.lost = 0
        self.monitor: Monitor | None = None

    async def create(self, script: str, *, fail: str = "", **options: Any) -> dict[str, Any]:
        config = {"process": {"args": ["/bin/sh", "-c", script]}}
        (self.folder / "config.json").write_text(json.dumps(config))
        log = LogOptions("json-file", str(self.folder / "log"))
        arguments = Arguments("ab" * 32, str(self.folder), title=fail, log=log, **options)
        self.adopt(await Monitors(self.spawner).launch(arguments, []))
        return await self.door.created()

    async def run(self, script: str, **options: Any) -> None:
        await self.create(script, **options)
        await self.door.start()

    def adopt(self, monitor: Monitor) -> None:
        self.monitor = monitor
        monitor.on_event = self._heard
        monitor.on_lost = self._lost

    def _heard(self, message: dict[str, Any]) -> None:
        self.events.append(message)
        self.changed.set()

    def _lost(self) -> None:
        self.lost += 1
        self.changed.set()

    @property
    def door(self) -> Monitor:
        assert self.monitor is not None
        return self.monitor

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def event(self, kind: str) -> dict[str, Any]:
        await self.until(lambda: any(each["type"] == kind for each in self.events))
        return next(each for each in self.events if each["type"] == kind)

    async def gone(self) -> None:
        """The monitor's process has ended."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.add_reader(self.door.pidfd, done.set)
        async with asyncio.timeout(DEADLINE):
            await done.wait()
        loop.remove_reader(self.door.pidfd)

    def log(self) -> list[str]:
        return [json.loads(line)["log"] for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    spawner = Spawner(launch({"monitor": fake_monitor}))
    made = Desk(spawner, tmp_path)
    yield made
    if made.monitor is not None:
        if made.monitor.pid:
            try:
                os.kill(made.monitor.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        made.monitor.close()
    spawner.close()


async def test_a_life(desk: Desk) -> None:
    """created, started, exit, delete; files at each; warnings and times are handed on."""
    made = await desk.create("echo hello; exit 5")
    assert made["warnings"] == ["be warned"]
    record = read_monitor_record(str(desk.folder))
    assert record is not None
    assert (record.init_pid, record.init_start_time) == (made["pid"], made["start_time"])
    assert (await desk.door.state())["phase"] == "created"
    started = await desk.door.start()
    assert started["started_at"] == "2026-01-01T00:00:00Z"
    message = await desk.event("exit")
    assert (message["exit_code"], message["signal"], message["oom_killed"]) == (5, 0, False)
    assert read_exit_record(str(desk.folder)) is not None
    assert desk.log() == ["hello\n"]
    await desk.door.delete()
    await desk.gone()
    assert sorted(os.listdir(desk.folder)) == ["config.json", "exit.json", "log"]
    assert desk.lost == 0


async def test_exit_json_and_the_log_are_there_before_the_message(desk: Desk) -> None:
    """Whoever hears of the exit can read both; a last line without its end included."""
    seen: list[bool] = []
    await desk.create("printf last")
    heard = desk.door.on_event
    assert heard is not None

    def look(message: dict[str, Any]) -> None:
        seen.append((desk.folder / "exit.json").exists() and desk.log() == ["last"])
        heard(message)

    desk.door.on_event = look
    await desk.door.start()
    await desk.event("exit")
    assert seen == [True]


async def test_events_before_anybody_listens_are_kept(desk: Desk) -> None:
    """The daemon sets its callback when it gets to it."""
    await desk.create("exit 1")
    monitor = desk.door
    monitor._on_event = None
    await monitor.start()
    async with asyncio.timeout(DEADLINE):
        while not monitor._early:
            await monitor.state()
    monitor.on_event = desk._heard
    assert [message["type"] for message in desk.events] == ["exit"]


@pytest.mark.parametrize("step", ["create", "start"])
async def test_a_failure_travels_with_all_its_parts(desk: Desk, step: str) -> None:
    """The same error as in the runtime; the monitor has cleaned up and ends, which is no loss."""
    with pytest.raises(RuntimeFailure) as caught:
        await desk.run("true", fail=step)
    failure = caught.value
    expected = {"create": ("mount", "/", 20, None), "start": ("execve", "", 2, 127)}
    assert (failure.step, failure.path, failure.errno, failure.exit_code) == expected[step]
    await desk.gone()
    assert sorted(os.listdir(desk.folder)) == ["config.json", "log"]
    assert desk.lost == 0
    with pytest.raises((MonitorLost, RuntimeFailure)):
        await desk.door.start()


async def test_a_log_that_cannot_be_opened_fails_the_creation(desk: Desk) -> None:
    """With the path in the text."""
    (desk.folder / "log").mkdir()
    with pytest.raises(RuntimeFailure, match="is a directory"):
        await desk.create("true")
    await desk.gone()


async def test_arguments_of_another_version_are_a_failure(desk: Desk) -> None:
    """The real role says so instead of dying."""
    spawner = Spawner(launch({"monitor": run}))
    ours, theirs = Channel.pair()
    spawned = await spawner.spawn("monitor", {"version": 99}, [theirs.fileno()])
    theirs.close()
    monitor = Monitor(ours, Spawned(spawned.pid, spawned.pidfd))
    with pytest.raises(RuntimeFailure, match="expected version 1"):
        await monitor.created()
    monitor.close()
    spawner.close()


async def test_requests_are_answered_and_failures_named(desk: Desk) -> None:
    """pause, resume, update, kill, resize: what the cgroup or the kernel says comes back."""
    await desk.create("trap 'exit 8' USR1; echo ready; while :; do sleep 0.01; done")
    ours, theirs = socket.socketpair()
    await desk.door.attach(AttachOptions(stdout=True), theirs.fileno())
    theirs.close()
    await desk.door.start()
    assert await asyncio.to_thread(ours.recv, 100) == b"ready\n"
    ours.close()
    await desk.door.pause()
    assert (await desk.door.state())["phase"] == "paused"
    with pytest.raises(RequestFailed, match="busy") as caught:
        await desk.door.resume()
    assert caught.value.errno == 16
    assert await desk.door.update({"memory": {}}) == ["a limit was left out"]
    with pytest.raises(RequestFailed):
        await desk.door.resize(1, 2)
    with pytest.raises(RequestFailed, match="No such exec instance: x"):
        await desk.door.kill(9, exec_id="x")
    with pytest.raises(RequestFailed) as caught:
        await desk.door.kill(1000)
    assert caught.value.errno == 22
    await desk.door.kill(signal.SIGUSR1)
    assert (await desk.event("exit"))["exit_code"] == 8


async def test_an_oom_kill_that_is_counted_late(desk: Desk) -> None:
    """The notice comes before the kill: it is told all the same, while the container goes on."""
    await desk.run("exec sleep 1000", fail="late oom")
    assert await desk.event("oom") == {"type": "oom"}
    await desk.door.kill(9)
    assert (await desk.event("exit"))["oom_killed"] is True


async def test_state_after_the_exit_holds_it(desk: Desk) -> None:
    """And nothing that would need the process is done any more."""
    await desk.run("exit 3")
    message = await desk.event("exit")
    state = await desk.door.state()
    assert (state["phase"], state["exit"], state["execs"]) == ("exited", message, [])
    for call in (desk.door.pause(), desk.door.kill(9), desk.door.update({})):
        with pytest.raises(RequestFailed) as caught:
            await call
        assert caught.value.errno == 3
    with pytest.raises(RequestFailed, match="expected start of a created container, it is exited"):
        await desk.door.start()
    with pytest.raises(RuntimeFailure, match="is not running"):
        await desk.door.exec(ExecOptions("e", {"args": ["/bin/true"]}))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may connect")
async def test_several_daemons_hear_the_same(desk: Desk) -> None:
    """Events go to all, answers to the one who asked."""
    await desk.run("read x; exit 4", open_stdin=True)
    second = await Monitors(desk.spawner).connect(str(desk.folder / "monitor.sock"))
    heard: list[str] = []
    second.on_event = lambda message: heard.append(message["type"])
    await second.kill(signal.SIGKILL)
    await desk.event("exit")
    assert (await second.state())["exit"]["exit_code"] == 137
    assert heard == ["exit"]
    await second.delete()
    second.close()
    await desk.gone()


async def test_the_monitor_dies(desk: Desk) -> None:
    """`on_lost` once; what waits and what comes later raises."""
    await desk.run("exec sleep 1000")
    os.kill(desk.door.pid, signal.SIGSTOP)
    waiting = asyncio.ensure_future(desk.door.state())
    await asyncio.sleep(0)
    os.kill(desk.door.pid, signal.SIGKILL)
    with pytest.raises(MonitorLost):
        await waiting
    await desk.until(lambda: desk.lost)
    with pytest.raises(MonitorLost):
        await desk.door.state()
    assert desk.lost == 1


async def test_a_monitor_that_hangs_is_a_deadline(desk: Desk, monkeypatch: Any) -> None:
    """No request waits for ever, and a late answer harms nobody."""
    monkeypatch.setattr(client_module, "REQUEST_DEADLINE", 0.05)
    await desk.run("exec sleep 1000")
    os.kill(desk.door.pid, signal.SIGSTOP)
    with pytest.raises(Unavailable, match="does not answer"):
        await desk.door.state()
    os.kill(desk.door.pid, signal.SIGCONT)
    monkeypatch.setattr(client_module, "REQUEST_DEADLINE", DEADLINE)
    assert (await desk.door.state())["phase"] == "running"
    await desk.door.kill(9)
    await desk.event("exit")


@pytest.mark.parametrize("client", [True, False])
async def test_exec(desk: Desk, client: bool) -> None:
    """Started, seen in the state, its code told; with and without somebody who listens."""
    await desk.run("exec sleep 1000")
    ours, theirs = socket.socketpair()
    attach = AttachOptions(stdin=True, stdout=True) if client else None
    process = {"args": ["/bin/sh", "-c", "read x; echo got $x; exit 6"]}
    options = ExecOptions("e1", process, open_stdin=client, attach=attach)
    answer = await desk.door.exec(options, theirs.fileno() if client else None)
    theirs.close()
    assert answer["pid"] > 0
    if client:
        assert [each["exec_id"] for each in (await desk.door.state())["execs"]] == ["e1"]
        ours.sendall(b"input\n")
    message = await desk.event("exec_exit")
    assert message == {"type": "exec_exit", "exec_id": "e1", "exit_code": 6}
    if client:
        assert await asyncio.to_thread(ours.recv, 100) == b"got input\n"
        assert await asyncio.to_thread(ours.recv, 100) == b""
    ours.close()
    assert (await desk.door.state())["execs"] == []


async def test_exec_that_fails_names_itself(desk: Desk) -> None:
    """Other requests are not touched by it."""
    await desk.run("exec sleep 1000", fail="execute")
    with pytest.raises(RuntimeFailure) as caught:
        await desk.door.exec(ExecOptions("e1", {"args": ["/nosuch"]}))
    assert caught.value.exit_code == 127
    assert (await desk.door.state())["phase"] == "running"


async def test_attach_without_a_client_is_refused(desk: Desk) -> None:
    """By an error that says what was expected; the connection stays."""
    await desk.run("exec sleep 1000")
    future = desk.door._expect("attach")
    desk.door._send({"type": "attach", "stdout": True})
    with pytest.raises(RequestFailed, match="expected one client, got 0"):
        await future
    assert (await desk.door.state())["phase"] == "running"


async def test_a_flood_of_requests_is_answered_in_full(desk: Desk) -> None:
    """More than the socket's buffers hold, in both directions."""
    await desk.run("exec sleep 1000")
    states = await asyncio.gather(*(desk.door.state() for _ in range(1500)))
    assert {state["phase"] for state in states} == {"running"}


async def test_what_goes_wrong_inside_is_written_down(desk: Desk) -> None:
    """exit.json cannot be written: the daemon is told of the exit all the same."""
    await desk.create("exit 2")
    (desk.folder / "exit.json").mkdir()
    await desk.door.start()
    assert (await desk.event("exit"))["exit_code"] == 2
    assert "exit.json" in (desk.folder / "monitor.err").read_text()
