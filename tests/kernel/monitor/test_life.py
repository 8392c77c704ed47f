"""Containers of busybox under real monitors: exits, failures, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import process
from sampan.monitor.client import Monitor, MonitorLost, Monitors, RequestFailed, Spawner
from sampan.monitor.messages import Arguments
from sampan.monitor.records import read_exit_record, read_monitor_record
from sampan.runtime.failure import RuntimeFailure
from tests.kernel.monitor.house import Box, children_of, is_ready, readable, until


@pytest.mark.parametrize(
    ("command", "code", "number"),
    [
        ("exit 0", 0, 0),
        ("exit 42", 42, 0),
        ("kill -9 $$ & wait; exec sleep 100", None, None),
        ("trap 'exit 5' TERM; kill -TERM $$", 5, 0),
    ],
)
async def test_the_exit_code_is_reported_recorded_and_exact(
    box: Box, spawner: Spawner, command: str, code: int | None, number: int | None
) -> None:
    """The exit message, exit.json and the state say the same; all is gone after `delete`."""
    await box.run(spawner, command)
    if code is None:  # init cannot be killed from inside: do it from here
        await box.door.kill(signal.SIGKILL)
        code, number = 137, 9
    message = await box.event("exit")
    assert (message["exit_code"], message["signal"]) == (code, number)
    record = read_exit_record(str(box.directory))
    assert record is not None
    assert record.exit_code == code
    assert record.finished_at == message["finished_at"] >= record.started_at
    state = await box.door.state()
    assert (state["phase"], state["exit"]) == ("exited", message)
    await box.leave()


async def test_output_is_logged_by_stream_and_complete(box: Box, spawner: Spawner) -> None:
    """Both streams, a long line in pieces, and a last line without its end."""
    await box.run(
        spawner, "echo one; echo two >&2; head -c 20000 /dev/zero | tr '\\0' x; printf end"
    )
    assert await box.exit_code() == 0
    assert box.output() == "one\n" + "x" * 20000 + "end"
    assert box.output("stderr") == "two\n"
    assert [len(line["log"]) for line in box.log() if "x" in line["log"]] == [16384, 3619]
    await box.leave()


@pytest.mark.parametrize(
    ("command", "code"),
    [(["nosuchcommand"], 127), (["/tmp"], 126), (["/etc/plain"], 126)],
)
async def test_a_command_that_cannot_run_fails_and_leaves_nothing(
    box: Box, spawner: Spawner, root: Path, command: list[str], code: int
) -> None:
    """`created` raises the runtime's error; monitor, cgroup, socket and record are gone."""
    (root / "etc/plain").write_text("x")
    with pytest.raises(RuntimeFailure) as caught:
        await box.create(spawner, command)
    assert caught.value.exit_code == code
    await readable(box.door.pidfd)
    assert sorted(os.listdir(box.directory)) == ["config.json"]
    assert not box.cgroup().exists()
    assert not box.lost


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda box: (box.directory / "config.json").write_text("{"), "helper of the monitor"),
        (lambda box: (box.directory / "config.json").unlink(), "no such file"),
    ],
)
async def test_a_bad_configuration_is_a_failure_of_the_container(
    box: Box, spawner: Spawner, spoil: Any, words: str
) -> None:
    """Not a dead monitor: the text says what was wrong."""
    box.directory.mkdir()
    (box.directory / "config.json").write_text(json.dumps(box.config(["true"])))
    spoil(box)
    arguments = Arguments(id=box.container_id, directory=str(box.directory))
    box.adopt(await Monitors(spawner).launch(arguments, []))
    with pytest.raises(RuntimeFailure, match=words):
        await box.door.created()
    await readable(box.door.pidfd)
    assert not (box.directory / "monitor.json").exists()


async def test_abort_before_the_start_undoes_everything(box: Box, spawner: Spawner) -> None:
    """Init, helper, cgroup and files go, and the monitor ends."""
    made = await box.create(spawner, "echo never")
    assert read_monitor_record(str(box.directory)) is not None
    await box.door.abort()
    await readable(box.door.pidfd)
    assert not os.path.exists(f"/proc/{made['pid']}")
    assert not box.cgroup().exists()
    assert sorted(os.listdir(box.directory)) == ["config.json"]
    assert not box.lost


async def test_a_daemon_that_goes_before_the_start_is_an_abort(box: Box, spawner: Spawner) -> None:
    """Nobody could start it any more."""
    made = await box.create(spawner, "echo never")
    pidfd = os.dup(box.door.pidfd)
    box.door.close()
    await readable(pidfd)
    os.close(pidfd)
    assert not os.path.exists(f"/proc/{made['pid']}")
    assert not box.cgroup().exists()


async def test_init_that_is_killed_before_the_start_fails_the_start(
    box: Box, spawner: Spawner
) -> None:
    """The exit is not reported on its own; `start` raises and all is undone."""
    made = await box.create(spawner, "echo never")
    os.kill(made["pid"], signal.SIGKILL)
    await readable(box.door.init_pidfd)
    with pytest.raises(RuntimeFailure):
        await box.door.start()
    await readable(box.door.pidfd)
    assert not box.events
    assert not box.cgroup().exists()


async def test_a_second_daemon_connects_and_goes_on(box: Box, spawner: Spawner) -> None:
    """State, pidfd and events come over `monitor.sock` after the first connection is gone."""
    await box.run(spawner, "read line; echo got $line; exit 3", open_stdin=True)
    first = box.door
    peer = await box.attach(stdin=True)
    first.close()
    again = await Monitors(spawner).connect(str(box.directory / "monitor.sock"))
    box.adopt(again)
    state = await again.state()
    assert state["phase"] == "running"
    assert state["pid"] == read_monitor_record(str(box.directory)).init_pid  # type: ignore[union-attr]
    assert process.start_time(state["pid"]) == state["start_time"]
    await peer.send(b"hello\n")
    assert await box.exit_code() == 3
    assert await peer.rest() == b"got hello\n"
    await readable(again.init_pidfd)
    await box.leave()


async def test_an_exit_while_no_daemon_is_there_waits_for_one(box: Box, spawner: Spawner) -> None:
    """exit.json is written, the monitor waits, and tells the next one by its state."""
    await box.run(spawner, "read line; exit 7", open_stdin=True, stdin_once=True)
    peer = await box.attach(stdin=True)
    box.door.close()
    await peer.close()
    await until(lambda: read_exit_record(str(box.directory)) is not None, "exit.json")
    box.adopt(await Monitors(spawner).connect(str(box.directory / "monitor.sock")))
    state = await box.door.state()
    assert state["exit"]["exit_code"] == 7
    await box.leave()


async def test_the_monitor_is_killed_and_its_container_with_it(box: Box, spawner: Spawner) -> None:
    """EOF is told once, init dies with the monitor, monitor.json leads to the cgroup."""
    await box.run(spawner, "sleep 1000 & exec sleep 1000")
    record = read_monitor_record(str(box.directory))
    assert record is not None
    assert record.pid == box.door.pid
    assert record.cgroup == box.cgroup_path
    os.kill(record.pid, signal.SIGKILL)
    await readable(box.door.init_pidfd)
    await until(lambda: box.lost, "on_lost")
    with pytest.raises(MonitorLost):
        await box.door.state()
    await until(lambda: not box.cgroup().processes(), "an empty cgroup")


async def test_the_spawner_is_killed_and_containers_do_not_notice(
    box: Box, spawner: Spawner
) -> None:
    """Exit code, log and exec work on under a monitor whose parent is gone."""
    await box.run(spawner, "read line; echo $line; exit 9", open_stdin=True)
    parent = int(Path(f"/proc/{box.door.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    peer = await box.exec("e", "echo still here")
    assert peer is not None
    assert await peer.frames() == {1: b"still here\n"}
    client = await box.attach(stdin=True)
    await client.send(b"bye\n")
    assert await box.exit_code() == 9
    assert box.output() == "bye\n"
    await box.leave()


async def test_pause_resume_kill_update_and_their_refusals(box: Box, spawner: Spawner) -> None:
    """Each is answered; what is not running says so with ESRCH."""
    await box.create(spawner, "trap 'exit 6' USR1; echo ready; while true; do sleep 0.01; done")
    peer = await box.attach()
    await box.door.start()
    await peer.until(b"ready\n")
    await box.door.pause()
    assert (await box.door.state())["phase"] == "paused"
    assert box.cgroup().frozen()
    await box.door.resume()
    assert not box.cgroup().frozen()
    assert isinstance(await box.door.update({"memory": {"limit": 64 << 20}}), list)
    with pytest.raises(RequestFailed):
        await box.door.kill(signal.SIGTERM, exec_id="nosuch")
    with pytest.raises(RequestFailed):
        await box.door.resize(24, 80)
    await box.door.kill(signal.SIGUSR1)
    assert await box.exit_code() == 6
    with pytest.raises(RequestFailed) as caught:
        await box.door.kill(signal.SIGKILL)
    assert caught.value.errno == 3
    await box.leave()


async def test_delete_of_a_running_container_is_refused(box: Box, spawner: Spawner) -> None:
    """The text names what was expected, and the container runs on."""
    await box.run(spawner, ["sleep", "1000"])
    with pytest.raises(RequestFailed, match="expected delete after the exit, it is running"):
        await box.door.delete()
    assert (await box.door.state())["phase"] == "running"
    await box.door.kill(signal.SIGKILL, all=True)
    assert await box.exit_code() == 137
    await box.leave()


async def test_an_oom_kill_is_told_and_recorded(box: Box, spawner: Spawner) -> None:
    """`oom`, then an exit with `oom_killed`, as with dockerd."""
    await box.run(
        spawner,
        "head -c 200000000 /dev/zero | tail -c 190000000 | wc -c; x=$(yes)",
        memory=16 << 20,
    )
    await box.event("oom")
    message = await box.event("exit")
    assert message["oom_killed"] is True
    await box.leave()


async def test_a_process_that_outlives_init_in_the_hosts_pid_namespace_is_killed(
    box: Box, spawner: Spawner
) -> None:
    """The exit is told at once though it holds stdout open, and nothing survives."""
    await box.run(spawner, "(sleep 1000; echo late) & echo out; exit 4", pid_mode="host")
    async with asyncio.timeout(1.5):
        assert await box.exit_code() == 4
    assert box.output() == "out\n"
    await box.leave()


async def test_an_unknown_message_is_answered_by_what_was_expected(
    box: Box, spawner: Spawner
) -> None:
    """And the connection stays."""
    await box.run(spawner, ["sleep", "1000"])
    monitor: Monitor = box.door
    future = monitor._expect("bogus")
    monitor._send({"type": "bogus"})
    with pytest.raises(RequestFailed, match="expected one of attach, wait, start, expect_exec"):
        await future
    assert (await monitor.state())["phase"] == "running"
    await monitor.kill(signal.SIGKILL)
    await box.event("exit")
    await box.leave()


async def test_twenty_at_once_lose_no_exit_and_leave_no_child(
    root: Path, tmp_path: Path, spawner: Spawner
) -> None:
    """Every code arrives at its own container; the spawner has no zombies."""
    boxes = [Box(root, tmp_path) for _ in range(20)]
    await asyncio.gather(
        *(each.run(spawner, f"exit {number}") for number, each in enumerate(boxes))
    )
    codes = await asyncio.gather(*(each.exit_code() for each in boxes))
    assert codes == list(range(20))
    parent = parent_of(boxes[0].door.pid)
    await asyncio.gather(*(each.leave() for each in boxes))
    await until(lambda: children_of(parent) == [], "children of the spawner to be reaped")


async def test_ps_shows_which_container_a_monitor_serves(box: Box, spawner: Spawner) -> None:
    """Name and arguments; the OOM killer leaves it alone where that is allowed."""
    await box.run(spawner, ["sleep", "1000"])
    title = Path(f"/proc/{box.door.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == f"sampan-monitor [{box.container_id[:12]}]"
    assert Path(f"/proc/{box.door.pid}/comm").read_text() == "sampan-monitor\n"
    assert Path(f"/proc/{box.door.pid}/oom_score_adj").read_text() in ("-500\n", "0\n")
    assert os.getsid(box.door.pid) == box.door.pid
    mode = os.stat(box.directory / "monitor.sock").st_mode
    assert mode & 0o777 == 0o600
    await box.door.kill(signal.SIGKILL)
    await box.event("exit")
    await box.leave()


async def test_a_ready_monitor_serves_the_next_container(
    root: Path, tmp_path: Path, spawner: Spawner
) -> None:
    """After a container the spawner keeps a monitor ready; it becomes the next one's, also with a namespace
    and a terminal to hand over, and one that was killed meanwhile is replaced without an error."""
    first = Box(root, tmp_path)
    await first.run(spawner, "exit 1")
    assert await first.exit_code() == 1
    parent = parent_of(first.door.pid)
    await first.leave()
    ready = await ready_child(parent)
    second = Box(root, tmp_path)
    await second.run(spawner, "exit 2")
    assert second.door.pid == ready
    assert await second.exit_code() == 2
    await second.leave()
    killed = await ready_child(parent)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: not os.path.exists(f"/proc/{killed}"), "the ready monitor to be reaped")
    third = Box(root, tmp_path)
    await third.run(spawner, "exit 3")
    assert await third.exit_code() == 3
    await third.leave()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def ready_child(parent: int) -> int:
    """The process id of the spawner's child that waits for a container, its helper with it."""

    def found() -> list[str]:
        names = [name for name in os.listdir("/proc") if name.isdigit() and is_ready(name)]
        helped = {str(parent_of(int(name))) for name in names if os.path.exists(f"/proc/{name}")}
        return [n for n in names if n in helped and parent_of(int(n)) == parent]

    await until(lambda: bool(found()), "a monitor to be ready")
    return int(found()[0])
