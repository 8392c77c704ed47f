"""The rooms below the engine: monitors and networks that record and fail on demand, under a real store.

`Rooms` is everything that the engine's verbs need, in a temporary folder, without root: the store is the real one,
the kernel opens folders instead of cloning mounts, the monitor is told by the test how its container behaves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sampan.distribution.distribution import Distribution
from sampan.engine.clock import Clock
from sampan.engine.config import DaemonConfig, Live
from sampan.engine.containers import Containers
from sampan.engine.create import create_container
from sampan.engine.events import Event, Events
from sampan.engine.exec import Execs
from sampan.engine.host import Host
from sampan.engine.network.create import default_record
from sampan.engine.network.registry import NetworkRegistry
from sampan.engine.paths import Paths
from sampan.engine.receipts import Receipts
from sampan.engine.records import ContainerRecord
from sampan.engine.registries import options_of
from sampan.engine.services import Services
from sampan.engine.times import to_text
from sampan.linux.cgroup import Hierarchies, Hierarchy
from sampan.linux.kernel import LinuxKernel
from sampan.monitor.client import MonitorLost
from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, WaitOptions
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig
from sampan.spec.image import ImageConfig
from sampan.spec.reference import parse
from sampan.store.images import Image
from sampan.store.store import Store, open_store
from tests.fakes.networks import FakeNetworks

BOOT = "0b7ba7c4-0000-4000-8000-000000000001"
NOW = 1_795_498_700_000_000_000

Message = dict[str, Any]


class FakeClock(Clock):
    """Stands still until somebody moves it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += int(seconds * 1e9)


class FolderKernel(LinuxKernel):
    """What of the kernel needs root becomes the folder itself."""

    def open_tree(self, dirfd: int, path: str | bytes, flags: int) -> int:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class FakeMonitor:
    """`fail` names the method that raises what is in it. `deadly`: signals that end the container."""

    def __init__(self, monitors: FakeMonitors, arguments: Arguments | None, pid: int) -> None:
        self.monitors = monitors
        self.arguments = arguments
        self.pid = pid
        self.calls: list[tuple[Any, ...]] = []
        self.fail: dict[str, Exception] = dict(monitors.fail)
        self.deadly = set(monitors.deadly)
        self.on_lost: Callable[[], None] = lambda: None
        self.told: Message | None = None
        self.phase = "running"
        self.closed = self.gone = self.aborted = False
        self.execs: dict[str, ExecOptions] = {}
        self._on_event: Callable[[Message], None] | None = None
        self._early: list[Message] = []

    @property
    def on_event(self) -> Callable[[Message], None]:
        assert self._on_event is not None
        return self._on_event

    @on_event.setter
    def on_event(self, callback: Callable[[Message], None]) -> None:
        self._on_event = callback
        while self._early:
            callback(self._early.pop(0))

    def _note(self, name: str, *arguments: Any) -> None:
        if self.gone:
            raise MonitorLost("the monitor is gone")
        self.calls.append((name, *arguments))
        if name in self.fail:
            raise self.fail[name]

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    async def created(self) -> Message:
        self._note("created")
        return {"pid": self.pid, "start_time": 1, "warnings": []}

    async def start(self) -> Message:
        self._note("start")
        now = self.monitors.clock.now()
        if self.monitors.on_start is not None:
            self.monitors.on_start(self)
        return {"started_at": to_text(now)}

    async def expect_exec(self) -> None:
        self._note("expect_exec")

    async def wait(self, options: WaitOptions, client_fd: int) -> None:
        self._note("wait", options)

    async def attach(self, options: AttachOptions, client_fd: int) -> None:
        self._note("attach", options)
        self.monitors.clients.append(os.dup(client_fd))

    async def exec(self, options: ExecOptions, client_fd: int | None) -> Message:
        self._note("exec", options)
        self.execs[options.exec_id] = options
        if client_fd is not None:
            self.monitors.clients.append(os.dup(client_fd))
        return {"pid": 99}

    async def kill(self, signal: int, *, exec_id: str = "", all: bool = False) -> None:
        if exec_id:
            self._note("kill exec", signal, exec_id, all)
            return
        self._note("kill", signal)
        if signal in self.deadly:
            self.exit(128 + signal)

    async def pause(self) -> None:
        self._note("pause")

    async def resume(self) -> None:
        self._note("resume")

    async def resize(self, rows: int, columns: int, *, exec_id: str = "") -> None:
        self._note("resize", rows, columns, exec_id)

    async def update(self, resources: Message) -> list[str]:
        self._note("update", resources)
        return ["a warning"]

    async def state(self) -> Message:
        self._note("state")
        state: Message = {
            "phase": self.phase,
            "pid": self.pid,
            "started_at": to_text(NOW),
            "execs": [{"exec_id": exec_id, "pid": 99} for exec_id in self.execs],
        }
        if self.told is not None:
            state["exit"] = self.told
        return state

    async def delete(self) -> None:
        self._note("delete")
        self.gone = True

    async def abort(self) -> None:
        self.aborted = self.gone = True

    def close(self) -> None:
        self.closed = True

    # -- what the test makes it do ------------------------------------------------------------

    def exit(self, code: int, **more: Any) -> None:
        """The container ends."""
        message = {
            "type": "exit",
            "exit_code": code,
            "oom_killed": False,
            "finished_at": to_text(self.monitors.clock.now()),
            **more,
        }
        self.told = message
        self.say(message)

    def say(self, message: Message) -> None:
        if self._on_event is None:
            self._early.append(message)
        else:
            self._on_event(message)

    def die(self) -> None:
        """The monitor itself is killed."""
        self.gone = True
        self.on_lost()


class FakeMonitors:
    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.made: list[FakeMonitor] = []
        self.fail: dict[str, Exception] = {}
        self.deadly = {9, 15}
        self.clients: list[int] = []
        self.on_start: Callable[[FakeMonitor], None] | None = None
        self.at: dict[str, FakeMonitor] = {}  # who listens, by socket

    async def launch(self, arguments: Arguments, fds: Sequence[int]) -> FakeMonitor:
        if "launch" in self.fail:
            raise self.fail["launch"]
        for fd in fds:
            os.fstat(fd)  # it must be open
        monitor = FakeMonitor(self, arguments, 4000 + len(self.made))
        self.made.append(monitor)
        return monitor

    async def connect(self, socket_path: str) -> FakeMonitor:
        if socket_path not in self.at:
            raise ConnectionRefusedError(111, "Connection refused", socket_path)
        return self.at[socket_path]

    @property
    def last(self) -> FakeMonitor:
        return self.made[-1]

    def close(self) -> None:
        while self.clients:
            os.close(self.clients.pop())


def fake_host(root: Path) -> Host:
    unified = Hierarchy(str(root / "cgroup"), frozenset(), "/")
    return Host(
        boot_id=BOOT,
        cpu_set="0-1",
        memory_nodes="0",
        memory=8 << 30,
        kernel="6.18.0",
        architecture="x86_64",
        operating_system="Test GNU/Linux",
        possible="0-1",
        capabilities=frozenset({"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}),
        hierarchies=Hierarchies("v2", (), unified),
        cgroup_features=frozenset(
            ("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota", "CPUShares", "CPUSet")
        ),
    )


class Rooms:
    def __init__(self, root: Path, store: Store, config: DaemonConfig) -> None:
        self.root = root
        self.clock = FakeClock()
        self.monitors = FakeMonitors(self.clock)
        self.networks = FakeNetworks()
        self.events = Events(self.clock.now)
        paths = Paths(str(root / "data"), str(root / "run"))
        paths.make_roots()
        self.services = Services(
            live=Live(config),
            paths=paths,
            host=fake_host(root),
            store=store,
            distribution=Distribution(store, options_of(config, {})),
            networks=self.networks,
            network_records=NetworkRegistry(store.metadata),
            monitors=self.monitors,
            containers=Containers(),
            execs=Execs(),
            events=self.events,
            kernel=FolderKernel(),
            spawn=no_spawn,
            receipts=Receipts(paths.receipts, store.trash.discard),
            clock=self.clock,
        )
        self.services.network_records.show(default_record(self.services))
        self.seen = self.events.subscribe()

    def restarted(self, store: Store) -> Rooms:
        """The daemon comes up again on the same folders; monitors and clock are those of before."""
        rooms = Rooms(self.root, store, self.services.config)
        rooms.clock.time = self.clock.time
        rooms.monitors.at = self.monitors.at
        return rooms

    async def add_image(
        self, name: str = "busybox:latest", config: ContainerConfig | None = None
    ) -> Image:
        """An image without layers: its file system is empty."""
        document = ImageConfig(
            architecture="amd64",
            os="linux",
            created="2026-11-24T05:24:14Z",
            config=config or ContainerConfig(cmd=["sh"]),
        )
        store = self.services.store
        with store.leases.open() as lease:
            blob = await store.content.put(msgspec.json.encode(document), lease)
            raw = store.content.read(blob.digest)
            image = store.images.add(raw, blob.digest, manifest=None, blobs={blob.digest})
        store.images.tag(image.id, parse(name))
        return image

    async def create(self, name: str = "", **options: Any) -> ContainerRecord:
        """`options` are fields of ContainerConfig and HostConfig, mixed."""
        known = {field.name for field in msgspec.structs.fields(ContainerConfig)}
        config = {key: value for key, value in options.items() if key in known}
        host = {key: value for key, value in options.items() if key not in known}
        config.setdefault("image", "busybox")
        created = await create_container(
            self.services,
            name=name,
            config=ContainerConfig(**config),
            host_config=HostConfig(**host),
            networking=NetworkingConfig(),
        )
        return self.services.containers.get(created.container_id)

    def record(self, container_id: str) -> ContainerRecord:
        return self.services.containers.get(container_id)

    async def settle(self) -> None:
        """Until no actor has anything to do."""
        for actor in self.services.containers.actors():
            await actor.idle()

    def told(self) -> list[Event]:
        """Events since the last call."""
        queue = self.seen._queue
        found = list(queue)
        queue.clear()
        return found

    def actions(self) -> list[str]:
        return [f"{event.type} {event.action}" for event in self.told()]

    def leftovers(self) -> dict[str, Any]:
        """What is on the host and in the database: compared before and after what must leave nothing."""
        store = self.services.store
        paths = self.services.paths
        return {
            "rows": [row.id for row in store.metadata.containers.all()],
            "snapshots": store.snapshots.keys(),
            "folders": sorted(os.listdir(paths.containers)),
            "run": sorted(os.listdir(paths.running)),
            "volumes": [volume.name for volume in store.volumes.list()],
            "plugged": sorted(self.networks.bridge_of_all.plugged),
            "ports": sorted(self.networks.held),
            "networks": [row.name for row in store.metadata.networks.all()],
            "descriptors": len(os.listdir("/proc/self/fd")),
            "names": sorted(self.services.containers._names),
        }


async def no_spawn(role: str, args: dict[str, Any], fds: Sequence[int]) -> Any:
    raise AssertionError(f"nothing here needs the role {role!r}")


def open_test_store(root: Path, spawn: Any = no_spawn) -> Store:
    return open_store(str(root / "data"), spawn)
