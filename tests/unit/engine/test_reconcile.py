"""When the daemon comes up: whatever it finds becomes one of the states that the table of failures promises."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.engine import kill, reconcile, remains, start
from sampan.engine.exec import inspect_exec
from sampan.engine.network import names, plugs
from sampan.engine.network.create import create_network
from sampan.engine.network.making import present
from sampan.engine.network.records import NetworkRecord
from sampan.engine.pause import mark_of
from sampan.engine.records import ContainerRecord, State, decode
from sampan.errors import Conflict, NotFound, SampanError
from sampan.linux import process
from sampan.monitor.messages import ExecOptions
from sampan.monitor.records import ExitRecord, MonitorRecord, write_record
from sampan.spec.container import RestartPolicy
from sampan.spec.egress import LABEL
from tests.fakes.networks import FakeBridge, FakeNetworks
from tests.fakes.rooms import BOOT, FakeMonitor, Rooms, open_test_store

Restart = Callable[[], Awaitable[Rooms]]


@pytest.fixture
async def again(rooms: Rooms, tmp_path: Path) -> AsyncIterator[Restart]:
    """The daemon is killed, and comes up again."""
    made: list[Rooms] = []

    async def restart() -> Rooms:
        for actor in rooms.services.containers.actors():
            actor.cancel_restart()
        # A second connection to the same database: the first one is only read from now on.
        other = rooms.restarted(open_test_store(tmp_path))
        made.append(other)
        reconcile.load(other.services)
        await reconcile.reconcile(other.services)
        return other

    yield restart
    for other in made:
        for actor in other.services.containers.actors():
            actor.cancel_restart()
        await other.settle()
        await other.services.store.close()


@pytest.fixture(autouse=True)
def killed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cgroups that were killed. Monitors are this very process, and must not be."""
    paths: list[str] = []
    monkeypatch.setattr(remains, "kill", lambda services, path: paths.append(path))
    monkeypatch.setattr(reconcile, "_kill_monitor", lambda pid, started: None)
    return paths


async def run(rooms: Rooms, name: str = "web", **options: Any) -> ContainerRecord:
    await rooms.create(name, **options)
    await start.start_container(rooms.services, name)
    record = rooms.record(name)
    write_record(rooms.services.paths.run(record.id), serving(record))
    return record


def serving(record: ContainerRecord, *, pid: int = 0) -> MonitorRecord:
    """Served by this very process, which lives."""
    me = os.getpid()
    return MonitorRecord(
        version=1,
        pid=pid or me,
        start_time=process.start_time(me),
        boot_id=BOOT,
        container_id=record.id,
        cgroup=f"/there/{record.id}",
    )


def listens(rooms: Rooms, record: ContainerRecord) -> FakeMonitor:
    """A monitor of the former daemon, which answers."""
    monitor = FakeMonitor(rooms.monitors, None, record.pid)
    rooms.monitors.at[rooms.services.paths.socket(record.id)] = monitor
    return monitor


async def test_what_runs_goes_on(rooms: Rooms, again: Restart) -> None:
    """Adopted as it is, with its addresses; its exit is seen as ever."""
    record = await run(rooms)
    monitor = listens(rooms, record)
    other = await again()
    found = other.record(record.id)
    assert (found.state, found.pid, found.started_at) == (
        State.RUNNING,
        record.pid,
        record.started_at,
    )
    assert other.networks.bridge_of_all.plugged[record.id].address == "10.9.0.2"
    assert other.networks.reconciled == 1
    assert other.networks.running == {record.id: False}
    assert other.actions() == []
    monitor.exit(4)
    await other.settle()
    assert (other.record(record.id).state, other.record(record.id).exit_code) == (State.EXITED, 4)
    assert other.networks.bridge_of_all.plugged == {}


async def test_a_policy_that_cannot_be_told(
    rooms: Rooms, again: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in force for it is not given up."""
    record = await run(rooms, labels={LABEL: "none"})
    listens(rooms, record)

    async def tell(services: object, told: object) -> None:
        raise SampanError("no")

    monkeypatch.setattr(names, "tell", tell)
    other = await again()
    assert other.networks.namings == {}
    assert other.networks.running == {record.id: True}


async def test_a_row_that_was_written_ahead(rooms: Rooms, again: Restart) -> None:
    """The daemon died before it knew pid and time: the monitor knows."""
    record = await run(rooms)
    row = rooms.services.store.metadata.containers.get(record.id)
    assert row is not None
    assert decode(row.body).pid == 0
    listens(rooms, record)
    other = await again()
    assert (other.record(record.id).pid, other.record(record.id).started_at) == (
        record.pid,
        record.started_at,
    )


async def test_an_exec_that_goes_on(rooms: Rooms, again: Restart) -> None:
    """Its client, whose streams never passed through the daemon, can ask for the exit code."""
    record = await run(rooms)
    monitor = listens(rooms, record)
    monitor.execs["e" * 64] = ExecOptions(exec_id="e" * 64, process={})
    other = await again()
    found = inspect_exec(other.services, "e" * 64)
    assert (found.running, found.pid, found.container_id) == (True, 99, record.id)
    monitor.say({"type": "exec_exit", "exec_id": "e" * 64, "exit_code": 5})
    assert inspect_exec(other.services, "e" * 64).exit_code == 5


async def test_an_address_that_is_taken(
    rooms: Rooms, again: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container is looked after all the same."""
    record = await run(rooms)
    listens(rooms, record)

    def taken(*_: object) -> None:
        raise Conflict("address already in use")

    monkeypatch.setattr(FakeBridge, "restore", taken)
    other = await again()
    assert other.record(record.id).state is State.RUNNING
    assert other.services.containers.actor(record.id).monitor is not None


async def test_killed_after_the_row_of_a_disconnect(rooms: Rooms, again: Restart) -> None:
    """The next daemon sets the routes that the container is to have, and does so once."""
    record = await run(rooms)
    actor = rooms.services.containers.actor(record.id)
    actor.save(msgspec.structs.replace(actor.record, pid=os.getpid(), endpoints={}, unsettled=True))
    listens(rooms, actor.record)
    other = await again()
    assert other.networks.routes == [[]]
    assert not other.record(record.id).unsettled


async def test_a_network_that_cannot_be_restored(
    rooms: Rooms, again: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its link is spared; whoever wants it next restores it, with those who are in it."""
    network = (await create_network(rooms.services, NetworkRecord(id="", name="n1", created=0))).id
    record = await run(rooms, network_mode="n1")
    listens(rooms, record)
    with monkeypatch.context() as patched:
        patched.setattr(FakeNetworks, "add_bridge", _no_bridge)
        other = await again()
    assert other.networks.spared == [f"br-{network[:12]}"]
    with pytest.raises(NotFound, match="not found"):
        plugs.bridge_of(other.services, other.services.network_records.get("n1"))
    await present(other.services, other.services.network_records.get("n1"))
    assert list(other.networks.bridges[network].plugged) == [record.id]


async def _no_bridge(*_: object) -> None:
    raise OSError(errno.EBUSY, "it is in use")


@pytest.mark.parametrize(("before", "phase", "after"), [
    (State.RUNNING, "paused", State.PAUSED),
    (State.PAUSED, "running", State.RUNNING),
    (State.PAUSED, "paused", State.PAUSED),
])  # fmt: skip
async def test_paused(
    rooms: Rooms, again: Restart, before: State, phase: str, after: State
) -> None:
    """The kernel is the truth, not the row."""
    record = await run(rooms)
    rooms.services.write_record(msgspec.structs.replace(record, state=before))
    listens(rooms, record).phase = phase
    other = await again()
    assert other.record(record.id).state is after


async def test_frozen_by_a_commit(rooms: Rooms, again: Restart) -> None:
    """The daemon died while it copied what a container wrote: the container goes on."""
    record = await run(rooms)
    monitor = listens(rooms, record)
    monitor.phase = "paused"
    mark = mark_of(rooms.services, record.id)
    with open(mark, "w"):
        pass
    other = await again()
    assert other.record(record.id).state is State.RUNNING
    assert "resume" in monitor.names()
    assert not os.path.exists(mark)


async def test_it_ended_meanwhile(rooms: Rooms, again: Restart) -> None:
    """exit.json of a monitor that waits for us, or that is gone: the true code and time."""
    waiting, gone = await run(rooms, "waiting"), await run(rooms, "gone")
    monitor = listens(rooms, waiting)
    monitor.phase = "exited"
    monitor.told = {"exit_code": 7, "finished_at": "2026-11-24T05:39:00Z", "oom_killed": False}
    folder = rooms.services.paths.run(gone.id)
    os.unlink(os.path.join(folder, "monitor.json"))
    write_record(
        folder,
        ExitRecord(
            exit_code=8,
            signal=0,
            oom_killed=True,
            finished_at="2026-11-24T05:39:00Z",
            container_id=gone.id,
            pid=1,
        ),
    )
    other = await again()
    for record, code, oom in ((waiting, 7, False), (gone, 8, True)):
        found = other.record(record.id)
        assert (found.state, found.exit_code, found.oom_killed) == (State.EXITED, code, oom)
        assert found.finished_at == 1_795_498_740_000_000_000
    assert other.leftovers()["run"] == []
    assert monitor.names()[-1] == "delete"


async def test_the_monitor_died(rooms: Rooms, again: Restart, killed: list[str]) -> None:
    """Half a container is never adopted: killed by its cgroup, 137 with the reason."""
    record = await run(rooms)
    write_record(rooms.services.paths.run(record.id), serving(record, pid=2**22 - 1))
    other = await again()
    found = other.record(record.id)
    assert (found.state, found.exit_code, found.error) == (State.EXITED, 137, remains.LOST)
    assert killed == [f"/there/{record.id}"]


async def test_the_monitor_does_not_answer(
    rooms: Rooms, again: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time it is given up, and killed: never two that think they own one container."""
    shot: list[int] = []
    monkeypatch.setattr(reconcile, "_kill_monitor", lambda pid, started: shot.append(pid))
    monkeypatch.setattr(reconcile, "DEADLINE", 0.01)
    record = await run(rooms)
    monitor = listens(rooms, record)

    async def silent() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    monitor.state = silent  # type: ignore[method-assign]
    other = await again()
    assert other.record(record.id).exit_code == 137
    assert shot == [os.getpid()]


@pytest.mark.parametrize(("policy", "restarted"), [("no", False), ("unless-stopped", True), ("always", True)])  # fmt: skip
async def test_another_boot(
    rooms: Rooms, again: Restart, policy: str, restarted: bool, killed: list[str]
) -> None:
    """What ran is exited with 255, then the policies act; nothing of this boot is killed."""
    record = await run(rooms, restart_policy=RestartPolicy(name=policy))
    rooms.services.write_record(msgspec.structs.replace(record, boot_id="another"))
    shutil.rmtree(rooms.services.paths.run(record.id))  # it was on a tmpfs
    other = await again()
    found = other.record(record.id)
    assert found.state is (State.RESTARTING if restarted else State.EXITED)
    assert found.exit_code == 255
    assert killed == []


@pytest.mark.parametrize(
    ("policy", "by_hand", "runs"),
    [("no", False, False), ("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True)],
)  # fmt: skip
async def test_policies_at_start(
    rooms: Rooms, again: Restart, policy: str, by_hand: bool, runs: bool
) -> None:
    """Exited ones, by policy; what was never started is not."""
    await rooms.create("never", restart_policy=RestartPolicy(name=policy))
    record = await run(rooms, restart_policy=RestartPolicy(name=policy))
    await kill.kill_container(rooms.services, "web")
    await rooms.settle()
    ended = msgspec.structs.replace(rooms.record(record.id), manually_stopped=by_hand)
    rooms.services.write_record(ended)
    other = await again()
    reconcile.apply_policies(other.services)
    await other.settle()
    assert (other.record(record.id).state is State.RUNNING) is runs
    assert other.record("never").state is State.CREATED


async def test_a_restart_was_due(rooms: Rooms, again: Restart) -> None:
    """The daemon went away in between: the policy decides anew."""
    record = await run(rooms, restart_policy=RestartPolicy(name="always"))
    rooms.monitors.last.exit(1)
    await rooms.settle()
    assert rooms.record(record.id).state is State.RESTARTING
    other = await again()
    assert other.record(record.id).state is State.EXITED
    reconcile.apply_policies(other.services)
    await other.settle()
    assert other.record(record.id).state is State.RUNNING


async def test_auto_removed_ones(rooms: Rooms, again: Restart) -> None:
    """`--rm` holds for what ended unseen; what was only created stays."""
    before = rooms.leftovers()
    record = await run(rooms, auto_remove=True)
    os.unlink(os.path.join(rooms.services.paths.run(record.id), "monitor.json"))
    other = await again()
    with pytest.raises(NotFound):
        other.record(record.id)
    after = other.leftovers()
    assert {key: after[key] for key in after if key != "descriptors"} == {
        key: before[key] for key in before if key != "descriptors"
    }


async def test_a_created_one_that_is_auto_removed_stays(rooms: Rooms, again: Restart) -> None:
    """Its start may be asked for yet."""
    record = await rooms.create("web", auto_remove=True)
    other = await again()
    assert other.record(record.id).state is State.CREATED


async def test_a_start_that_was_cut_short(rooms: Rooms, again: Restart, killed: list[str]) -> None:
    """A run folder without a row that says `running`: cleaned up, and it can be started."""
    record = await rooms.create("web")
    os.mkdir(rooms.services.paths.run(record.id))
    other = await again()
    assert other.record(record.id).state is State.CREATED
    assert other.leftovers()["run"] == []
    assert killed
    await start.start_container(other.services, "web")


async def test_a_start_whose_row_was_not_written(rooms: Rooms, again: Restart) -> None:
    """The row says `created`, the container runs: the kernel is the truth."""
    record = await run(rooms)
    rooms.services.write_record(msgspec.structs.replace(record, state=State.CREATED, pid=0))
    listens(rooms, record)
    other = await again()
    assert (other.record(record.id).state, other.record(record.id).pid) == (
        State.RUNNING,
        record.pid,
    )


async def test_a_monitor_that_was_never_told_to_start(rooms: Rooms, again: Restart) -> None:
    """It is sent home; nothing of it is adopted."""
    record = await run(rooms)
    monitor = listens(rooms, record)
    monitor.phase = "created"
    other = await again()
    assert monitor.aborted
    assert other.record(record.id).state is State.EXITED


@pytest.mark.parametrize("state", [State.REMOVING, State.DEAD])
async def test_a_removal_that_was_cut_short(rooms: Rooms, again: Restart, state: State) -> None:
    """It is finished."""
    before = rooms.leftovers()["snapshots"]
    record = await rooms.create("web")
    rooms.services.write_record(msgspec.structs.replace(record, state=state))
    other = await again()
    assert other.services.containers.all() == []
    assert other.leftovers()["snapshots"] == before


async def test_rubbish_is_swept(rooms: Rooms, again: Restart) -> None:
    """Folders and layers without a row, of a create or a removal that a crash cut short."""
    services = rooms.services
    record = await rooms.create("web")
    services.store.snapshots.prepare("a" * 64, None)
    os.mkdir(services.paths.home("b" * 64))
    os.mkdir(services.paths.run("c" * 64))
    other = await again()
    after = other.leftovers()
    assert after["snapshots"] == [record.id]
    assert after["folders"] == [record.id]
    assert after["run"] == []


async def test_a_damaged_row(
    rooms: Rooms, again: Restart, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported and left alone, files included; the others live on."""
    record = await rooms.create("web")
    damaged = await rooms.create("damaged")
    rooms.services.store.metadata.containers.put(damaged.id, "damaged", b"{")
    other = await again()
    assert [each.id for each in other.services.containers.all()] == [record.id]
    assert "is damaged and is ignored" in caplog.text
    assert damaged.id in other.leftovers()["folders"]
    assert damaged.id in other.leftovers()["snapshots"]


async def test_twice_is_once(rooms: Rooms, again: Restart) -> None:
    """A second reconciliation changes nothing."""
    running, ended = await run(rooms, "running"), await run(rooms, "ended")
    listens(rooms, running)
    os.unlink(os.path.join(rooms.services.paths.run(ended.id), "monitor.json"))
    first = await again()
    records = first.services.containers.all()
    second = await again()
    assert second.services.containers.all() == records


async def test_letting_go(rooms: Rooms) -> None:
    """The daemon ends: connections are closed, nothing is told to anybody, what runs goes on."""
    record = await run(rooms)
    await reconcile.let_go(rooms.services)
    monitor = rooms.monitors.last
    assert monitor.closed
    assert monitor.names() == ["created", "start"]
    assert rooms.record(record.id).state is State.RUNNING
