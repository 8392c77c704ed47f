"""What follows a container's end: record, events, network, auto-removal, restart policies, lost monitors."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from sampan.engine import kill, lifecycle, remains, remove, start, stop
from sampan.engine.records import ContainerRecord, State, decode
from sampan.engine.wait import wait_container
from sampan.errors import Conflict, NotFound
from sampan.spec.container import RestartPolicy
from tests.fakes.rooms import Rooms


async def run(rooms: Rooms, name: str = "web", **options: Any) -> ContainerRecord:
    record = await rooms.create(name, **options)
    await start.start_container(rooms.services, name)
    rooms.told()
    return rooms.record(record.id)


async def until(rooms: Rooms, record: ContainerRecord, state: State) -> None:
    """The loop turns until the record says so."""
    async with asyncio.timeout(5):
        while rooms.record(record.id).state is not state:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def test_an_exit(rooms: Rooms) -> None:
    """Record and row, dockerd's events in order, nothing of the run is left."""
    record = await run(rooms, volumes={"/v": {}})
    rooms.clock.advance(3.5)
    rooms.monitors.last.exit(3)
    await rooms.settle()
    ended = rooms.record(record.id)
    assert (ended.state, ended.exit_code, ended.pid) == (State.EXITED, 3, 0)
    assert ended.finished_at == rooms.clock.now()
    row = rooms.services.store.metadata.containers.get(record.id)
    assert row is not None
    assert decode(row.body) == ended
    events = rooms.told()
    assert [f"{e.type} {e.action}" for e in events] == [
        "container die",
        "network disconnect",
        "volume unmount",
    ]
    assert events[0].attributes["exitCode"] == "3"
    assert events[0].attributes["execDuration"] == "3"
    assert rooms.leftovers()["run"] == []
    assert rooms.networks.bridge_of_all.plugged == {}
    assert rooms.monitors.last.names()[-1] == "delete"
    assert rooms.monitors.last.closed


async def test_it_is_told_once(rooms: Rooms) -> None:
    """A repeated exit and a late EOF change nothing."""
    await run(rooms)
    monitor = rooms.monitors.last
    monitor.exit(3)
    monitor.exit(4)
    monitor.die()
    await rooms.settle()
    assert rooms.record("web").exit_code == 3
    assert rooms.actions().count("container die") == 1


async def test_out_of_memory(rooms: Rooms) -> None:
    """The flag is kept, the event told."""
    await run(rooms)
    rooms.monitors.last.say({"type": "oom"})
    rooms.monitors.last.exit(137, oom_killed=True)
    await rooms.settle()
    assert rooms.record("web").oom_killed
    assert rooms.actions()[:2] == ["container oom", "container die"]


async def test_auto_remove(rooms: Rooms) -> None:
    """It goes with its anonymous volumes; who waits for that gets the code."""
    before = rooms.leftovers()
    await run(rooms, auto_remove=True, volumes={"/v": {}})
    waiter = wait_container(rooms.services, "web", condition="removed")
    rooms.monitors.last.exit(5)
    assert (await waiter.result()).exit_code == 5
    await rooms.settle()
    assert rooms.leftovers() == before
    assert rooms.actions() == [
        "container die",
        "network disconnect",
        "volume unmount",
        "volume destroy",
        "container destroy",
    ]


async def test_a_lost_monitor(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """EOF: what is left is killed, 137 with the reason."""
    killed: list[str] = []
    monkeypatch.setattr(remains, "kill", lambda services, path: killed.append(path))
    record = await run(rooms)
    rooms.monitors.last.die()
    await rooms.settle()
    ended = rooms.record(record.id)
    assert (ended.state, ended.exit_code, ended.error) == (State.EXITED, 137, remains.LOST)
    assert killed == [f"/sampan/{record.id}"]
    assert rooms.networks.bridge_of_all.plugged == {}


async def test_a_lost_monitor_that_had_written_the_exit(rooms: Rooms) -> None:
    """It died after exit.json: that is how the container ended."""
    from sampan.monitor.records import ExitRecord, write_record

    record = await run(rooms)
    written = ExitRecord(
        exit_code=9,
        signal=0,
        oom_killed=False,
        finished_at="2026-11-24T05:38:20Z",
        container_id=record.id,
        pid=1,
    )
    write_record(rooms.services.paths.run(record.id), written)
    rooms.monitors.last.die()
    await rooms.settle()
    assert (rooms.record(record.id).exit_code, rooms.record(record.id).error) == (9, "")


def policy(name: str, count: int = 0) -> dict[str, Any]:
    return {"restart_policy": RestartPolicy(name=name, maximum_retry_count=count)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Restarts are due at once; the delays that were meant are noted."""
    delays: list[float] = []
    real = lifecycle.asyncio.get_running_loop

    class Loop:
        def __init__(self) -> None:
            self._loop = real()

        def call_later(self, delay: float, callback: Any) -> asyncio.TimerHandle:
            delays.append(round(delay, 3))
            return self._loop.call_later(0, callback)

    class Asyncio:
        get_running_loop = staticmethod(Loop)

    monkeypatch.setattr(lifecycle, "asyncio", Asyncio)
    return delays


async def test_always(rooms: Rooms, quick: list[float]) -> None:
    """It is started again with growing delays, counted, and waits end at every exit."""
    record = await run(rooms, **policy("always"))
    for number in range(1, 4):
        waiter = wait_container(rooms.services, "web", condition="next-exit")
        rooms.monitors.last.exit(0)
        assert (await waiter.result()).exit_code == 0
        await until(rooms, record, State.RUNNING)
        assert rooms.record(record.id).restart_count == number
    assert quick == [0.1, 0.2, 0.4]
    rooms.clock.advance(11)  # it ran long enough to begin anew
    rooms.monitors.last.exit(0)
    await until(rooms, record, State.RESTARTING)
    assert quick[-1] == 0.1
    await until(rooms, record, State.RUNNING)


async def test_on_failure(rooms: Rooms, quick: list[float]) -> None:
    """Only after a failure, and only so often."""
    record = await run(rooms, **policy("on-failure", 2))
    for _ in range(2):
        rooms.monitors.last.exit(1)
        await until(rooms, record, State.RESTARTING)
        await until(rooms, record, State.RUNNING)
    rooms.monitors.last.exit(1)
    await until(rooms, record, State.EXITED)
    assert len(rooms.monitors.made) == 3
    await start.start_container(rooms.services, "web")
    assert rooms.record(record.id).restart_count == 0
    rooms.monitors.last.exit(0)
    await until(rooms, record, State.EXITED)


@pytest.mark.parametrize("how", ["stop", "kill", "rm"])
async def test_what_was_stopped_by_hand_stays(rooms: Rooms, quick: list[float], how: str) -> None:
    """Stop and kill are the user's last word."""
    record = await run(rooms, **policy("always"))
    if how == "stop":
        await stop.stop_container(rooms.services, "web")
    elif how == "kill":
        await kill.kill_container(rooms.services, "web")
    else:
        await remove.remove_container(rooms.services, "web", force=True)
        with pytest.raises(NotFound):
            rooms.record(record.id)
        return
    await rooms.settle()
    assert rooms.record(record.id).state is State.EXITED
    assert rooms.record(record.id).manually_stopped
    assert quick == []


async def test_stop_while_a_restart_is_due(rooms: Rooms) -> None:
    """The timer is cancelled, the container is exited; starting it by hand works at once."""
    record = await run(rooms, **policy("always"))
    rooms.monitors.last.exit(1)
    await rooms.settle()
    assert rooms.record(record.id).state is State.RESTARTING
    waiter = wait_container(rooms.services, "web")
    await stop.stop_container(rooms.services, "web")
    assert rooms.record(record.id).state is State.EXITED
    assert (await waiter.result()).exit_code == 1
    await start.start_container(rooms.services, "web")
    assert rooms.record(record.id).state is State.RUNNING


@pytest.mark.parametrize("how", ["stop", "rm", "kill"])
@pytest.mark.parametrize("due", [False, True], ids=["exiting", "starting"])
async def test_ended_just_before(rooms: Rooms, quick: list[float], how: str, *, due: bool) -> None:
    """A container that ends, or is started again, at the moment it is stopped stays down all the same."""
    record = await run(rooms, **policy("always"))
    rooms.monitors.last.exit(0)
    if due:
        await until(rooms, record, State.RESTARTING)
        timer = rooms.services.containers.actor("web").restart_timer
        assert timer is not None
        timer._run()
    if how == "stop":
        await stop.stop_container(rooms.services, "web")
    elif how == "rm":
        await remove.remove_container(rooms.services, "web", force=True)
    else:
        with contextlib.suppress(Conflict):  # it does not run, at the moment
            await kill.kill_container(rooms.services, "web")
        await stop.stop_container(rooms.services, "web")
    await rooms.settle()
    await asyncio.sleep(0)
    await rooms.settle()
    states = [record.state for record in rooms.services.containers.all()]
    assert states == ([] if how == "rm" else [State.EXITED])


async def test_a_kill_while_a_restart_is_due(rooms: Rooms) -> None:
    """It is the last word, as a stop is."""
    record = await run(rooms, **policy("always"))
    rooms.monitors.last.exit(1)
    await until(rooms, record, State.RESTARTING)
    await kill.kill_container(rooms.services, "web")
    await rooms.settle()
    assert rooms.record(record.id).state is State.EXITED
    assert rooms.services.containers.actor("web").restart_timer is None


async def test_a_restart_that_fails(rooms: Rooms, quick: list[float]) -> None:
    """It is exited with the reason, and is not tried again."""
    record = await run(rooms, **policy("always"))
    rooms.monitors.fail = {"launch": OSError(12, "Cannot allocate memory")}
    rooms.monitors.last.exit(0)
    await until(rooms, record, State.RESTARTING)
    await until(rooms, record, State.EXITED)
    assert "Cannot allocate memory" in rooms.record(record.id).error
    assert rooms.record(record.id).exit_code == 128


async def test_a_full_database_at_the_exit(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged; the actor goes on with its next job."""
    record = await run(rooms)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(rooms.services.store.metadata.containers), "put", full)
    rooms.monitors.last.exit(0)
    await rooms.settle()
    assert "No space left on device" in caplog.text
    assert rooms.record(record.id).state is State.EXITED
    monkeypatch.undo()
    await remove.remove_container(rooms.services, "web", force=True)
