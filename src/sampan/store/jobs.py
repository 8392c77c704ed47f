"""Running a worker role from the daemon: spawn it, wait for its one answer, fail clearly without one.

    daemon → worker   args and descriptors of the spawn request
    worker → daemon   {…result…}  |  {"error": TEXT, "kind": "input" | "os", "errno": N}

EOF without an answer means that the worker died. A worker whose caller is cancelled is killed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sampan.errors import InvalidParameter, SampanError
from sampan.linux.channel import Channel, Message


class Spawned(Protocol):
    """A child of the spawner; `pidfd` is the caller's to close."""

    @property
    def pid(self) -> int: ...
    @property
    def pidfd(self) -> int: ...


Spawn = Callable[[str, dict[str, Any], list[int]], Awaitable[Spawned]]


class Job:
    """One worker. `async with Job(spawn, …) as job: … await job.result()`; leaving kills it."""

    def __init__(self, spawn: Spawn, role: str, args: dict[str, Any], fds: list[int]) -> None:
        self._spawn, self._role, self._args, self._fds = spawn, role, args, fds
        self._channel: Channel | None = None
        self._pidfd = -1

    async def __aenter__(self) -> Job:
        ours, theirs = Channel.pair()
        ours.sock.setblocking(False)
        self._channel = ours
        try:
            spawned = await self._spawn(self._role, self._args, [theirs.fileno(), *self._fds])
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pidfd = spawned.pidfd
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(self._pidfd)
            self._pidfd = -1

    async def result(self) -> Message:
        """The worker's answer. Raises InvalidParameter when what it read was bad, OSError when the
        system failed it, SampanError when it died."""
        message, fds = await self.answer()
        for fd in fds:
            os.close(fd)
        return message

    async def answer(self) -> tuple[Message, list[int]]:
        """As `result`, with descriptors, the caller's from now on."""
        assert self._channel is not None
        await _readable(self._channel.fileno())
        packet = self._channel.receive()
        if packet is None:
            raise SampanError(f"the worker for {self._role!r} died before it had an answer")
        message, fds = packet
        if "error" not in message:
            return message, fds
        for fd in fds:
            os.close(fd)
        text = str(message["error"])
        if message.get("kind") == "input":
            raise InvalidParameter(text)
        raise OSError(int(message.get("errno") or errno.EIO), text)


async def run(spawn: Spawn, role: str, args: dict[str, Any], fds: list[int]) -> Message:
    """Spawn, wait, answer. The descriptors stay the caller's."""
    async with Job(spawn, role, args, fds) as job:
        return await job.result()


async def _readable(fd: int) -> None:
    await _ready(
        fd, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader
    )


async def _ready(fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ready() -> None:
        if not future.done():
            future.set_result(None)

    add(fd, ready)
    try:
        await future
    finally:
        remove(fd)
