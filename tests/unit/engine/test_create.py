"""Create: what is made, what is refused with which words, and that a failed one leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sampan.engine import create
from sampan.engine.records import State, decode
from sampan.engine.steps import Step
from sampan.errors import Conflict, InvalidParameter, NotFound, SampanError
from sampan.spec.container import (
    ContainerConfig,
    DeviceRequest,
    LogConfig,
    Mount,
    PortBinding,
    RestartPolicy,
)
from tests.fakes.rooms import Rooms


async def test_a_container_is_made(rooms: Rooms) -> None:
    """Record, row, writable layer and folder are there, and the event is told."""
    record = await rooms.create("web", cmd=["echo", "hi"], env=["A=1"], labels={"l": "1"})
    assert (record.name, record.state, record.path, record.args) == (
        "web",
        State.CREATED,
        "echo",
        ("hi",),
    )
    assert record.config.hostname == record.id[:12]
    assert record.host_config.network_mode == "bridge"
    store = rooms.services.store
    row = store.metadata.containers.get(record.id)
    assert row is not None
    assert decode(row.body) == record
    assert store.snapshots.keys() == [record.id]
    assert os.path.isdir(rooms.services.paths.home(record.id))
    (event,) = rooms.told()
    assert (event.type, event.action, event.actor) == ("container", "create", record.id)
    assert event.attributes == {"image": "busybox", "name": "web", "l": "1"}


async def test_names_are_made_up(rooms: Rooms) -> None:
    """adjective_noun, different for each."""
    names = {(await rooms.create()).name for _ in range(20)}
    assert len(names) == 20
    assert all(name.count("_") == 1 and name.islower() for name in names)


REFUSED: list[tuple[dict[str, Any], type[SampanError], str]] = [
    ({"name": "-bad"}, InvalidParameter, "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    ({"name": "a"}, InvalidParameter, "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    ({"image": "nope:1"}, NotFound, "No such image: nope:1"),
    ({"image": ""}, InvalidParameter, "No command specified"),
    ({"working_dir": "rel"}, InvalidParameter, "the working directory 'rel' is invalid, it needs to be an absolute path"),
    ({"stop_signal": "FOO"}, InvalidParameter, "Invalid signal: FOO"),
    ({"env": ["=x"]}, InvalidParameter, "invalid environment variable: =x"),
    ({"cmd": ["a\0b"]}, InvalidParameter, "invalid argument: it contains a NUL byte"),
    ({"binds": ["a:b"]}, InvalidParameter, "invalid volume specification: 'a:b': invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute"),
    ({"binds": ["/a:/x", "/b:/x"]}, InvalidParameter, "Duplicate mount point: /x"),
    ({"mounts": [Mount(type="bind", source="/nope", target="/x")]}, InvalidParameter, 'invalid mount config for type "bind": bind source path does not exist: /nope'),
    ({"network_mode": "container:"}, InvalidParameter, "Invalid network mode: invalid container format container:<name|id>"),
    ({"network_mode": "container:x", "hostname": "h"}, InvalidParameter, "conflicting options: hostname and the network mode"),
    ({"pid_mode": "container:zzz"}, InvalidParameter, "No such container: zzz"),
    ({"pid_mode": "zzz"}, InvalidParameter, "invalid PID mode: zzz"),
    ({"uts_mode": "host", "hostname": "h"}, InvalidParameter, "conflicting options: hostname and the UTS mode"),
    ({"memory": 1000}, InvalidParameter, "Minimum memory limit allowed is 6MB"),
    ({"nano_cpus": 9 * 10**9}, InvalidParameter, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
    ({"cap_add": ["FOO"]}, InvalidParameter, 'invalid CapAdd: unknown capability: "CAP_FOO"'),
    ({"security_opt": ["foo"]}, InvalidParameter, 'invalid --security-opt 1: "foo"'),
    ({"runtime": "zzz"}, InvalidParameter, "unknown or invalid runtime name: zzz"),
    ({"log_config": LogConfig(type="zzz")}, InvalidParameter, 'error looking up logging plugin zzz: plugin "zzz" not found'),
    ({"log_config": LogConfig(type="json-file", config={"foo": "x"})}, InvalidParameter, "unknown log opt 'foo' for json-file log driver"),
    ({"log_config": LogConfig(config={"max-size": "x"})}, InvalidParameter, "invalid size: 'x'"),
    ({"log_config": LogConfig(config={"max-file": "2"})}, InvalidParameter, "max-file cannot be used without max-size"),
    ({"shm_size": -1}, InvalidParameter, "SHM size can not be less than 0"),
    ({"oom_score_adj": -2000}, InvalidParameter, "Invalid value -2000, range for oom score adj is [-1000, 1000]"),
    ({"extra_hosts": ["foo"]}, InvalidParameter, 'bad format for add-host: "foo"'),
    ({"volumes_from": ["zzz"]}, InvalidParameter, "No such container: zzz"),
    ({"restart_policy": RestartPolicy(name="always"), "auto_remove": True}, InvalidParameter, "can't create 'AutoRemove' container with restart policy"),
    ({"restart_policy": RestartPolicy(name="always", maximum_retry_count=3)}, InvalidParameter, "invalid restart policy: maximum retry count can only be used with 'on-failure'"),
    ({"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=-3)}, InvalidParameter, "invalid restart policy: maximum retry count cannot be negative"),
    ({"restart_policy": RestartPolicy(name="zzz")}, InvalidParameter, "invalid restart policy: unknown policy 'zzz'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"),
    ({"storage_opt": {"size": "1G"}}, InvalidParameter, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
    ({"device_requests": [DeviceRequest(driver="nvidia", capabilities=[["gpu"]])]}, InvalidParameter, 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
    ({"port_bindings": {"80/tcp": [PortBinding(host_port="99999")]}}, InvalidParameter, 'invalid port specification: "99999"'),
    ({"port_bindings": {"80/tcp": [PortBinding(host_ip="x")]}}, InvalidParameter, "invalid IP address: x"),
    ({"exposed_ports": {"99999/tcp": {}}}, InvalidParameter, 'invalid port specification: "99999/tcp"'),
]  # fmt: skip


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED)
async def test_what_is_refused(
    rooms: Rooms, options: dict[str, Any], kind: type[SampanError], text: str
) -> None:
    """Class (and so status) and words, and nothing is left."""
    before = rooms.leftovers()
    with pytest.raises(kind) as caught:
        await rooms.create(**options)
    assert str(caught.value) == text
    assert rooms.leftovers() == before
    assert rooms.told() == []


async def test_the_image_may_not_ask_for_nonsense(rooms: Rooms) -> None:
    """Image configuration is checked as the user's wishes are."""
    await rooms.add_image("odd:1", ContainerConfig(cmd=["x"], stop_signal="FOO"))
    with pytest.raises(InvalidParameter, match="Invalid signal: FOO"):
        await rooms.create(image="odd:1")


async def test_a_name_is_taken_once(rooms: Rooms) -> None:
    """The second gets 409, the words name the first."""
    first = await rooms.create("web")
    before = rooms.leftovers()
    with pytest.raises(Conflict) as caught:
        await rooms.create("/web")
    assert str(caught.value) == (
        f'Conflict. The container name "/web" is already in use by container "{first.id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert rooms.leftovers() == before


class Broken(Step[Any]):
    def describe(self) -> str:
        return "break"

    async def execute(self, context: Any) -> None:
        raise SampanError("broken on purpose")


class Half(Step[Any]):
    """Does the step, then fails."""

    def __init__(self, step: Step[Any]) -> None:
        self.step = step

    def describe(self) -> str:
        return self.step.describe()

    async def execute(self, context: Any) -> None:
        await self.step.execute(context)
        raise SampanError("broken on purpose")

    async def undo(self, context: Any) -> None:
        await self.step.undo(context)


@pytest.mark.parametrize("number", range(len(create.STEPS)))
@pytest.mark.parametrize("after", [False, True])
async def test_every_step_that_fails_leaves_nothing(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:
    """Step n fails before or after its work: rows, layers, folders, volumes, names are as before."""
    steps = list(create.STEPS)
    steps[number] = Half(steps[number]) if after else Broken()
    monkeypatch.setattr(create, "STEPS", tuple(steps))
    before = rooms.leftovers()
    with pytest.raises(SampanError, match="broken on purpose"):
        await rooms.create("web", volumes={"/data": {}}, binds=["named:/n"])
    assert rooms.leftovers() == before
    assert rooms.services.containers.all() == []


async def test_a_full_database_fails_the_request_and_changes_nothing(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row cannot be written: what was made for it goes again."""
    before = rooms.leftovers()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(rooms.services.store.metadata.containers), "put", full)
    with pytest.raises(OSError, match="No space left"):
        await rooms.create("web", volumes={"/data": {}})
    monkeypatch.undo()
    assert rooms.leftovers() == before


async def test_volumes(rooms: Rooms, tmp_path: Path) -> None:
    """Named ones are made once and shared, anonymous ones are the container's own, others' are inherited."""
    first = await rooms.create("one", binds=["named:/n:ro"], volumes={"/anon": {}})
    second = await rooms.create("two", binds=["named:/n"], volumes_from=["one"])
    named, anonymous = sorted(first.mounts, key=lambda point: point.destination, reverse=True)
    assert (named.name, named.read_write, named.anonymous) == ("named", False, False)
    assert (len(anonymous.name), anonymous.anonymous) == (64, True)
    assert os.path.isdir(anonymous.source)
    inherited = {point.destination: point for point in second.mounts}
    assert inherited["/n"].read_write
    assert inherited["/anon"].name == anonymous.name
    assert not inherited["/anon"].anonymous


async def test_settings_are_filled_in(rooms: Rooms) -> None:
    """What `docker inspect` shows of what was left open."""
    record = await rooms.create("web", memory=64 << 20)
    host = record.host_config
    assert host.memory_swap == 128 << 20
    assert host.shm_size == 64 << 20
    assert (host.ipc_mode, host.cgroupns_mode) == ("private", "private")
    assert host.log_config == LogConfig(type="json-file", config={})
    assert host.restart_policy == RestartPolicy(name="no")


async def test_platform(rooms: Rooms) -> None:
    """An image for another machine is not found."""
    with pytest.raises(NotFound, match="does not provide the specified platform"):
        await create.create_container(
            rooms.services,
            config=ContainerConfig(image="busybox"),
            host_config=(await rooms.create()).host_config,
            networking=(await rooms.create()).networking,
            platform="linux/s390x",
        )


async def test_the_name_in_a_shared_network(rooms: Rooms) -> None:
    """It is the one of the container whose network it is; one that is not there is the start's affair."""
    other = await rooms.create("other", hostname="box", domainname="lan")
    joined = await rooms.create("web", network_mode="container:other")
    assert (joined.config.hostname, joined.config.domainname) == ("box", "lan")
    assert other.config.hostname == "box"
    lost = await rooms.create("lost", network_mode="container:zzz")
    assert lost.config.hostname == ""
