"""A spawner for tests: a single-threaded process beside the test that forks one child a role.

    spawner = ForkingSpawner(); spawned = await spawner("unpack", args, fds); spawner.close()

Worker roles of the store only. The children are real; what is left out is everything the real spawner does
beyond forking (titles, restarts, a frozen heap).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any, NamedTuple

from sampan.linux.channel import Channel


class Spawned(NamedTuple):
    pid: int
    pidfd: int


class ForkingSpawner:
    """`pids` are those of every child so far; `environment` is that of the process."""

    def __init__(self) -> None:
        self._channel, theirs = Channel.pair()
        self._channel.sock.setblocking(False)
        fd = theirs.fileno()
        code = f"from tests.fakes.spawn import serve; serve({fd})"
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = os.pathsep.join((os.path.join(root, "src"), root))
        environment = {**os.environ, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[fd], cwd=root, env=environment
        )
        theirs.close()
        self._lock = asyncio.Lock()
        self.pids: list[int] = []

    async def __call__(self, role: str, args: dict[str, Any], fds: list[int]) -> Spawned:
        """A caller that is cancelled still takes its answer; else the next one would get it."""
        asked = asyncio.ensure_future(self._ask(role, args, [os.dup(fd) for fd in fds]))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            while not asked.done():
                await asyncio.wait([asked])
            os.close(asked.result().pidfd)
            raise

    async def _ask(self, role: str, args: dict[str, Any], fds: list[int]) -> Spawned:
        async with self._lock:
            try:
                self._channel.send({"role": role, "args": args}, fds)
            finally:
                for fd in fds:
                    os.close(fd)
            loop = asyncio.get_running_loop()
            ready = asyncio.Event()
            loop.add_reader(self._channel.fileno(), ready.set)
            try:
                await asyncio.wait_for(ready.wait(), 30)
            finally:
                loop.remove_reader(self._channel.fileno())
            packet = self._channel.receive()
        assert packet is not None, "the spawner for tests died"
        message, received = packet
        self.pids.append(message["pid"])
        return Spawned(message["pid"], received[0])

    def close(self) -> None:
        self._channel.close()
        self._process.wait(10)


def serve(fd: int) -> None:
    """The spawner's side, until the other end closes."""
    from sampan.store.worker import ROLES

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    channel = Channel.adopt(fd)
    while (packet := _next(channel)) is not None:
        message, fds = packet
        _reap()
        pid = os.fork()
        if pid == 0:
            try:
                channel.close()
                ROLES[message["role"]](message["args"], fds)
            finally:
                os._exit(0)
        pidfd = os.pidfd_open(pid)
        channel.send({"pid": pid}, [pidfd])
        for received in [pidfd, *fds]:
            os.close(received)


def _next(channel: Channel) -> tuple[dict[str, Any], list[int]] | None:
    try:
        return channel.receive()
    except ConnectionResetError:  # closed with an answer still unread
        return None


def _reap() -> None:
    """Here, and not by the kernel at once: a child that ended before its pidfd was opened would have none."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
