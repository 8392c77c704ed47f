"""The daemon's side of the warden: blocking requests from the network thread, events on the loop.

The first request that needs one starts the warden; a daemon that comes back finds the earlier one's.
When the warden dies its state is asked of the daemon again (`on_lost`).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sampan.errors import ProtocolError, SampanError
from sampan.linux.channel import Channel
from sampan.network.warden.holds import Held, Refused, Wanted
from sampan.network.warden.messages import (
    VERSION,
    Message,
    held_from_list,
    wanted_to_list,
)

log = logging.getLogger(__name__)

ROLE = "warden"
DEADLINE = 10.0  # seconds for one answer
_CREDENTIALS = struct.Struct("=3i")  # struct ucred: pid, uid, gid


class Spawned(Protocol):
    @property
    def pidfd(self) -> int: ...


Spawn = Callable[[str, dict[str, Any], Sequence[int]], Awaitable[Any]]


class WardenLost(SampanError):
    """It died while it had this request."""


class WardenFailed(SampanError):
    """It could not do it. `errno`: of the system call that failed, 0 without one."""

    errno = 0


class Warden:
    """`request` and what uses it belong to the network thread, the rest to the event loop."""

    def __init__(self, path: str, spawn: Spawn | None) -> None:
        self._path = path
        self._spawn = spawn
        self._channel: Channel | None = None
        self._asked = 0
        self._events: Channel | None = None
        self._starting = asyncio.Lock()
        self._lock = threading.Lock()
        self.on_lost: Callable[[], None] = lambda: None
        self.on_event: Callable[[Message], None] = lambda event: None

    # On the loop

    @property
    def running(self) -> bool:
        return self._channel is not None

    @property
    def pid(self) -> int:
        """Of the process that serves; 0 when there is none."""
        channel = self._channel
        if channel is None:
            return 0
        raw = channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(raw)[0])

    async def find(self) -> list[str]:
        """Connect to an earlier daemon's, if there is one: the containers that it serves."""
        try:
            channel, owners = await asyncio.to_thread(_greet, self._path)
        except (OSError, ProtocolError):
            return []
        if owners is None:  # another version's
            channel.close()
            return []
        self._adopt(channel)
        return owners

    async def start(self) -> None:
        """Done when it serves; nothing is done when it does. Raises SampanError."""
        async with self._starting:
            if self._channel is None:
                await self._launch()

    async def _launch(self) -> None:
        if self._spawn is None:
            raise SampanError("the network's warden cannot be started: there is no spawner")
        mine, its = Channel.pair()
        try:
            spawned = await self._spawn(ROLE, {"path": self._path}, [its.fileno()])
            os.close(spawned.pidfd)
            its.close()
            mine.sock.settimeout(DEADLINE)
            if await asyncio.to_thread(mine.receive) is None:
                raise SampanError("the network's warden could not be started")
            channel, _ = await asyncio.to_thread(_greet, self._path)
        except (OSError, ProtocolError) as error:
            raise SampanError(f"the network's warden could not be started: {error}") from error
        finally:
            mine.close()
            its.close()
        self._adopt(channel)

    def _adopt(self, channel: Channel) -> None:
        self._channel = channel
        self._events = _connect(self._path)
        self._events.send({"verb": "listen"})
        self._events.sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self._events.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        assert self._events is not None
        try:
            received = self._events.receive()
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            received = None
        if received is None:
            log.error("the network's warden died")
            self.close()
            self.on_lost()
        elif "event" in received[0]:
            self.on_event(received[0]["event"])

    def close(self) -> None:
        """Let go of it. It goes on as long as it holds something."""
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events.fileno())
            self._events.close()
            self._events = None
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    # On the network thread

    def hold(self, owner: str, wishes: Sequence[Wanted]) -> list[Held]:
        """Raises Refused."""
        wanted = [wanted_to_list(item) for item in wishes]
        answer = self.request("hold", owner=owner, wanted=wanted)
        if "refused" in answer:
            raise _refusal(answer["refused"])
        return [held_from_list(item) for item in answer["held"]]

    def request(self, verb: str, fds: Sequence[int] = (), **fields: Any) -> Message:
        """Raises SampanError."""
        with self._lock:
            if self._channel is None:
                raise WardenLost("the network's warden is not there")
            try:
                self._asked += 1
                self._channel.send({"verb": verb, "n": self._asked, **fields}, list(fds))
                received = self._channel.receive()
                while received is not None and received[0].get("n") != self._asked:
                    received = self._channel.receive()  # that was the answer to one given up
            except (OSError, ProtocolError) as error:
                raise WardenLost(f"the network's warden does not answer: {error}") from error
        if received is None:
            raise WardenLost("the network's warden died")
        answer = received[0]
        if "error" in answer:
            failed = WardenFailed(str(answer["error"]))
            failed.errno = int(answer["errno"])
            raise failed
        return answer


def _connect(path: str) -> Channel:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(DEADLINE)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return Channel(sock)


def _greet(path: str) -> tuple[Channel, list[str] | None]:
    """Blocking. None instead of owners: it speaks another version and was told to end."""
    channel = _connect(path)
    try:
        channel.send({"verb": "hello", "version": VERSION})
        received = channel.receive()
        if received is None:
            raise OSError(errno.ECONNRESET, "it ended")
        if received[0].get("version") != VERSION:
            channel.send({"verb": "quit"})
            channel.receive()
            return channel, None
        return channel, [str(owner) for owner in received[0]["owners"]]
    except BaseException:
        channel.close()
        raise


def _refusal(message: Message) -> Refused:
    wanted = Wanted(str(message["protocol"]), int(message["container_port"]))
    refused = Refused(wanted, str(message["address"]), int(message["port"]), int(message["errno"]))
    refused.allocated = bool(message["allocated"])
    return refused
