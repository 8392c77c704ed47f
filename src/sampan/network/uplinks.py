"""Watches the kernel's notices of addresses and routes of the host: an uplink that comes late, or another one.

What containers do tells nothing here: their links have no addresses on the host's side. What is told is not looked
at; that something was is enough to look at all of it again (`setup.switch_uplinks`).
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

NETLINK_ROUTE = 0
RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 0x10, 0x40
RECEIVE = 1 << 16
BATCH = 64
QUIET = 0.1  # seconds: what comes close together is one change


class UplinkWatch:
    """Made in the network namespace that it is about; used on the event loop."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._on_change: Callable[[], None] = lambda: None
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
        )
        try:
            self._socket.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE))
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def start(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_readable)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        if self._timer is not None:
            self._timer.cancel()

    def _on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                self._socket.recv(RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if (
                    error.errno != errno.ENOBUFS
                ):  # then there were many, and that is all we want to know
                    raise
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(QUIET, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._on_change()
