"""A netlink socket that is told of changes: read on the event loop, and what comes close together told as one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1


class Notices:
    """Made in the network namespace that it is about; used on the event loop. Whoever derives from it reads
    in `on_readable` and tells in `fire`, `quiet` seconds after `fire_later`."""

    def __init__(self, protocol: int, groups: Iterable[int], quiet: float) -> None:
        self._quiet = quiet
        self._timer: asyncio.TimerHandle | None = None
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        try:
            self.socket.bind((0, 0))  # without a number of its own it gets no notices
            for group in groups:
                self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise

    def listen(self) -> None:
        asyncio.get_running_loop().add_reader(self.socket.fileno(), self.on_readable)

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.socket.fileno())
            self.socket.close()
        if self._timer is not None:
            self._timer.cancel()

    def fire_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._quiet, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.fire()

    def on_readable(self) -> None:
        raise NotImplementedError

    def fire(self) -> None:
        raise NotImplementedError
