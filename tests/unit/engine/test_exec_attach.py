"""Exec and attach: what the monitor gets, what the client reads, what is refused, what is told."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from sampan.engine import attach, exec, lookup, pause, start, stop
from sampan.engine.attach import AttachOptions
from sampan.engine.exec import ExecRequest
from sampan.engine.records import ContainerRecord
from sampan.engine.streams import ClientStream
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.monitor.client import MonitorLost
from sampan.runtime.failure import RuntimeFailure
from sampan.wire import stdcopy
from tests.fakes.rooms import Rooms


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The container's root, as it is found through /proc."""
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nbob:x:7:8::/home/bob:/bin/sh\n"
    )
    monkeypatch.setattr(
        lookup, "open_process_root", lambda pid: os.open(folder, os.O_PATH | os.O_DIRECTORY)
    )
    return folder


async def run(rooms: Rooms, **options: Any) -> ContainerRecord:
    await rooms.create("web", **options)
    await start.start_container(rooms.services, "web")
    rooms.told()
    return rooms.record("web")


async def read_all(sock: socket.socket) -> bytes:
    sock.setblocking(False)
    data = b""
    async with asyncio.timeout(5):
        while chunk := await asyncio.get_running_loop().sock_recv(sock, 65536):
            data += chunk
    return data


async def test_an_exec_is_announced(rooms: Rooms) -> None:
    """So that the monitor is ready when the start comes; that it is dying is no reason to refuse."""
    await run(rooms)
    await exec.create_exec(rooms.services, "web", ExecRequest(command=("ls",)))
    assert rooms.monitors.last.names()[-1] == "expect_exec"
    rooms.monitors.last.fail["expect_exec"] = MonitorLost("the monitor died")
    assert await exec.create_exec(rooms.services, "web", ExecRequest(command=("ls",)))


async def test_exec(rooms: Rooms) -> None:
    """Created, started detached, ended: process, record, events."""
    record = await run(rooms, env=["A=1"], cap_drop=["KILL"])
    exec_id = await exec.create_exec(
        rooms.services,
        "web",
        ExecRequest(command=("ls", "-l"), user="bob", env=("B=2",), working_dir="/tmp"),
    )
    assert len(exec_id) == 64
    created = exec.inspect_exec(rooms.services, exec_id)
    assert (created.running, created.exit_code, created.pid) == (False, None, 0)
    await exec.start_exec(rooms.services, exec_id)
    running = exec.inspect_exec(rooms.services, exec_id)
    assert (running.running, running.exit_code, running.pid) == (True, None, 99)
    options = rooms.monitors.last.execs[exec_id]
    process = options.process
    assert process["args"] == ["ls", "-l"]
    assert process["user"] == {"uid": 7, "gid": 8, "additionalGids": [8]}
    assert process["cwd"] == "/tmp"
    assert {"A=1", "B=2", "HOME=/home/bob"} <= set(process["env"])
    assert "CAP_KILL" not in process["capabilities"]["bounding"]
    assert options.attach is None
    assert options.seccomp == rooms.monitors.last.arguments.seccomp  # type: ignore[union-attr]
    rooms.monitors.last.say({"type": "exec_exit", "exec_id": exec_id, "exit_code": 3})
    ended = exec.inspect_exec(rooms.services, exec_id)
    assert (ended.running, ended.exit_code, ended.pid) == (False, 3, 0)
    events = rooms.told()
    assert [event.action for event in events] == [
        "exec_create: ls -l",
        "exec_start: ls -l",
        "exec_die",
    ]
    assert all(event.attributes["execID"] == exec_id for event in events)
    assert events[2].attributes["exitCode"] == "3"
    with pytest.raises(Conflict, match=f"Error: Exec command {exec_id} has already run"):
        await exec.start_exec(rooms.services, exec_id)
    assert record.id == ended.container_id


async def test_attached_exec(rooms: Rooms) -> None:
    """The client's connection goes to the monitor, with what was read from it already."""
    await run(rooms)
    request = ExecRequest(command=("cat",), attach_stdin=True, attach_stdout=True, tty=True)
    exec_id = await exec.create_exec(rooms.services, "web", request)
    session = exec.prepare_exec(rooms.services, exec_id, console_size=(24, 80))
    assert not session.multiplexed
    ours, theirs = socket.socketpair()
    with ours:
        await session.connect(ClientStream(theirs.detach(), b"typed"))
        options = rooms.monitors.last.execs[exec_id]
        assert options.console_size == (24, 80)
        assert options.terminal
        assert options.attach is not None
        assert (options.attach.stdin, options.attach.prefetched) == (True, b"typed")
        assert options.attach.detach_keys == "ctrl-p,ctrl-q"
        os.write(rooms.monitors.clients.pop(), b"output")
        ours.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(ours, 100) == b"output"
    await exec.resize_exec(rooms.services, exec_id, height=30, width=90)
    assert rooms.monitors.last.calls[-1] == ("resize", 30, 90, exec_id)


@pytest.mark.parametrize("tty", [False, True])
async def test_an_exec_that_cannot_start(rooms: Rooms, tty: bool) -> None:
    """Attached: the text goes to the client, framed without a terminal; detached: 400. Exit code 126."""
    await run(rooms)
    rooms.monitors.last.fail["exec"] = RuntimeFailure(
        'exec: "nope": executable file not found in $PATH', step="exec", exit_code=127
    )
    text = (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        'exec: "nope": executable file not found in $PATH: unknown'
    )
    exec_id = await exec.create_exec(rooms.services, "web", ExecRequest(command=("nope",), tty=tty))
    ours, theirs = socket.socketpair()
    with ours:
        await exec.prepare_exec(rooms.services, exec_id).connect(ClientStream(theirs.detach()))
        raw = text.encode() + b"\r\n"
        assert await read_all(ours) == (raw if tty else stdcopy.frame(1, raw))
    record = exec.inspect_exec(rooms.services, exec_id)
    assert (record.running, record.exit_code) == (False, 126)
    other = await exec.create_exec(rooms.services, "web", ExecRequest(command=("nope",)))
    with pytest.raises(InvalidParameter) as caught:
        await exec.start_exec(rooms.services, other)
    assert str(caught.value) == text


async def test_an_exec_of_nobody(rooms: Rooms) -> None:
    """The user is looked up in the container as it is now."""
    await run(rooms)
    exec_id = await exec.create_exec(
        rooms.services, "web", ExecRequest(command=("id",), user="zzz")
    )
    with pytest.raises(InvalidParameter, match="unable to find user zzz: no matching entries"):
        await exec.start_exec(rooms.services, exec_id)
    assert exec.inspect_exec(rooms.services, exec_id).exit_code == 126


async def test_what_exec_refuses(rooms: Rooms) -> None:
    """Status and words."""
    record = await rooms.create("web")
    request = ExecRequest(command=("true",))
    with pytest.raises(Conflict, match=f"Container {record.id} is not running"):
        await exec.create_exec(rooms.services, "web", request)
    await start.start_container(rooms.services, "web")
    for broken, text in (
        (ExecRequest(command=()), "No exec command specified"),
        (ExecRequest(command=("a\0",)), "invalid exec: a text contains a NUL byte"),
        (ExecRequest(command=("a",), detach_keys="zzz"), r"Invalid escape keys \(zzz\) provided"),
        (ExecRequest(command=("a",), working_dir="rel"), "Cwd must be an absolute path: rel"),
    ):
        with pytest.raises(InvalidParameter, match=text):
            await exec.create_exec(rooms.services, "web", broken)
    exec_id = await exec.create_exec(rooms.services, "web", request)
    with pytest.raises(NotFound, match="no such exec"):
        await exec.resize_exec(rooms.services, exec_id, height=1, width=1)
    await pause.pause_container(rooms.services, "web")
    with pytest.raises(
        Conflict, match="Container web is paused, unpause the container before exec"
    ):
        await exec.create_exec(rooms.services, "web", request)
    for verb in (exec.inspect_exec, exec.prepare_exec):
        with pytest.raises(NotFound, match="No such exec instance: abc"):
            verb(rooms.services, "abc")


async def test_execs_end_with_their_container(rooms: Rooms) -> None:
    """137, told before the container's own end; they can be inspected until it is removed."""
    from sampan.engine import remove

    await run(rooms)
    exec_id = await exec.create_exec(rooms.services, "web", ExecRequest(command=("sleep", "9")))
    await exec.start_exec(rooms.services, exec_id)
    rooms.told()
    await stop.stop_container(rooms.services, "web")
    assert exec.inspect_exec(rooms.services, exec_id).exit_code == 137
    assert rooms.actions()[:3] == ["container kill", "container exec_die", "container die"]
    await remove.remove_container(rooms.services, "web")
    with pytest.raises(NotFound):
        exec.inspect_exec(rooms.services, exec_id)


async def test_execs_are_bounded(rooms: Rooms) -> None:
    """Ten thousand of them do not stay: the oldest that do not run are forgotten."""
    await run(rooms)
    ids = [
        await exec.create_exec(rooms.services, "web", ExecRequest(command=("true",)))
        for _ in range(exec.KEPT + 10)
    ]
    assert len(rooms.services.execs.of(rooms.record("web").id)) == exec.KEPT
    with pytest.raises(NotFound):
        exec.inspect_exec(rooms.services, ids[0])
    exec.inspect_exec(rooms.services, ids[-1])


async def test_attach_to_what_runs(rooms: Rooms) -> None:
    """Handed over at once; stdin only to a container that has one; detach keys only at a terminal."""
    await run(rooms, tty=True, open_stdin=True)
    ours, theirs = socket.socketpair()
    with ours:
        options = AttachOptions(stdin=True, stdout=True, stream=True, detach_keys="ctrl-a")
        attachment = attach.attach_container(rooms.services, "web", options)
        assert not attachment.multiplexed
        await attachment.connect(ClientStream(theirs.detach()))
        given = rooms.monitors.last.calls[-1][1]
        assert (given.stdin, given.detach_keys, given.multiplexed) == (True, "ctrl-a", False)
    assert rooms.actions() == ["container attach"]


async def test_attach_with_logs(rooms: Rooms) -> None:
    """What was written comes first, framed; without `stream` that is all."""
    record = await run(rooms)
    Path(record.log_path).write_text(
        '{"log":"one\\n","stream":"stdout","time":"2026-11-24T05:31:00Z"}\n'
        '{"log":"two\\n","stream":"stderr","time":"2026-11-24T05:31:01Z"}\n'
    )
    ours, theirs = socket.socketpair()
    with ours:
        options = AttachOptions(stdout=True, stderr=True, logs=True)
        await attach.attach_container(rooms.services, "web", options).connect(
            ClientStream(theirs.detach())
        )
        assert await read_all(ours) == stdcopy.frame(1, b"one\n") + stdcopy.frame(2, b"two\n")


async def test_what_attach_refuses(rooms: Rooms) -> None:
    """409 and 400 before the upgrade."""
    await run(rooms)
    with pytest.raises(InvalidParameter, match=r"Invalid detach keys \(zzz\) provided"):
        attach.attach_container(rooms.services, "web", AttachOptions(detach_keys="zzz"))
    await pause.pause_container(rooms.services, "web")
    with pytest.raises(
        Conflict, match="container web is paused, unpause the container before attach"
    ):
        attach.attach_container(rooms.services, "web", AttachOptions(stream=True))


async def test_clients_that_go_away_before_the_start(rooms: Rooms) -> None:
    """Their descriptors are closed when the next one comes: a loop of them costs nothing."""
    await rooms.create("web")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ours, theirs = socket.socketpair()
        attachment = attach.attach_container(
            rooms.services, "web", AttachOptions(stdout=True, stream=True)
        )
        await attachment.connect(ClientStream(theirs.detach()))
        ours.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_attach_to_a_monitor_that_is_gone(rooms: Rooms) -> None:
    """The client is told, and let go."""
    await run(rooms, tty=True)
    rooms.monitors.last.gone = True
    ours, theirs = socket.socketpair()
    with ours:
        options = AttachOptions(stdout=True, stream=True)
        await attach.attach_container(rooms.services, "web", options).connect(
            ClientStream(theirs.detach())
        )
        assert await read_all(ours) == b"the monitor is gone\r\n"
