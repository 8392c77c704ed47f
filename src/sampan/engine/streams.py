"""What the API and the engine hand each other when a connection turns into a stream."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from dataclasses import dataclass

from sampan.wire import stdcopy

PATIENCE = 10.0  # seconds that a client has to take a text


@dataclass(slots=True)
class ClientStream:
    """A client's connection after its upgrade was answered.

    `fd` is a duplicate and the taker's to close; `prefetched` is what was read from the client already.
    """

    fd: int
    prefetched: bytes = b""

    def take(self) -> int:
        """Give the descriptor away; `close` does nothing afterwards."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.take())

    def abandoned(self) -> bool:
        """Whether the client has closed both ways. Half-closed it may still be listening."""
        if self.fd < 0:
            return True
        poll = select.poll()
        poll.register(self.fd, 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))

    async def write(self, data: bytes) -> None:
        """All of it, whatever its reader does. Raises OSError, TimeoutError."""
        copy = socket.socket(fileno=os.dup(self.fd))
        try:
            copy.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_sendall(copy, data)
        finally:
            copy.close()

    async def say(self, text: str, *, multiplexed: bool) -> None:
        """A text of the engine's own among the output, as dockerd writes it; the client may be gone."""
        data = text.encode("utf-8", "replace") + b"\r\n"
        try:
            await self.write(stdcopy.frame(stdcopy.STDOUT, data) if multiplexed else data)
        except (OSError, TimeoutError):
            pass
