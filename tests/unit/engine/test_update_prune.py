"""`update` and `container prune`: what they change, refuse and tell."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.engine import prune, start, times, update
from sampan.engine.records import State, decode
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.monitor.client import RequestFailed
from sampan.spec.container import HostConfig, RestartPolicy
from tests.fakes.rooms import NOW, Rooms

MB = 1 << 20


async def test_update_of_what_runs(rooms: Rooms) -> None:
    """The monitor is told, the row is written, the event says so; zero means "as it is"."""
    record = await rooms.create("web", memory=64 * MB, memory_swap=128 * MB, cpu_shares=512)
    await start.start_container(rooms.services, "web")
    rooms.told()
    warnings = await update.update_container(
        rooms.services, "web", HostConfig(memory=32 * MB, pids_limit=7)
    )
    assert warnings == ["a warning"]
    [limits] = [call[1] for call in rooms.monitors.last.calls if call[0] == "update"]
    assert limits["memory"] == {"limit": 32 * MB, "swap": 128 * MB}
    assert limits["cpu"] == {"shares": 512}
    assert limits["pids"] == {"limit": 7}
    row = rooms.services.store.metadata.containers.all()[0]
    assert decode(row.body).host_config.memory == 32 * MB
    assert rooms.record(record.id).host_config.pids_limit == 7
    assert rooms.actions() == ["container update"]


async def test_update_of_what_does_not_run(rooms: Rooms) -> None:
    """Only the record changes; the restart policy too."""
    await rooms.create("web")
    wanted = HostConfig(cpu_shares=3, restart_policy=RestartPolicy(name="always"))
    assert await update.update_container(rooms.services, "web", wanted) == []
    host = rooms.record("web").host_config
    assert (host.cpu_shares, host.restart_policy) == (3, RestartPolicy(name="always"))
    assert rooms.monitors.made == []


REFUSED: list[tuple[dict[str, Any], HostConfig, type[Exception], str]] = [
    ({}, HostConfig(memory=1), InvalidParameter, "Minimum memory limit allowed is 6MB"),
    ({}, HostConfig(memory=-5), InvalidParameter, "Minimum memory limit allowed is 6MB"),
    ({}, HostConfig(cpuset_cpus="9"), InvalidParameter, "Requested CPUs are not available - requested 9, available: 0-1"),
    ({}, HostConfig(nano_cpus=99 * 10**9), InvalidParameter, "Range of CPUs is from 0.01 to 2.00"),
    ({}, HostConfig(restart_policy=RestartPolicy(name="bogus")), InvalidParameter, "unknown policy 'bogus'"),
    ({}, HostConfig(memory=64 * MB), Conflict, "Memory limit should be smaller than already set memoryswap limit"),
    ({"nano_cpus": 10**9}, HostConfig(cpu_period=100000), Conflict, "CPU Period cannot be updated as NanoCPUs has already been set"),
    ({"nano_cpus": 10**9}, HostConfig(cpu_quota=100000), Conflict, "CPU Quota cannot be updated as NanoCPUs has already been set"),
    ({"cpu_quota": 100000}, HostConfig(nano_cpus=10**9), Conflict, "Nano CPUs cannot be updated as CPU Quota has already been set"),
    ({"auto_remove": True}, HostConfig(restart_policy=RestartPolicy(name="always")), Conflict, "because AutoRemove is enabled"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "wanted", "kind", "text"), REFUSED)
async def test_update_refuses(
    rooms: Rooms, made: dict[str, Any], wanted: HostConfig, kind: type[Exception], text: str
) -> None:
    """What makes no sense, and what contradicts what is set; nothing changes."""
    await rooms.create("web", **made)
    before = rooms.record("web")
    with pytest.raises(kind, match=text):
        await update.update_container(rooms.services, "web", wanted)
    assert rooms.record("web") == before


@pytest.mark.parametrize(("number", "kind"), [(16, Conflict), (22, InvalidParameter)])
async def test_update_that_the_kernel_refuses(
    rooms: Rooms, number: int, kind: type[Exception]
) -> None:
    """The old limits are put back, the record stays."""
    record = await rooms.create("web", cpu_shares=512)
    await start.start_container(rooms.services, "web")
    monitor = rooms.monitors.last
    monitor.fail["update"] = RequestFailed("no: /sys/x", number)
    with pytest.raises(kind, match=f"Cannot update container {record.id}: no"):
        await update.update_container(rooms.services, "web", HostConfig(cpu_shares=4))
    shares = [call[1]["cpu"]["shares"] for call in monitor.calls if call[0] == "update"]
    assert shares == [4, 512]
    assert rooms.record("web").host_config.cpu_shares == 512


async def test_update_of_one_that_ends(rooms: Rooms) -> None:
    """Its process is no more and its end is not known yet: the limits are the next start's."""
    await rooms.create("web", cpu_shares=512)
    await start.start_container(rooms.services, "web")
    rooms.monitors.last.fail["update"] = RequestFailed("is not running", 3)
    assert await update.update_container(rooms.services, "web", HostConfig(cpu_shares=4)) == []
    assert rooms.record("web").host_config.cpu_shares == 4


async def test_update_of_nobody(rooms: Rooms) -> None:
    with pytest.raises(NotFound):
        await update.update_container(rooms.services, "nosuch", HostConfig())


async def test_prune(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not run goes, if the filters say so; what runs stays; one event tells of all."""

    async def sizes(services: Any, record: Any) -> Any:
        from sampan.engine.query import Sizes

        return Sizes(10, 20)

    monkeypatch.setattr(prune.query, "container_sizes", sizes)
    await rooms.create("up")
    await start.start_container(rooms.services, "up")
    for name, labels in (("aa", {"keep": "1"}), ("bb", {"x": "y"}), ("cc", {})):
        await rooms.create(name, labels=labels)
        rooms.clock.advance(3600)
    made = {name: rooms.record(name).id for name in ("aa", "bb", "cc")}

    async def pruned(**filters: list[str]) -> set[str]:
        found = await prune.prune_containers(rooms.services, filters)
        assert found.reclaimed == 10 * len(found.ids)
        return {name for name, identity in made.items() if identity in found.ids}

    assert await pruned(until=["3h"], label=["x"]) == set()
    assert await pruned(until=["150m"]) == {"aa"}
    assert await pruned(label=["x=y"]) == {"bb"}
    rooms.told()
    assert await pruned(**{"label!": ["keep"]}) == {"cc"}
    assert rooms.actions()[-1] == "container prune"
    assert await pruned() == set()
    assert rooms.record("up").state is State.RUNNING


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"foo": ["x"]}, "invalid filter 'foo'"),
        ({"until": ["zz"]}, 'failed to parse value as time or duration: "zz"'),
        ({"until": ["1h", "2h"]}, "more than one until filter specified"),
    ],
)
async def test_prune_refuses(rooms: Rooms, filters: dict[str, list[str]], text: str) -> None:
    await rooms.create("web")
    with pytest.raises(InvalidParameter, match=text):
        await prune.prune_containers(rooms.services, filters)
    assert rooms.record("web")


@pytest.mark.parametrize(
    ("text", "moment"),
    [("10m", NOW - 600 * 10**9), ("5", 5 * 10**9), ("2026-01-01", times.from_text("2026-01-01"))],
)
def test_moments(text: str, moment: int) -> None:
    """A duration before now, seconds, a date."""
    assert times.from_moment(text, now=NOW) == moment
