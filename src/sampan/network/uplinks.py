"""Watches the kernel's notices of addresses and routes of the host: an uplink that comes late, or another one.

What containers do tells nothing here: their links have no addresses on the host's side. What is told is not looked
at; that something was is enough to look at all of it again (`setup.switch_uplinks`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from sampan.network.notices import Notices

NETLINK_ROUTE = 0
RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE = 5, 7
RECEIVE = 1 << 16
BATCH = 64
QUIET = 0.1  # seconds: what comes close together is one change


class UplinkWatch(Notices):
    def __init__(self) -> None:
        self._on_change: Callable[[], None] = lambda: None
        super().__init__(NETLINK_ROUTE, (RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE), QUIET)

    def start(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self.listen()

    def on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                self.socket.recv(RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                # Then there were many, and that is all we want to know.
                if error.errno != errno.ENOBUFS:
                    raise
        self.fire_later()

    def fire(self) -> None:
        self._on_change()
