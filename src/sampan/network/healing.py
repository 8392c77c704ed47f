"""Watches the kernel's notices of changes to nftables for those that somebody else makes to our table.

A transaction is told as its parts and then a `NEWGEN` that says which process made it. Our own are
passed over; a flush of the ruleset, ours included, is healed as soon as it is told.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Collection

from sampan.errors import ProtocolError
from sampan.linux.netlink.codec import decode_attributes, decode_messages, decode_string

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWGEN = 15
NFTA_TABLE_NAME = 1  # of a table; in a chain, rule, set or element the same number names its table
NFTA_GEN_PROC_PID = 2
NFGENMSG_SIZE = 4
RECEIVE = 1 << 17
QUIET = 0.05  # seconds: what comes close together is healed at once


class Watch:
    """Made on the network thread, in its namespace; used on the event loop."""

    def __init__(self, tables: Collection[str], made_by_us: Callable[[int], bool]) -> None:
        """`made_by_us`: whether the thread (or process) with this number is one of ours."""
        self._tables = frozenset(tables)
        self._touched = self._damaged = False
        self._made_by_us = made_by_us
        self._timer: asyncio.TimerHandle | None = None
        self._on_change: Callable[[bool], None] = lambda damaged: None
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        try:
            self._socket.bind((0, 0))  # without a number of its own it gets no notices
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def start(self, on_change: Callable[[bool], None]) -> None:
        """`on_change` is called when somebody else has changed something; whether it may have been our table."""
        self._on_change = on_change
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._on_readable)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
        if self._timer is not None:
            self._timer.cancel()

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(RECEIVE)
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
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(QUIET, self._fire)

    def _fire(self) -> None:
        self._timer = None
        damaged, self._damaged = self._damaged, False
        self._on_change(damaged)
