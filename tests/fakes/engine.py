"""An engine without containers: records in memory, streams that echo, every verb as `sampan.engine` has it.

`FakeEngine().install(monkeypatch)` puts its verbs in the place of the engine's; `services` is what the API gets.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sampan.engine import (
    attach,
    commit,
    create,
    disk_usage,
    exec,
    export,
    fsck,
    image_prune,
    images,
    kill,
    logs,
    pause,
    query,
    remove,
    rename,
    resize,
    restart,
    start,
    stop,
    system,
    wait,
)
from sampan.engine.attach import AttachOptions
from sampan.engine.config import DaemonConfig
from sampan.engine.create import Created
from sampan.engine.events import Events
from sampan.engine.exec import ExecRequest
from sampan.engine.images import Deleted
from sampan.engine.logs import LogOptions, LogStream
from sampan.engine.network.create import default_record
from sampan.engine.query import Sizes
from sampan.engine.records import ContainerRecord, Endpoint, ExecRecord, State
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.engine.wait import WaitResult
from sampan.errors import Conflict, InvalidParameter, NotFound, NotModified
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig
from sampan.spec.digest import Digest
from sampan.spec.image import ImageConfig, RootFS
from sampan.spec.mount import Mount
from sampan.spec.platform import Platform
from sampan.store.fsck import Problem, Report
from sampan.store.images import HistoryEntry, Image
from sampan.store.volumes import Volume
from tests.fakes.distribution import FakeDistribution
from tests.fakes.networks import FakeBridge, FakeNetworks, fake_registry

NOW = 1_795_498_700_000_000_000


def identifier(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


IMAGE = Image(
    id=Digest("sha256:" + identifier("busybox")),
    config=ImageConfig(
        architecture="amd64",
        os="linux",
        created="2026-11-24T05:24:14.559169333Z",
        config=ContainerConfig(cmd=["sh"]),
        rootfs=RootFS(diff_ids=["sha256:" + identifier("layer")]),
    ),
    raw_config=b"{}",
    manifest=None,
    names=("docker.io/library/busybox:latest",),
    chain=(Digest("sha256:" + identifier("layer")),),
    size=1984350,
    created="2026-11-24T05:24:14.559169333Z",
    tagged="2026-11-24T05:34:11Z",
)


def record(name: str, **changes: Any) -> ContainerRecord:
    values: dict[str, Any] = {
        "id": identifier(name),
        "name": name,
        "created": NOW - 10_000_000_000,
        "path": "sh",
        "config": ContainerConfig(image="busybox", cmd=["sh"], hostname=identifier(name)[:12]),
        "host_config": HostConfig(network_mode="bridge"),
        "networking": NetworkingConfig(),
        "image_id": IMAGE.id,
        "image_name": "busybox",
        "endpoints": {"bridge": Endpoint()},
    }
    return ContainerRecord(**{**values, **changes})


def running(name: str, **changes: Any) -> ContainerRecord:
    endpoint = Endpoint(
        network_id=identifier("bridge"),
        endpoint_id=identifier(f"endpoint of {name}"),
        address="172.30.99.2",
        prefix=24,
        gateway="172.30.99.1",
        mac="02:42:ac:1e:63:02",
    )
    values: dict[str, Any] = {
        "state": State.RUNNING,
        "pid": 4711,
        "started_at": NOW - 3_000_000_000,
        "endpoints": {"bridge": endpoint},
    }
    return record(name, **{**values, **changes})


class FakeWaiter:
    def __init__(self, engine: FakeEngine, container_id: str) -> None:
        self._engine = engine
        self.container_id = container_id
        self.exit: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        engine.waiters.append(self)

    async def outlive_daemon(self, client: ClientStream, *, chunked: bool) -> None:
        assert chunked
        client.close()

    async def result(self) -> WaitResult:
        return await self.exit

    def close(self) -> None:
        self._engine.waiters.remove(self)


class Echo:
    """Sends back what it gets, framed or raw, and a last word after the client's end of input."""

    def __init__(self, engine: FakeEngine, *, multiplexed: bool) -> None:
        self._engine = engine
        self.multiplexed = multiplexed

    async def connect(self, client: ClientStream) -> None:
        self._engine.spawn(self._serve(client))

    async def _serve(self, client: ClientStream) -> None:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=client.take()))
        try:
            await self._send(writer, client.prefetched)
            while data := await reader.read(1 << 16):
                await self._send(writer, data)
            await self._send(writer, b"<end>")
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._engine.streams_ended += 1

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if data and self.multiplexed:
            data = b"\x01\0\0\0" + len(data).to_bytes(4, "big") + data
        writer.write(data)
        await writer.drain()


BRIDGE = FakeBridge(identifier("bridge"), "sampan0", "172.30.99.0/24")


class FakeVolumes:
    """`store.volumes` without folders."""

    def __init__(self) -> None:
        self.volumes: dict[str, Volume] = {}

    def mountpoint(self, name: str) -> str:
        return f"/volumes/{name}/_data"

    def find(self, name: str) -> Volume | None:
        return self.volumes.get(name)

    def get(self, name: str) -> Volume:
        if name not in self.volumes:
            raise NotFound(f"get {name}: no such volume")
        return self.volumes[name]

    def list(self) -> list[Volume]:
        return list(self.volumes.values())

    def create(self, name: str, *, driver: str, labels: Any, options: Any) -> Volume:
        volume = Volume(
            name=name or "f" * 64,
            created_at="2026-11-24T05:37:03Z",
            labels=labels,
            options=options,
            anonymous=not name,
        )
        return self.volumes.setdefault(volume.name, volume)

    async def size(self, name: str) -> int:
        return 4096

    async def remove(self, name: str) -> None:
        self.get(name)
        del self.volumes[name]


class FakeEngine:
    def __init__(self) -> None:
        self.records: dict[str, ContainerRecord] = {}
        self.execs: dict[str, ExecRecord] = {}
        self.images = {"busybox": IMAGE, "busybox:latest": IMAGE, IMAGE.id: IMAGE}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.waiters: list[FakeWaiter] = []
        self.log: list[tuple[int, bytes]] = []
        self.log_closed = 0
        self.follow = asyncio.Event()
        self.streams_ended = 0
        self.fail_next: Exception | None = None
        self.uploaded = b""
        self.events = Events(lambda: NOW)
        self._tasks: set[asyncio.Task[None]] = set()
        self.services = cast(
            Services,
            SimpleNamespace(
                containers=self,
                events=self.events,
                clock=SimpleNamespace(now=lambda: NOW),
                host=SimpleNamespace(unified_cgroups=False),
                config=DaemonConfig(),
                execs=SimpleNamespace(of=self.execs_of),
                networks=FakeNetworks(BRIDGE),
                network_records=fake_registry(),
                distribution=FakeDistribution(),
                store=SimpleNamespace(
                    snapshots=SimpleNamespace(mounts=_mounts, read_only_mounts=_layers),
                    images=SimpleNamespace(history=_history),
                    volumes=FakeVolumes(),
                ),
            ),
        )

        self.services.network_records.show(default_record(self.services))

    def __len__(self) -> int:
        return len(self.records)

    def is_gone(self, container_id: str) -> bool:
        return container_id not in self.records

    def spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add(self, *records: ContainerRecord) -> None:
        self.records |= {item.id: item for item in records}

    # The registry

    def get(self, ref: str) -> ContainerRecord:
        for item in self.records.values():
            if ref.lstrip("/") in (item.id, item.name) or item.id.startswith(ref):
                return item
        raise NotFound(f"No such container: {ref}")

    def all(self) -> list[ContainerRecord]:
        return list(self.records.values())

    # The verbs

    def _note(self, verb: str, **arguments: Any) -> None:
        self.calls.append((verb, arguments))
        if self.fail_next is not None:
            error, self.fail_next = self.fail_next, None
            raise error

    def inspect_container(self, services: Services, ref: str) -> ContainerRecord:
        self._note("inspect", ref=ref)
        return self.get(ref)

    def list_containers(self, services: Services, **options: Any) -> list[ContainerRecord]:
        self._note("list", **options)
        return [item for item in self.all() if options["everything"] or item.state.alive]

    async def container_sizes(self, services: Services, item: ContainerRecord) -> Sizes:
        return Sizes(writable=12, root=1984362)

    async def create_container(self, services: Services, **options: Any) -> Created:
        self._note("create", **options)
        item = record(
            options["name"] or "made_up",
            config=options["config"],
            host_config=options["host_config"],
        )
        if item.id in self.records:
            raise Conflict(f'Conflict. The container name "/{item.name}" is already in use')
        self.add(item)
        return Created(item.id, ["a warning"])

    def verb(self, name: str) -> Callable[..., Any]:
        async def act(services: Services, ref: str, **options: Any) -> None:
            item = self.get(ref)
            self._note(name, ref=ref, **options)
            if name == "start":
                if item.state.alive:
                    raise NotModified("already started")
                self.add(running(item.name, config=item.config, host_config=item.host_config))
            if name == "remove":
                del self.records[item.id]
            if name in ("kill", "remove"):
                self.exit(item.id, 137)

        return act

    def exit(self, container_id: str, code: int, error: str = "") -> None:
        for waiter in self.waiters:
            if waiter.container_id == container_id and not waiter.exit.done():
                waiter.exit.set_result(WaitResult(code, error))

    def wait_container(self, services: Services, ref: str, *, condition: str) -> FakeWaiter:
        item = self.get(ref)
        self._note("wait", ref=ref, condition=condition)
        return FakeWaiter(self, item.id)

    async def read_logs(self, services: Services, ref: str, options: LogOptions) -> LogStream:
        item = self.get(ref)
        self._note("logs", ref=ref, options=options)
        return LogStream(not item.tty, self._chunks(options))

    async def _chunks(self, options: LogOptions) -> AsyncIterator[tuple[int, bytes]]:
        try:
            for chunk in self.log:
                yield chunk
            if options.follow:
                await self.follow.wait()
                yield 1, b"followed\n"
        finally:
            self.log_closed += 1

    def attach_container(self, services: Services, ref: str, options: AttachOptions) -> Echo:
        item = self.get(ref)
        self._note("attach", ref=ref, options=options)
        return Echo(self, multiplexed=not item.tty)

    async def create_exec(self, services: Services, ref: str, request: ExecRequest) -> str:
        item = self.get(ref)
        self._note("create_exec", ref=ref, request=request)
        exec_id = identifier(f"exec {len(self.execs)}")
        self.execs[exec_id] = ExecRecord(
            id=exec_id,
            container_id=item.id,
            arguments=request.command,
            tty=request.tty,
            user=request.user,
            attach_stdin=request.attach_stdin,
            attach_stdout=request.attach_stdout,
            attach_stderr=request.attach_stderr,
            exit_code=3,
        )
        return exec_id

    def execs_of(self, container_id: str) -> list[ExecRecord]:
        return [item for item in self.execs.values() if item.container_id == container_id]

    def inspect_exec(self, services: Services, exec_id: str) -> ExecRecord:
        if exec_id not in self.execs:
            raise NotFound(f"No such exec instance: {exec_id}")
        return self.execs[exec_id]

    def prepare_exec(self, services: Services, exec_id: str, **options: Any) -> Echo:
        item = self.inspect_exec(services, exec_id)
        self._note("prepare_exec", **options)
        return Echo(self, multiplexed=not item.tty)

    async def start_exec(self, services: Services, exec_id: str, **options: Any) -> None:
        self.inspect_exec(services, exec_id)
        self._note("start_exec", **options)

    async def resize_exec(self, services: Services, exec_id: str, **options: Any) -> None:
        self.inspect_exec(services, exec_id)
        self._note("resize_exec", **options)

    def list_images(self, services: Services, **options: Any) -> list[Image]:
        self._note("list_images", **options)
        return list({image.id: image for image in self.images.values()}.values())

    def inspect_image(self, services: Services, ref: str) -> Image:
        if ref not in self.images:
            raise NotFound(f"No such image: {ref}")
        return self.images[ref]

    def count_containers(self, services: Services, image_id: str) -> int:
        return 2

    async def import_image(
        self, services: Services, chunks: AsyncIterator[bytes], **options: Any
    ) -> Image:
        self._note("import", **options)
        self.uploaded = b"".join([chunk async for chunk in chunks])
        if self.uploaded.startswith(b"bad"):
            raise InvalidParameter("archive/tar: invalid tar header")
        return IMAGE

    async def load_images(
        self,
        services: Services,
        chunks: AsyncIterator[bytes],
        *,
        quiet: bool,
        platforms: list[Platform],
        progress: Callable[[dict[str, Any]], Any],
    ) -> None:
        self._note("load", quiet=quiet)
        async for chunk in chunks:
            self.uploaded += chunk
            progress({"status": "Loading layer"})
        if self.uploaded.startswith(b"bad"):
            raise InvalidParameter("unexpected EOF")
        progress({"stream": "Loaded image: busybox:latest\n"})

    async def tag_image(self, services: Services, ref: str, **options: Any) -> None:
        self.inspect_image(services, ref)
        self._note("tag", ref=ref, **options)

    async def delete_image(self, services: Services, ref: str, **options: Any) -> Deleted:
        self.inspect_image(services, ref)
        self._note("delete_image", ref=ref, **options)
        return Deleted(({"Untagged": "busybox:latest"}, {"Deleted": IMAGE.id}))

    def info(self, services: Services) -> dict[str, Any]:
        return {"ID": "fake", "Containers": len(self.records), "CgroupVersion": "1", "NRI": {}}

    def version(self, services: Services) -> dict[str, Any]:
        engine = {"Name": "Engine", "Version": "9.9", "Details": {"Os": "linux"}}
        return {
            "Platform": {"Name": "sampan"},
            "Version": "9.9",
            "Os": "linux",
            "Arch": "amd64",
            "Components": [engine],
        }

    async def disk_usage(
        self, services: Services, kinds: list[str], *, verbose: bool
    ) -> dict[str, Any]:
        self._note("disk_usage", kinds=kinds, verbose=verbose)
        container = {"Id": next(iter(self.records), ""), "State": "x", "SizeRw": 7}
        return {
            "LayersSize": 1,
            "Containers": [container],
            "ImageUsage": {"TotalCount": 1},
        }

    async def commit_container(self, services: Services, ref: str, **options: Any) -> str:
        self._note("commit", ref=ref, **options)
        return IMAGE.id

    async def export_container(self, services: Services, ref: str) -> AsyncIterator[bytes]:
        self._note("export", ref=ref)
        if ref == "gone":
            raise NotFound(f"No such container: {ref}")
        yield b"tar"
        if ref == "broken":
            raise OSError(5, "broken")

    def save_images(
        self, services: Services, names: list[str], **options: Any
    ) -> AsyncIterator[bytes]:
        self._note("save", names=names, **options)
        return self.export_container(services, names[0] if names else "")

    async def prune_images(
        self, services: Services, filters: dict[str, list[str]]
    ) -> tuple[list[dict[str, str]], int]:
        self._note("prune_images", filters=filters)
        return [{"Deleted": IMAGE.id}], 42

    async def check_store(self, services: Services, *, repair: bool) -> Report:
        self._note("fsck", repair=repair)
        return Report(1, 2, 3, [Problem("missing", "blob x", "it is not here", repaired=repair)])

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = {
            query: ("inspect_container", "list_containers", "container_sizes"),
            create: ("create_container",),
            wait: ("wait_container",),
            logs: ("read_logs",),
            attach: ("attach_container",),
            exec: ("create_exec", "inspect_exec", "prepare_exec", "start_exec", "resize_exec"),
            images: (
                "list_images",
                "inspect_image",
                "count_containers",
                "save_images",
                "import_image",
                "load_images",
                "tag_image",
                "delete_image",
            ),
            system: ("info", "version"),
            disk_usage: ("disk_usage",),
            commit: ("commit_container",),
            export: ("export_container",),
            image_prune: ("prune_images",),
            fsck: ("check_store",),
        }
        for module, names in whole.items():
            for name in names:
                assert hasattr(module, name), f"the engine has no {name} any more"
                monkeypatch.setattr(module, name, getattr(self, name))
        simple = {
            start: ("start",),
            stop: ("stop",),
            restart: ("restart",),
            kill: ("kill",),
            pause: ("pause", "unpause"),
            rename: ("rename",),
            resize: ("resize",),
            remove: ("remove",),
        }
        for module, verbs in simple.items():
            for name in verbs:
                assert hasattr(module, f"{name}_container")
                monkeypatch.setattr(module, f"{name}_container", self.verb(name))


def _mounts(key: str) -> list[Mount]:
    options = (
        f"upperdir=/snapshots/{key[:4]}/fs",
        f"workdir=/snapshots/{key[:4]}/work",
        "lowerdir=/a",
        "lowerdir=/b",
    )
    return [Mount("overlay", "overlay", options)]


def _layers(chain: str | None) -> list[Mount]:
    return [Mount("bind", "/snapshots/layer/fs", ("ro", "bind"))]


def _history(image: Image) -> list[HistoryEntry]:
    return [
        HistoryEntry(
            image.id, image.created, "", ("busybox:latest",), image.size, "Imported from -"
        )
    ]
