"""Watches the kernel's notices of changes to nftables for those that somebody else makes to our table.

A transaction is told as its parts and then a `NEWGEN` that says which process made it. Our own are
passed over; a flush of the ruleset, ours included, is healed as soon as it is told.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection

from sampan.errors import ProtocolError
from sampan.linux.netlink.codec import decode_attributes, decode_messages, decode_string
from sampan.network.notices import Notices

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWGEN = 15
NFTA_TABLE_NAME = 1  # of a table; in a chain, rule, set or element the same number names its table
NFTA_GEN_PROC_PID = 2
NFGENMSG_SIZE = 4
RECEIVE = 1 << 17
QUIET = 0.05  # seconds: what comes close together is healed at once


class Watch(Notices):
    """Made on the network thread, in its namespace; used on the event loop."""

    def __init__(self, tables: Collection[str], made_by_us: Callable[[int], bool]) -> None:
        """`made_by_us`: whether the thread (or process) with this number is one of ours."""
        self._tables = frozenset(tables)
        self._touched = self._damaged = False
        self._made_by_us = made_by_us
        self._on_change: Callable[[bool], None] = lambda damaged: None
        super().__init__(NETLINK_NETFILTER, (NFNLGRP_NFTABLES,), QUIET)

    def start(self, on_change: Callable[[bool], None]) -> None:
        """`on_change` is called when somebody else has changed something; whether it may have been our table."""
        self._on_change = on_change
        self.listen()

    def on_readable(self) -> None:
        try:
            data = self.socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._touched = True  # something was not told; it may have been ours
            self._schedule()
            return
        try:
            self.feed(data)
        except ProtocolError:
            self._touched = True
            self._schedule()

    def feed(self, data: bytes) -> None:
        for message in decode_messages(data):
            if message.kind >> 8 != NFNL_SUBSYS_NFTABLES:
                continue
            found = decode_attributes(message.body, NFGENMSG_SIZE)
            if message.kind & 0xFF == NFT_MSG_NEWGEN:
                pid = int.from_bytes(found.get(NFTA_GEN_PROC_PID, b""), "big")
                if not self._made_by_us(pid):
                    self._schedule()
                self._touched = False
            elif decode_string(found.get(NFTA_TABLE_NAME, b"")) in self._tables:
                self._touched = True

    def _schedule(self) -> None:
        self._damaged = self._damaged or self._touched
        self.fire_later()

    def fire(self) -> None:
        damaged, self._damaged = self._damaged, False
        self._on_change(damaged)
