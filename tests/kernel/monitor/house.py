"""A small engine for tests: a spawner of its own, and containers of busybox under real monitors."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.linux import capabilities, process
from sampan.linux.cgroup import Cgroup, detect
from sampan.monitor import main
from sampan.monitor.client import Monitor, Monitors, Spawner
from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, LogOptions
from sampan.monitor.records import read_monitor_record
from sampan.monitor.spawner import launch
from sampan.spec.container import ContainerConfig, HostConfig
from sampan.spec.mount import Mount
from sampan.spec.oci import Intent, build_config
from sampan.spec.users import User
from sampan.wire.stdcopy import Decoder

BUSYBOX = "/bin/busybox"
DEADLINE = 20.0
CGROUPS = f"/sampan-test-{os.getpid()}"  # of this process alone: another run may be under way
APPLETS = (
    *("sh", "cat", "echo", "sleep", "true", "false", "yes", "head", "tail", "seq", "dd", "id"),
    *("stty", "kill", "wc", "printf", "tr", "ls", "touch", "test"),
)


def make_root(folder: Path) -> Path:
    """A root file system of Debian's static busybox."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy2(BUSYBOX, folder / "bin/busybox")
    for applet in APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
    return folder


@contextmanager
def spawner() -> Iterator[Spawner]:
    made = Spawner(launch({"monitor": main.run}))
    try:
        yield made
    finally:
        made.close()


@dataclass
class Box:
    """One container: its config, monitor, and everything it said."""

    root: Path
    folder: Path
    container_id: str = field(default_factory=lambda: secrets.token_hex(32))
    events: list[dict[str, Any]] = field(default_factory=list)
    monitor: Monitor | None = None
    lost: bool = False
    peers: list[Peer] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def directory(self) -> Path:
        return self.folder / self.container_id

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.container_id}-json.log"

    @property
    def cgroup_path(self) -> str:
        return f"{CGROUPS}/{self.container_id}"

    def config(self, command: list[str], **changes: Any) -> dict[str, Any]:
        tty = changes.pop("tty", False)
        pid_mode = changes.pop("pid_mode", "")
        memory = changes.pop("memory", 0)
        assert not changes
        return build_config(
            Intent(
                container_id=self.container_id,
                config=ContainerConfig(cmd=command, tty=tty, env=["PATH=/bin"]),
                host_config=HostConfig(network_mode="none", pid_mode=pid_mode, memory=memory),
                user=User(0, 0, (), "/root"),
                hostname="box",
                cgroup_path=self.cgroup_path,
                held_capabilities=capabilities.held(),
                kernel=(6, 1),
            )
        )

    async def create(
        self, spawner: Spawner, command: list[str] | str, **options: Any
    ) -> dict[str, Any]:
        """Up to `created`. `options`: of `Arguments`, and `tty`, `pid_mode`, `memory`."""
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        names = {"pid_mode", "memory"}
        changes = {name: options.pop(name) for name in names & options.keys()}
        config = self.config(argv, tty=options.get("terminal", False), **changes)
        self.directory.mkdir(mode=0o700)
        (self.directory / "config.json").write_text(json.dumps(config))
        options.setdefault("log", LogOptions("json-file", str(self.log_path)))
        arguments = Arguments(
            id=self.container_id,
            directory=str(self.directory),
            root=(Mount("bind", str(self.root), ("rbind", "rprivate")),),
            **options,
        )
        self.adopt(await Monitors(spawner).launch(arguments, []))
        assert self.monitor is not None
        return await self.monitor.created()

    def adopt(self, monitor: Monitor) -> None:
        self.monitor = monitor
        monitor.on_event = self._on_event
        monitor.on_lost = self._on_lost

    def _on_event(self, message: dict[str, Any]) -> None:
        self.events.append(message)
        self.changed.set()

    def _on_lost(self) -> None:
        self.lost = True
        self.changed.set()

    async def run(self, spawner: Spawner, command: list[str] | str, **options: Any) -> None:
        await self.create(spawner, command, **options)
        await self.door.start()

    @property
    def door(self) -> Monitor:
        assert self.monitor is not None
        return self.monitor

    async def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of that kind, which may have come already."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for message in self.events:
                    if message["type"] == kind and fields.items() <= message.items():
                        return message
                assert not self.lost, f"the monitor died before {kind}: {self.errors()}"
                self.changed.clear()
                await self.changed.wait()

    async def exit_code(self) -> int:
        return int((await self.event("exit"))["exit_code"])

    async def attach(self, **options: Any) -> Peer:
        ours, theirs = socket.socketpair()
        options.setdefault("stdout", True)
        options.setdefault("stderr", True)
        with theirs:
            await self.door.attach(AttachOptions(**options), theirs.fileno())
        return await self._peer(ours)

    async def _peer(self, sock: socket.socket) -> Peer:
        peer = await Peer.wrap(sock)
        self.peers.append(peer)
        return peer

    async def exec(
        self, exec_id: str, command: str, *, client: bool = True, **options: Any
    ) -> Peer | None:
        wanted_process = {**self.config(["sh", "-c", command])["process"]}
        attach = AttachOptions(
            stdin=options.get("open_stdin", False),
            stdout=True,
            stderr=True,
            multiplexed=not options.get("terminal", False),
        )
        wanted_process["terminal"] = options.get("terminal", False)
        wanted = ExecOptions(exec_id, wanted_process, attach=attach if client else None, **options)
        if not client:
            await self.door.exec(wanted)
            return None
        ours, theirs = socket.socketpair()
        with theirs:
            await self.door.exec(wanted, theirs.fileno())
        return await self._peer(ours)

    def log(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.log_path.read_bytes().splitlines()]

    def output(self, stream: str = "stdout") -> str:
        return "".join(line["log"] for line in self.log() if line["stream"] == stream)

    def errors(self) -> str:
        path = self.directory / "monitor.err"
        return path.read_text() if path.exists() else ""

    async def clean_up(self) -> None:
        """Clients, and whatever a failed test left."""
        for peer in self.peers:
            await peer.close()
        record = read_monitor_record(str(self.directory))
        if record is not None and process.alive(record.pid, record.start_time):
            os.kill(record.pid, signal.SIGKILL)
        if self.monitor is not None:
            self.monitor.close()
        group = self.cgroup()
        end = time.monotonic() + DEADLINE
        while group.exists() and group.processes() and time.monotonic() < end:
            group.kill()
        group.remove()

    async def leave(self) -> None:
        """Let the monitor end, and check that nothing is left."""
        for peer in self.peers:
            await peer.close()
        await self.door.delete()
        assert not (self.directory / "monitor.sock").exists()
        assert not (self.directory / "monitor.json").exists()
        assert not self.cgroup().exists()
        assert not self.errors()
        if self.door.pidfd >= 0:
            await readable(self.door.pidfd)
        self.door.close()

    def cgroup(self) -> Cgroup:
        return Cgroup(self.cgroup_path, detect())


@dataclass
class Peer:
    """The client's end of an attached connection."""

    sock: socket.socket
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def wrap(cls, sock: socket.socket) -> Peer:
        reader, writer = await asyncio.open_connection(sock=sock)
        return cls(sock, reader, writer)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def half_close(self) -> None:
        self.writer.write_eof()

    async def until(self, text: bytes) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()

    async def frames(self) -> dict[int, bytes]:
        """Everything up to the end, by stream."""
        decoder = Decoder()
        found: dict[int, bytes] = {}
        for stream, payload in decoder.feed(await self.rest()):
            found[stream] = found.get(stream, b"") + payload
        assert decoder.complete
        return found

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


async def readable(fd: int) -> None:
    """For a pidfd: until the process has ended."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(fd, event.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await event.wait()
    finally:
        loop.remove_reader(fd)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll something that tells nobody when it changes."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for: {what}"
        await asyncio.sleep(0.01)


def is_ready(pid: str) -> bool:
    try:
        return b"sampan-monitor ready" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """Zombies included; but not what the spawner keeps ready for the next container."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and not is_ready(name):
                found.append(int(name))
    return found
