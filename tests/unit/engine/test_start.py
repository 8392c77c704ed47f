"""Start: what the monitor is given, the order of events, and that a failed start leaves the container as it was."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.engine import attach, launch, lifecycle, start
from sampan.engine.config import Live, Runtime
from sampan.engine.records import State, decode
from sampan.engine.remap import Remap
from sampan.engine.steps import Step
from sampan.engine.streams import ClientStream
from sampan.errors import Conflict, InvalidParameter, NotFound, NotModified, SampanError
from sampan.runtime.failure import RuntimeFailure
from tests.fakes.rooms import BOOT, FakeMonitor, Rooms

NOT_FOUND = RuntimeFailure(
    'exec: "foo": executable file not found in $PATH', step="exec", exit_code=127
)


async def test_it_runs(rooms: Rooms) -> None:
    """Record and row, what the monitor was told, config.json, the files of /etc, and dockerd's events."""
    record = await rooms.create("web", tty=True, hostname="h1", volumes={"/v": {}})
    rooms.told()
    await start.start_container(rooms.services, "web")
    running = rooms.record(record.id)
    assert (running.state, running.pid, running.boot_id) == (State.RUNNING, 4000, BOOT)
    assert running.started_at == rooms.clock.now()
    endpoint = running.endpoints["bridge"]
    assert (endpoint.address, endpoint.prefix) == ("10.9.0.2", 24)
    row = rooms.services.store.metadata.containers.get(record.id)
    assert row is not None
    written = decode(row.body)
    assert written.state is State.RUNNING
    assert written.endpoints == running.endpoints
    monitor = rooms.monitors.last
    assert monitor.names() == ["created", "start"]
    arguments = monitor.arguments
    assert arguments is not None
    assert (arguments.id, arguments.terminal, arguments.namespaces) == (
        record.id,
        True,
        ("network",),
    )
    assert arguments.seccomp
    config = json.loads(Path(arguments.directory, "config.json").read_text())
    assert config["process"]["args"] == ["sh"]
    assert config["hostname"] == "h1"
    assert config["linux"]["cgroupsPath"] == f"/sampan/{record.id}"
    hosts = Path(running.hosts_path).read_text()
    assert hosts.endswith("10.9.0.2\th1\n")
    assert Path(running.hostname_path).read_text() == "h1\n"
    assert rooms.actions() == ["network connect", "volume mount", "container start"]


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        (State.RUNNING, NotModified, ""),
        (State.PAUSED, Conflict, "cannot start a paused container, try unpause instead"),
        (State.DEAD, Conflict, "container is marked for removal and cannot be started"),
    ],
)
async def test_what_cannot_be_started(
    rooms: Rooms, state: State, kind: type[SampanError], text: str
) -> None:
    """304 and 409, in dockerd's words."""
    record = await rooms.create("web")
    actor = rooms.services.containers.actor("web")
    actor.record = msgspec.structs.replace(record, state=state)
    with pytest.raises(kind) as caught:
        await start.start_container(rooms.services, "web")
    assert str(caught.value) == text
    assert rooms.monitors.made == []


async def test_unknown(rooms: Rooms) -> None:
    """404."""
    with pytest.raises(NotFound, match="No such container: zzz"):
        await start.start_container(rooms.services, "zzz")


@pytest.mark.parametrize("when", ["created", "start"])
async def test_a_command_that_is_not_there(rooms: Rooms, when: str) -> None:
    """`created` again with exit code and reason; the words let the docker client end with 127."""
    record = await rooms.create("web")
    before = rooms.leftovers()
    rooms.told()
    rooms.monitors.fail = {when: NOT_FOUND}
    with pytest.raises(InvalidParameter) as caught:
        await start.start_container(rooms.services, "web")
    text = (
        "failed to create task for container: failed to create shim task: OCI runtime create failed: "
        "runc create failed: unable to start container process: "
        'exec: "foo": executable file not found in $PATH: unknown'
    )
    assert str(caught.value) == text
    after = rooms.record(record.id)
    assert (after.state, after.exit_code, after.error) == (State.CREATED, 127, text)
    assert after.endpoints["bridge"].address == ""
    assert rooms.monitors.last.aborted
    assert rooms.leftovers() == before
    assert rooms.actions()[:1] == ["network connect"]
    rooms.monitors.fail = {}
    await start.start_container(rooms.services, "web")
    assert rooms.record(record.id).error == ""


class Broken(Step[Any]):
    """Fails before or after the work of a step."""

    def __init__(self, step: Step[Any], *, after: bool) -> None:
        self.step, self.after = step, after

    def describe(self) -> str:
        return self.step.describe()

    async def execute(self, context: Any) -> None:
        if self.after:
            await self.step.execute(context)
        raise SampanError("broken on purpose")

    async def undo(self, context: Any) -> None:
        await self.step.undo(context)


@pytest.mark.parametrize("number", range(len(launch.STEPS)))
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("started_before", [False, True])
async def test_every_step_that_fails_leaves_nothing(
    rooms: Rooms,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    after: bool,
    started_before: bool,
) -> None:
    """Step n fails: no run folder, address, descriptor or monitor stays, and the row says what it said."""
    record = await rooms.create("web")
    if started_before:
        await start.start_container(rooms.services, "web")
        rooms.monitors.last.exit(0)
        await rooms.settle()
    before = rooms.leftovers()
    steps = list(launch.STEPS)
    steps[number] = Broken(steps[number], after=after)
    monkeypatch.setattr(lifecycle, "STEPS", tuple(steps))
    with pytest.raises(SampanError, match="broken on purpose"):
        await start.start_container(rooms.services, "web")
    assert rooms.leftovers() == before
    expected = State.EXITED if started_before else State.CREATED
    found = rooms.record(record.id)
    assert (found.state, found.exit_code, found.error) == (expected, 128, "broken on purpose")
    row = rooms.services.store.metadata.containers.get(record.id)
    assert row is not None
    assert decode(row.body) == found
    fork = next(at for at, step in enumerate(launch.STEPS) if isinstance(step, launch.Fork))
    if number > fork or (number == fork and after):
        assert rooms.monitors.last.aborted
    monkeypatch.undo()
    await start.start_container(rooms.services, "web")


async def test_a_failed_undo_is_a_note_of_the_first_error(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client learns the reason, not that cleaning up failed too."""
    await rooms.create("web")

    async def broken(self: Any, context: Any) -> None:
        raise OSError("cannot undo")

    monkeypatch.setattr(launch.TakeNamespaces, "undo", broken)
    rooms.monitors.fail = {"created": NOT_FOUND}
    with pytest.raises(InvalidParameter) as caught:
        await start.start_container(rooms.services, "web")
    cause = caught.value.__cause__
    assert cause is not None
    assert cause.__notes__ == ["and undoing 'take namespaces' failed: cannot undo"]
    assert not os.listdir(rooms.services.paths.running)


async def test_auto_remove_after_a_failed_start(rooms: Rooms) -> None:
    """`--rm`: the container goes, who waits for the removal learns the exit code."""
    from sampan.engine.wait import wait_container

    before = rooms.leftovers()
    record = await rooms.create("web", auto_remove=True)
    waiter = wait_container(rooms.services, "web", condition="removed")
    rooms.monitors.fail = {"created": NOT_FOUND}
    with pytest.raises(InvalidParameter):
        await start.start_container(rooms.services, "web")
    assert (await waiter.result()).exit_code == 127
    with pytest.raises(NotFound):
        rooms.record(record.id)
    assert rooms.leftovers() == before


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("nosuch", "network nosuch not found"),
        ("container:zzz", "No such container: zzz"),
    ],
)
async def test_networks_that_are_not_there(rooms: Rooms, mode: str, text: str) -> None:
    """Found at the start, as in dockerd: a 404 of create would make the client pull."""
    await rooms.create("web", network_mode=mode)
    with pytest.raises(NotFound) as caught:
        await start.start_container(rooms.services, "web")
    assert str(caught.value) == text


async def test_the_network_of_a_container_that_does_not_run(rooms: Rooms) -> None:
    """409."""
    other = await rooms.create("other")
    await rooms.create("web", network_mode="container:other")
    with pytest.raises(
        Conflict, match=f"cannot join network of a non running container: {other.id}"
    ):
        await start.start_container(rooms.services, "web")


@pytest.mark.parametrize(
    ("mode", "namespaces"), [("none", ("network",)), ("host", ()), ("bridge", ("network",))]
)
async def test_network_modes(rooms: Rooms, mode: str, namespaces: tuple[str, ...]) -> None:
    """Which namespaces the monitor gets; addresses only on the bridge."""
    record = await rooms.create("web", network_mode=mode)
    await start.start_container(rooms.services, "web")
    arguments = rooms.monitors.last.arguments
    assert arguments is not None
    assert arguments.namespaces == namespaces
    assert (record.id in rooms.networks.bridge_of_all.plugged) == (mode == "bridge")


async def test_binds(rooms: Rooms, tmp_path: Path) -> None:
    """`-v` makes a missing folder of the host."""
    missing = tmp_path / "a" / "b"
    await rooms.create("web", binds=[f"{missing}:/data:ro"])
    await start.start_container(rooms.services, "web")
    assert missing.is_dir()
    config = json.loads(
        (Path(rooms.services.paths.run(rooms.record("web").id)) / "config.json").read_text()
    )
    (mount,) = [m for m in config["mounts"] if m["destination"] == "/data"]
    assert mount["source"] == str(missing)
    assert "ro" in mount["options"]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"privileged": True}, "privileged mode is incompatible with user namespaces"),
        ({"network_mode": "host"}, "cannot share the host's network namespace when"),
        ({"pid_mode": "host"}, "cannot share the host PID namespace when user namespaces are"),
    ],
)
async def test_created_before_the_daemon_had_userns_remap(
    rooms: Rooms, wishes: dict[str, Any], words: str
) -> None:
    """What needs the host's root is refused at the start too; nothing is left of it."""
    await rooms.create("web", **wishes)
    before = rooms.leftovers()
    ids = ((0, 100000, 65536),)
    rooms.services = replace(rooms.services, remap=Remap(ids, ids))
    with pytest.raises(InvalidParameter, match=words):
        await start.start_container(rooms.services, "web")
    assert rooms.leftovers() == before
    assert rooms.monitors.made == []
    rooms.services = replace(rooms.services, remap=None)
    await start.start_container(rooms.services, "web")


async def test_foreign_runtime_before_the_daemon_had_userns_remap(rooms: Rooms) -> None:
    """Another runtime gets no user namespace of ours."""
    runtimes = {"other": Runtime(path="/bin/false")}
    config = msgspec.structs.replace(rooms.services.config, runtimes=runtimes)
    rooms.services = replace(rooms.services, live=Live(config))
    await rooms.create("web", runtime="other")
    ids = ((0, 100000, 65536),)
    rooms.services = replace(rooms.services, remap=Remap(ids, ids))
    with pytest.raises(InvalidParameter, match="runtime other cannot be used when user namespaces"):
        await start.start_container(rooms.services, "web")


async def test_user_and_devices(rooms: Rooms) -> None:
    """The image decides who a user is; what is not there is refused in Docker's words."""
    await rooms.create("u1", user="nosuch")
    with pytest.raises(InvalidParameter, match="unable to find user nosuch: no matching entries"):
        await start.start_container(rooms.services, "u1")
    record = await rooms.create("u2", user="bob")
    upper = Path(rooms.services.store.snapshots.upper_path(record.id)) / "etc"
    upper.mkdir()
    (upper / "passwd").write_text("bob:x:1000:1001::/home/bob:/bin/sh\n")
    await start.start_container(rooms.services, "u2")
    config = json.loads((Path(rooms.services.paths.run(record.id)) / "config.json").read_text())
    assert config["process"]["user"]["uid"] == 1000
    assert "HOME=/home/bob" in config["process"]["env"]


async def test_a_fifo_as_passwd_hangs_nobody(rooms: Rooms) -> None:
    """It is not a regular file, so it says nothing; dockerd hung here."""
    record = await rooms.create("web", user="bob")
    upper = Path(rooms.services.store.snapshots.upper_path(record.id)) / "etc"
    upper.mkdir()
    os.mkfifo(upper / "passwd")
    async with asyncio.timeout(5):
        with pytest.raises(InvalidParameter, match="unable to find user bob"):
            await start.start_container(rooms.services, "web")


async def test_an_exit_before_the_answer_is_not_lost(rooms: Rooms) -> None:
    """The container ends while `start` is being answered."""
    record = await rooms.create("web")

    def end(monitor: FakeMonitor) -> None:
        monitor.exit(7)

    rooms.monitors.on_start = end
    await start.start_container(rooms.services, "web")
    await rooms.settle()
    assert (rooms.record(record.id).state, rooms.record(record.id).exit_code) == (State.EXITED, 7)
    actions = rooms.actions()
    assert actions.index("container start") < actions.index("container die")


async def test_clients_that_attached_before_the_start(rooms: Rooms) -> None:
    """They are held, handed over before `start`, and let go when the start fails."""
    await rooms.create("web")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        options = attach.AttachOptions(stdout=True, stderr=True, stream=True)
        attachment = attach.attach_container(rooms.services, "web", options)
        assert attachment.multiplexed
        await attachment.connect(ClientStream(os.dup(theirs.fileno()), b"early"))
        assert rooms.monitors.made == []
        await start.start_container(rooms.services, "web")
        monitor = rooms.monitors.last
        assert monitor.names() == ["created", "attach", "start"]
        given = monitor.calls[1][1]
        assert (given.stdin, given.stdout, given.prefetched) == (False, True, b"early")
        assert given.multiplexed


async def test_clients_are_let_go_when_the_start_fails(rooms: Rooms) -> None:
    """EOF, and no descriptor stays."""
    await rooms.create("web")
    ours, theirs = socket.socketpair()
    with ours:
        options = attach.AttachOptions(stdout=True, stream=True)
        client = ClientStream(theirs.detach())
        await attach.attach_container(rooms.services, "web", options).connect(client)
        rooms.monitors.fail = {"created": NOT_FOUND}
        with pytest.raises(InvalidParameter):
            await start.start_container(rooms.services, "web")
        assert ours.recv(1) == b""


async def test_two_starts_at_once(rooms: Rooms) -> None:
    """One starts it, the other finds it running."""
    await rooms.create("web")
    results = await asyncio.gather(
        *(start.start_container(rooms.services, "web") for _ in range(2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), NotModified]
    assert len(rooms.monitors.made) == 1
