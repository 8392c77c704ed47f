"""Lists and look-ups: references, filters, order; images by the containers that use them; info and df."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.engine import disk_usage, images, query, start, stop, system
from sampan.engine.actor import Actor
from sampan.engine.containers import Containers
from sampan.engine.records import ContainerRecord
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.spec.container import ContainerConfig
from tests.fakes.engine import record as a_record
from tests.fakes.rooms import Rooms

Filters = dict[str, list[str]]


def named(name: str, container_id: str) -> Actor:
    return Actor(a_record(name, id=container_id), lambda record: None)


def test_references() -> None:
    """Full id, name with or without the slash, unique prefix; a name wins over a prefix."""
    containers = Containers()
    one, two = "abc" + "0" * 61, "abd" + "0" * 61
    containers.add(named("web", one))
    containers.add(named("abc0", two))
    for ref, expected in ((one, one), ("web", one), ("/web", one), ("abc", one), ("abd", two)):
        assert containers.get(ref).id == expected
    assert containers.get("abc0").id == two
    with pytest.raises(InvalidParameter, match="multiple IDs found with provided prefix: ab"):
        containers.get("ab")
    for ref in ("", "zzz", "abx", "web/", "ABC", "../x"):
        with pytest.raises(NotFound) as caught:
            containers.get(ref)
        assert str(caught.value) == f"No such container: {ref}"


async def three(rooms: Rooms) -> dict[str, ContainerRecord]:
    """One created, one running, one exited with 3."""
    await rooms.add_image("other:1", ContainerConfig(cmd=["x"]))
    made: dict[str, dict[str, Any]] = {
        "created": {"labels": {"a": "1"}, "image": "other:1", "binds": ["vol:/v"]},
        "running": {"labels": {"a": "2", "b": ""}, "exposed_ports": {"80/tcp": {}}},
        "exited": {"network_mode": "none"},
    }
    for name, options in made.items():
        await rooms.create(name, **options)
        rooms.clock.advance(1)
    for name in ("running", "exited"):
        await start.start_container(rooms.services, name)
    rooms.monitors.last.exit(3)
    await rooms.settle()
    return {name: rooms.record(name) for name in made}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["running"]),
        ({"status": ["exited", "created"]}, ["exited", "created"]),
        ({"status": ["paused"]}, []),
        ({"exited": ["3"]}, []),
        ({"exited": ["0"]}, []),
        ({"status": ["running", "exited", "created"], "label": ["a"]}, ["running", "created"]),
        ({"status": ["running", "exited", "created"], "label": ["a=1"]}, ["created"]),
        ({"status": ["running", "exited", "created"], "name": ["ed"]}, ["exited", "created"]),
        ({"status": ["running", "exited", "created"], "name": ["^/ex"]}, ["exited"]),
        ({"status": ["running", "exited", "created"], "name": ["^running$"]}, ["running"]),
        ({"status": ["created"], "ancestor": ["other:1"]}, ["created"]),
        ({"status": ["created"], "ancestor": ["busybox"]}, []),
        ({"status": ["created"], "ancestor": ["nosuch"]}, []),
        ({"status": ["created", "exited"], "volume": ["vol"]}, ["created"]),
        ({"status": ["created", "exited"], "volume": ["/v"]}, ["created"]),
        ({"status": ["running", "exited"], "network": ["none"]}, ["exited"]),
        ({"network": ["bridge"]}, ["running"]),
        ({"expose": ["80"]}, ["running"]),
        ({"publish": ["80"]}, []),
        ({"health": ["none"]}, ["running"]),
        ({"health": ["healthy"]}, []),
        ({"before": ["running"]}, []),
        ({"since": ["running"]}, []),
        ({"is-task": ["true"]}, []),
    ],
)
async def test_list(rooms: Rooms, filters: Filters, expected: list[str]) -> None:
    """Newest first; `docker ps` shows what runs unless a state is asked for."""
    await three(rooms)
    found = query.list_containers(rooms.services, filters=filters)
    assert [record.name for record in found] == expected


async def test_list_all_and_last(rooms: Rooms) -> None:
    """`-a`, `-n`."""
    await three(rooms)
    listed = [r.name for r in query.list_containers(rooms.services, everything=True)]
    assert listed == ["exited", "running", "created"]
    assert [r.name for r in query.list_containers(rooms.services, limit=1)] == ["exited"]


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"foo": ["x"]}, "invalid filter 'foo'"),
        ({"status": ["x"]}, "invalid filter 'status=x'"),
        ({"exited": ["x"]}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"health": ["x"]}, "Unrecognised filter value for health: x"),
        ({"before": ["x"]}, "no such container x"),
    ],
)
async def test_list_refused(rooms: Rooms, filters: Filters, text: str) -> None:
    """400 and 404."""
    with pytest.raises((InvalidParameter, NotFound)) as caught:
        query.list_containers(rooms.services, filters=filters)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["busybox:latest", "labelled:1"]),
        ({"reference": ["busy*"]}, ["busybox:latest"]),
        ({"reference": ["*:1"]}, ["labelled:1"]),
        ({"label": ["k=v"]}, ["labelled:1"]),
        ({"label!": ["k"]}, ["busybox:latest"]),
        ({"dangling": ["true"]}, []),
        ({"dangling": ["false"], "reference": ["labelled"]}, ["labelled:1"]),
        ({"until": ["1h"]}, ["busybox:latest", "labelled:1"]),
        ({"until": ["2020-01-01"]}, []),
    ],
)
async def test_images(rooms: Rooms, filters: Filters, expected: list[str]) -> None:
    """docker's filters of images."""
    rooms.clock.advance(24 * 3600)
    await rooms.add_image("labelled:1", ContainerConfig(cmd=["x"], labels={"k": "v"}))
    found = images.list_images(rooms.services, filters=filters)
    assert sorted(tag for image in found for tag in image.repo_tags) == expected


async def test_rmi_of_what_is_used(rooms: Rooms) -> None:
    """409 while a container stands on it; afterwards it goes, and events say so."""
    await rooms.create("web")
    await start.start_container(rooms.services, "web")
    assert images.count_containers(rooms.services, rooms.record("web").image_id) == 1
    with pytest.raises(Conflict, match="is using its referenced image"):
        await images.delete_image(rooms.services, "busybox")
    await stop.stop_container(rooms.services, "web")
    rooms.told()
    done = await images.delete_image(rooms.services, "busybox", force=True)
    assert done.untagged == ("busybox:latest",)
    assert len(done.deleted) == 1
    assert rooms.actions() == ["image untag", "image delete"]


async def test_tag(rooms: Rooms) -> None:
    """A second name, and its event."""
    await images.tag_image(rooms.services, "busybox", repo="mine", tag="v2")
    assert images.inspect_image(rooms.services, "mine:v2").repo_tags == [
        "busybox:latest",
        "mine:v2",
    ]
    (event,) = rooms.told()
    assert (event.action, event.attributes["name"]) == ("tag", "mine:v2")


async def test_info(rooms: Rooms) -> None:
    """Numbers of containers by state, what the host can do, the same id every time."""
    await three(rooms)
    said = system.info(rooms.services)
    counted = ("Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images")
    assert [said[key] for key in counted] == [3, 1, 0, 2, 2]
    assert (said["MemoryLimit"], said["OomKillDisable"], said["CgroupVersion"]) == (
        True,
        False,
        "2",
    )
    assert said["SecurityOptions"] == ["name=seccomp,profile=builtin", "name=cgroupns"]
    assert said["ID"] == system.info(rooms.services)["ID"]
    assert system.version(rooms.services)["Arch"] == "amd64"


async def test_disk_usage(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image, container and volume once, with who uses what."""
    from sampan.store.snapshots import Snapshots, Usage
    from sampan.store.volumes import Volumes

    async def usage(self: Snapshots, key: str) -> Usage:
        return Usage(100, 1, 100)

    async def size(self: Volumes, name: str) -> int:
        return 7

    monkeypatch.setattr(Snapshots, "usage", usage)
    monkeypatch.setattr(Volumes, "size", size)
    monkeypatch.setattr(Snapshots, "measure", usage)
    await three(rooms)
    said = await disk_usage.disk_usage(rooms.services)
    assert {item["Id"]: item["Containers"] for item in said["Images"]} == {
        rooms.record("created").image_id: 1,
        rooms.record("running").image_id: 2,
    }
    assert said["ContainerUsage"]["TotalSize"] == 300
    assert said["ContainerUsage"]["Reclaimable"] == 200
    assert said["Volumes"][0]["UsageData"] == {"RefCount": 1, "Size": 7}
    assert said["LayersSize"] == said["ImageUsage"]["TotalSize"] > 0
    assert "Items" in said["ImageUsage"]
    sums = await disk_usage.disk_usage(rooms.services, ["image"], verbose=False)
    assert "Items" not in sums["ImageUsage"]
    assert "ContainerUsage" not in sums
    with pytest.raises(InvalidParameter):
        await disk_usage.disk_usage(rooms.services, ["nosuch"])
    sizes = await query.container_sizes(rooms.services, rooms.record("running"))
    assert (sizes.writable, sizes.root) == (100, 100)
