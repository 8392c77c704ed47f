"""Stop, kill, restart, rm, rename, pause, resize, wait: what they do, refuse, and tell."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from sampan.engine import kill, pause, remove, rename, resize, restart, start, stop, wait
from sampan.engine.config import DaemonConfig
from sampan.engine.records import ContainerRecord, State, decode
from sampan.engine.streams import ClientStream
from sampan.errors import Conflict, InvalidParameter, NotFound, NotModified, SampanError
from sampan.monitor.client import RequestFailed
from sampan.monitor.messages import WaitOptions
from sampan.spec.container import ContainerConfig
from tests.fakes.rooms import FakeMonitor, Rooms

STATUS = """Name:\tsleep
TracerPid:\t0
NSpid:\t4711\t{pid}
SigBlk:\t{blocked:016x}
SigIgn:\t0000000000000000
SigCgt:\t{caught:016x}
"""
TERM = 1 << 14


async def run(rooms: Rooms, name: str = "web", **options: Any) -> ContainerRecord:
    record = await rooms.create(name, **options)
    await start.start_container(rooms.services, name)
    rooms.told()
    return rooms.record(record.id)


def told_of(rooms: Rooms, action: str) -> list[dict[str, str]]:
    return [dict(event.attributes) for event in rooms.told() if event.action == action]


# -- stop ------------------------------------------------------------------------------------------


async def test_stop(rooms: Rooms) -> None:
    """The signal, the exit, dockerd's events."""
    record = await run(rooms)
    await stop.stop_container(rooms.services, "web")
    ended = rooms.record(record.id)
    assert (ended.state, ended.exit_code, ended.manually_stopped) == (State.EXITED, 143, True)
    assert rooms.actions() == [
        "container kill",
        "container die",
        "network disconnect",
        "container stop",
    ]
    with pytest.raises(NotModified):
        await stop.stop_container(rooms.services, "web")


@pytest.mark.parametrize(
    ("asked", "configured", "number"), [("", "", 15), ("", "SIGINT", 2), ("QUIT", "SIGINT", 3)]
)
async def test_stop_signal(rooms: Rooms, asked: str, configured: str, number: int) -> None:
    """The request's, the container's, TERM."""
    rooms.monitors.deadly = {9, number}
    await run(rooms, stop_signal=configured)
    await stop.stop_container(rooms.services, "web", signal=asked)
    assert ("kill", number) in rooms.monitors.last.calls
    assert rooms.record("web").exit_code == 128 + number


async def test_stop_refuses_nonsense(rooms: Rooms) -> None:
    """400 before anything is done."""
    await run(rooms)
    with pytest.raises(InvalidParameter, match="Invalid signal: zzz"):
        await stop.stop_container(rooms.services, "web", signal="zzz")
    assert rooms.record("web").state is State.RUNNING


async def test_stop_kills_after_the_grace(rooms: Rooms) -> None:
    """The signal is handled and nothing comes of it."""
    rooms.monitors.deadly = {9}
    await run(rooms, stop_timeout=0)
    await stop.stop_container(rooms.services, "web")
    assert [call[1] for call in rooms.monitors.last.calls if call[0] == "kill"] == [15, 9]
    assert rooms.record("web").exit_code == 137


async def test_stop_for_ever(rooms: Rooms) -> None:
    """A grace of -1 waits until it ends by itself."""
    rooms.monitors.deadly = set()
    await run(rooms)
    task = asyncio.create_task(stop.stop_container(rooms.services, "web", grace=-1))
    monitor = rooms.monitors.last
    async with asyncio.timeout(5):
        while ("kill", 15) not in monitor.calls:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    assert not task.done()
    monitor.exit(0)
    await task
    assert rooms.record("web").exit_code == 0


async def test_stop_of_a_pid_1_that_handles_nothing(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed at once, and the event says why."""
    rooms.monitors.deadly = {9}
    monkeypatch.setattr(stop, "_status", lambda pid: STATUS.format(pid=1, blocked=0, caught=0))
    await run(rooms)
    async with asyncio.timeout(2):
        await stop.stop_container(rooms.services, "web", grace=60)
    kills = told_of(rooms, "kill")
    assert [event["signal"] for event in kills] == ["15", "9"]
    assert kills[1]["reason"] == "PID 1 has no handler for signal 15"


@pytest.mark.parametrize(
    ("label", "image", "option", "waits"),
    [
        ("", "", False, False),
        ("true", "", False, True),
        ("0", "", False, False),
        ("true", "true", False, False),
        ("", "", True, True),
    ],
)
async def test_dockers_wait_on_request(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, label: str, image: str, option: bool, waits: bool
) -> None:
    """A label of the caller's or the daemon's option keeps the whole grace; an image's label does not."""
    rooms.monitors.deadly = {9}
    monkeypatch.setattr(stop, "_status", lambda pid: STATUS.format(pid=1, blocked=0, caught=0))
    if option:
        rooms.services.live.config = DaemonConfig(full_stop_grace=True)
    of_image = ContainerConfig(cmd=["sh"], labels={stop.FULL_GRACE: image} if image else None)
    await rooms.add_image("labelled", of_image)
    labels = {stop.FULL_GRACE: label} if label else None
    await run(rooms, image="labelled", labels=labels)
    task = asyncio.create_task(stop.stop_container(rooms.services, "web", grace=3600))
    async with asyncio.timeout(10):
        if not waits:
            await task
            return
        while ("kill", 15) not in rooms.monitors.last.calls:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert ("kill", 9) not in rooms.monitors.last.calls
    rooms.monitors.last.exit(0)
    await task


@pytest.mark.parametrize(
    ("status", "dropped"),
    [
        (STATUS.format(pid=1, blocked=0, caught=0), True),
        (STATUS.format(pid=1, blocked=0, caught=TERM), False),
        (STATUS.format(pid=1, blocked=TERM, caught=0), False),  # sigwait, signalfd
        (STATUS.format(pid=1, blocked=0, caught=TERM << 1), True),
        (STATUS.format(pid=7, blocked=0, caught=0), False),  # not the first of its namespace
        (STATUS.format(pid=1, blocked=0, caught=0).replace("\t4711\t1", "\t1"), False),  # host's
        (
            STATUS.format(pid=1, blocked=0, caught=0).replace("TracerPid:\t0", "TracerPid:\t9"),
            False,
        ),
        ("", False),
    ],
)
def test_which_signals_the_kernel_drops(status: str, dropped: bool) -> None:
    """pid_namespaces(7), by /proc/PID/status."""
    assert stop.is_dropped(status, 15) is dropped


async def test_kill_of_a_paused_container_that_dies_frozen(rooms: Rooms) -> None:
    """SIGKILL reaches a frozen cgroup v2: there is nothing to thaw any more, and nothing to complain of."""
    record = await run(rooms)
    await pause.pause_container(rooms.services, "web")
    rooms.monitors.last.fail["resume"] = RequestFailed("container is not running", 3)
    await kill.kill_container(rooms.services, "web")
    assert rooms.record(record.id).exit_code == 137


async def test_stop_of_a_paused_container(rooms: Rooms) -> None:
    """It is thawed to take the signal."""
    await run(rooms)
    await pause.pause_container(rooms.services, "web")
    rooms.monitors.last.deadly = {9}

    real = rooms.monitors.last.resume

    async def resume() -> None:
        await real()
        rooms.monitors.last.exit(143)

    rooms.monitors.last.resume = resume  # type: ignore[method-assign]
    await stop.stop_container(rooms.services, "web")
    assert rooms.record("web").exit_code == 143


# -- kill ------------------------------------------------------------------------------------------


async def test_kill(rooms: Rooms) -> None:
    """KILL is waited for; another signal is sent and that is all."""
    await run(rooms)
    await kill.kill_container(rooms.services, "web", signal="USR1")
    assert rooms.record("web").state is State.RUNNING
    assert told_of(rooms, "kill")[0]["signal"] == "10"
    await kill.kill_container(rooms.services, "web")
    assert rooms.record("web").exit_code == 137


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        ("FOO", "Invalid signal: FOO"),
        ("0", "Invalid signal: 0"),
        ("99", "Cannot kill container: web: The linux daemon does not support signal 99"),
    ],
)
async def test_kill_refuses_nonsense(rooms: Rooms, signal: str, text: str) -> None:
    """dockerd's words."""
    await run(rooms)
    with pytest.raises(InvalidParameter) as caught:
        await kill.kill_container(rooms.services, "web", signal=signal)
    assert str(caught.value) == text


async def test_kill_of_what_does_not_run(rooms: Rooms) -> None:
    """409, also when it ended this instant."""
    record = await rooms.create("web")
    text = f"Cannot kill container: web: Container {record.id} is not running"
    with pytest.raises(Conflict, match=text):
        await kill.kill_container(rooms.services, "web")
    await start.start_container(rooms.services, "web")
    rooms.monitors.last.fail["kill"] = RequestFailed("no such process", 3)
    with pytest.raises(Conflict, match=text):
        await kill.kill_container(rooms.services, "web", signal="HUP")


async def test_kill_of_what_does_not_die(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, in time."""
    monkeypatch.setattr(kill, "DEADLINE", 0.0)
    rooms.monitors.deadly = set()
    await run(rooms)
    with pytest.raises(SampanError, match="did not receive an exit event"):
        await kill.kill_container(rooms.services, "web")


# -- restart ---------------------------------------------------------------------------------------


async def test_restart(rooms: Rooms) -> None:
    """Running or not, it runs afterwards; the events are dockerd's."""
    record = await run(rooms)
    await restart.restart_container(rooms.services, "web")
    assert rooms.record(record.id).state is State.RUNNING
    assert rooms.record(record.id).restart_count == 0
    assert rooms.actions() == [
        "container kill",
        "container die",
        "network disconnect",
        "container stop",
        "network connect",
        "container start",
        "container restart",
    ]
    await stop.stop_container(rooms.services, "web")
    await restart.restart_container(rooms.services, "web")
    assert rooms.record(record.id).state is State.RUNNING


async def test_restart_keeps_an_auto_removed_one(rooms: Rooms) -> None:
    """Its end on the way is no reason to remove it; the next one is."""
    record = await run(rooms, auto_remove=True)
    await restart.restart_container(rooms.services, "web")
    assert rooms.record(record.id).state is State.RUNNING
    rooms.monitors.last.exit(0)
    await rooms.settle()
    with pytest.raises(NotFound):
        rooms.record(record.id)


async def test_restart_that_fails(rooms: Rooms) -> None:
    """The class of the failure stays, the words say what was tried."""
    await run(rooms)
    rooms.networks.bridge_of_all.fail["plug"] = Conflict("no address is left")
    with pytest.raises(Conflict, match="Cannot restart container web: no address is left"):
        await restart.restart_container(rooms.services, "web")


# -- rm --------------------------------------------------------------------------------------------


async def test_rm(rooms: Rooms) -> None:
    """Nothing is left, the event is told."""
    before = rooms.leftovers()
    record = await rooms.create("web", volumes={"/v": {}})
    rooms.told()
    await remove.remove_container(rooms.services, "web", volumes=True)
    assert rooms.leftovers() == before
    assert rooms.actions() == ["volume destroy", "container destroy"]
    with pytest.raises(NotFound, match=f"No such container: {record.id}"):
        await remove.remove_container(rooms.services, record.id)


async def test_rm_keeps_volumes(rooms: Rooms) -> None:
    """Without `-v` all, with it the named and the shared ones."""
    first = await rooms.create("one", volumes={"/v": {}}, binds=["named:/n"])
    await rooms.create("two", volumes_from=["one"])
    await remove.remove_container(rooms.services, "one", volumes=True)
    left = [volume.name for volume in rooms.services.store.volumes.list()]
    assert sorted(left) == sorted(point.name for point in first.mounts)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.RUNNING, "container is running: stop the container before removing or force remove"),
        (State.PAUSED, "container is paused and must be unpaused first"),
        (State.RESTARTING, "container is restarting: stop the container before removing or force remove"),
    ],
)  # fmt: skip
async def test_rm_of_what_runs(rooms: Rooms, state: State, reason: str) -> None:
    """409 in the newest docker's words."""
    record = await rooms.create("web")
    actor = rooms.services.containers.actor("web")
    actor.record = msgspec.structs.replace(record, state=state)
    with pytest.raises(Conflict) as caught:
        await remove.remove_container(rooms.services, "web")
    assert str(caught.value) == f'cannot remove container "/web": {reason}'


async def test_rm_by_force(rooms: Rooms) -> None:
    """It is killed first; who waits for exit or removal is told."""
    before = rooms.leftovers()
    await run(rooms)
    waits = [
        wait.wait_container(rooms.services, "web", condition=condition)
        for condition in ("not-running", "next-exit", "removed")
    ]
    await remove.remove_container(rooms.services, "web", force=True)
    assert [(await waiter.result()).exit_code for waiter in waits] == [137, 137, 137]
    assert rooms.leftovers() == before


async def test_rm_that_fails_half_way(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container is dead, and can be removed again."""
    await rooms.create("web")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(rooms.services.store.snapshots), "remove", broken)
    with pytest.raises(SampanError, match="Input/output error"):
        await remove.remove_container(rooms.services, "web")
    assert rooms.record("web").state is State.DEAD
    monkeypatch.undo()
    await remove.remove_container(rooms.services, "web", force=True)


async def test_many_at_once(rooms: Rooms) -> None:
    """Starts, stops and removals of one container at the same time: one order, nothing left."""
    before = rooms.leftovers()
    await rooms.create("web")
    verbs = [
        start.start_container(rooms.services, "web"),
        stop.stop_container(rooms.services, "web"),
        restart.restart_container(rooms.services, "web"),
        remove.remove_container(rooms.services, "web", force=True),
        start.start_container(rooms.services, "web"),
    ]
    results = await asyncio.gather(*verbs, return_exceptions=True)
    assert all(r is None or isinstance(r, SampanError) for r in results), results
    await rooms.settle()
    for record in rooms.services.containers.all():
        await remove.remove_container(rooms.services, record.id, force=True)
    assert rooms.leftovers() == before


# -- rename ----------------------------------------------------------------------------------------


async def test_rename(rooms: Rooms) -> None:
    """Found by the new name only, in the database too."""
    record = await rooms.create("old")
    rooms.told()
    await rename.rename_container(rooms.services, "old", name="/new")
    assert rooms.record("new").id == record.id
    with pytest.raises(NotFound):
        rooms.record("old")
    row = rooms.services.store.metadata.containers.get(record.id)
    assert row is not None
    assert (row.name, decode(row.body).name) == ("new", "new")
    (event,) = rooms.told()
    assert event.attributes == {"image": "busybox", "name": "new", "oldName": "/old"}
    await rooms.create("old")


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("", InvalidParameter, "Neither old nor new names may be empty"),
        ("web", InvalidParameter, "Renaming a container with the same name as its current name"),
        ("-x", InvalidParameter, "Error when allocating new name: Invalid container name (-x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        ("other", Conflict, 'Error when allocating new name: Conflict. The container name "/other" is already in use'),
    ],
)  # fmt: skip
async def test_rename_refused(rooms: Rooms, name: str, kind: type[SampanError], text: str) -> None:
    """dockerd's words, and the old name stays."""
    await rooms.create("web")
    await rooms.create("other")
    with pytest.raises(kind) as caught:
        await rename.rename_container(rooms.services, "web", name=name)
    assert str(caught.value).startswith(text)
    assert rooms.record("web").name == "web"


# -- pause, resize, wait ---------------------------------------------------------------------------


async def test_pause_of_one_that_ends(rooms: Rooms) -> None:
    """Its process is no more and its end is not known yet: it does not run."""
    record = await run(rooms)
    rooms.monitors.last.fail["pause"] = RequestFailed("is not running", 3)
    with pytest.raises(Conflict, match=f"Container {record.id} is not running"):
        await pause.pause_container(rooms.services, "web")
    assert rooms.record("web").state is State.RUNNING


async def test_what_waits_behind_a_removal(rooms: Rooms) -> None:
    """The container is gone by then: neither its row nor its name comes back."""
    record = await rooms.create("web")
    removal, renaming, starting = await asyncio.gather(
        remove.remove_container(rooms.services, "web"),
        rename.rename_container(rooms.services, "web", name="other"),
        start.start_container(rooms.services, "web"),
        return_exceptions=True,
    )
    assert removal is None
    assert isinstance(renaming, NotFound)
    assert isinstance(starting, NotFound)
    assert rooms.services.store.metadata.containers.all() == []
    for name in ("web", "other"):
        assert (await rooms.create(name)).id != record.id


async def test_pause(rooms: Rooms) -> None:
    """Paused and back; what does not fit is refused."""
    record = await run(rooms)
    with pytest.raises(Conflict, match=f"Container {record.id} is not paused"):
        await pause.unpause_container(rooms.services, "web")
    await pause.pause_container(rooms.services, "web")
    assert rooms.record("web").state is State.PAUSED
    with pytest.raises(Conflict, match=f"Container {record.id} is already paused"):
        await pause.pause_container(rooms.services, "web")
    await pause.unpause_container(rooms.services, "web")
    assert rooms.record("web").state is State.RUNNING
    assert rooms.actions() == ["container pause", "container unpause"]
    await stop.stop_container(rooms.services, "web")
    with pytest.raises(Conflict, match=f"Container {record.id} is not running"):
        await pause.pause_container(rooms.services, "web")


async def test_pause_that_fails_changes_nothing(rooms: Rooms) -> None:
    """The monitor could not freeze it."""
    await run(rooms)
    rooms.monitors.last.fail["pause"] = RequestFailed("device or resource busy", 16)
    with pytest.raises(SampanError, match="busy"):
        await pause.pause_container(rooms.services, "web")
    assert rooms.record("web").state is State.RUNNING


async def test_resize(rooms: Rooms) -> None:
    """Rows and columns go to the monitor."""
    record = await run(rooms, tty=True)
    await resize.resize_container(rooms.services, "web", height=24, width=80)
    assert rooms.monitors.last.calls[-1] == ("resize", 24, 80, "")
    assert told_of(rooms, "resize")[0]["height"] == "24"
    await stop.stop_container(rooms.services, "web")
    with pytest.raises(Conflict, match=f"Container {record.id} is not running"):
        await resize.resize_container(rooms.services, "web", height=24, width=80)


async def test_wait(rooms: Rooms) -> None:
    """Each condition waits for its own."""
    await rooms.create("web")
    assert (await wait.wait_container(rooms.services, "web").result()).exit_code == 0
    coming = wait.wait_container(rooms.services, "web", condition="next-exit")
    removal = wait.wait_container(rooms.services, "web", condition="removed")
    await start.start_container(rooms.services, "web")
    running = wait.wait_container(rooms.services, "web", condition="not-running")
    assert not coming.ready
    rooms.monitors.last.exit(4)
    assert (await coming.result()).exit_code == 4
    assert (await running.result()).exit_code == 4
    assert (await wait.wait_container(rooms.services, "web").result()).exit_code == 4
    assert not removal.ready
    await remove.remove_container(rooms.services, "web")
    assert (await removal.result()).exit_code == 4
    with pytest.raises(NotFound):
        wait.wait_container(rooms.services, "web")


async def test_wait_sees_an_exit_between_registering_and_waiting(rooms: Rooms) -> None:
    """The API answers its headers in between; a container of a millisecond is not missed."""
    await rooms.create("web")

    def end(monitor: FakeMonitor) -> None:
        monitor.exit(6)

    rooms.monitors.on_start = end
    waiter = wait.wait_container(rooms.services, "web", condition="next-exit")
    await start.start_container(rooms.services, "web")
    await rooms.settle()
    assert (await waiter.result()).exit_code == 6


async def test_wait_that_is_given_up(rooms: Rooms) -> None:
    """Nothing of it is left; an unknown condition is refused."""
    await run(rooms)
    actor = rooms.services.containers.actor("web")
    waiter = wait.wait_container(rooms.services, "web")
    task = asyncio.create_task(waiter.result())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    waiter.close()
    assert actor.exits == set()
    with pytest.raises(InvalidParameter):
        wait.wait_container(rooms.services, "web", condition="zzz")


# -- a wait that outlives the daemon ----------------------------------------------------------------


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("condition", ["next-exit", "removed"])
async def test_a_wait_is_handed_to_the_monitor(rooms: Rooms, condition: str, running: bool) -> None:
    """At once when there is one, else with the start; once, and the descriptor goes with it."""
    await rooms.create("web")
    if running:
        await start.start_container(rooms.services, "web")
    waiter = wait.wait_container(rooms.services, "web", condition=condition)
    ours, theirs = socket.socketpair()
    with ours:
        await waiter.outlive_daemon(ClientStream(theirs.detach()), chunked=True)
        if not running:
            assert not rooms.services.containers.actor("web").pending[0].abandoned()
            await start.start_container(rooms.services, "web")
        wanted = WaitOptions(removal=condition == "removed", chunked=True)
        assert rooms.monitors.last.calls.count(("wait", wanted)) == 1
        ours.settimeout(5)
        assert ours.recv(1) == b""  # the fake keeps no duplicate
    waiter.close()


async def test_a_wait_that_is_over_at_once_leaves_nothing(rooms: Rooms) -> None:
    """What does not run is waited for by nobody."""
    await rooms.create("web")
    waiter = wait.wait_container(rooms.services, "web")
    assert waiter.ready
    assert not rooms.services.containers.actor("web").exits


async def test_a_wait_that_is_given_up_is_not_kept(rooms: Rooms) -> None:
    """The connection of a client that went away is closed, before any start."""
    await rooms.create("web")
    waiter = wait.wait_container(rooms.services, "web", condition="next-exit")
    ours, theirs = socket.socketpair()
    with ours:
        await waiter.outlive_daemon(ClientStream(theirs.detach()), chunked=True)
        waiter.close()
        ours.settimeout(5)
        assert ours.recv(1) == b""
    assert not rooms.services.containers.actor("web").pending
