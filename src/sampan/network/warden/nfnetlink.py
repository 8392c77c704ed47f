"""A socket that the kernel hands packets to, under a number that rules name (NFQUEUE, NFLOG).

Constants: linux/netfilter/nfnetlink.h, and what both nfnetlink_queue.h and nfnetlink_log.h have.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
from collections.abc import Sequence

from sampan.errors import ProtocolError
from sampan.linux.netlink.codec import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    decode_attributes,
    decode_failure,
    decode_messages,
    encode_attribute,
    encode_message,
)
from sampan.network.warden.loop import Loop

NETLINK_NETFILTER = 12
NFGENMSG_SIZE = 4
MSG_PACKET = 0
CFG_CMD, CFG_CMD_BIND = 1, 1
RECEIVE = 1 << 16
ATTEMPTS = 16

Setting = tuple[int, bytes]  # an attribute's kind and payload


class PacketSocket:
    """`number`: one that nobody has. Raises OSError where the kernel has no such thing."""

    def __init__(
        self,
        loop: Loop,
        *,
        name: str,
        subsystem: int,
        config: int,
        bind: bytes,
        settings: Sequence[Setting],
        batch: int,
    ) -> None:
        """`config`: the kind of message that `bind`, a command, and `settings` go in; `name` is for errors."""
        self._loop = loop
        self._name, self._subsystem, self._config, self._batch = name, subsystem, config, batch
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        try:
            self._socket.bind((0, 0))
            self.number = self._bind(bind)
            for kind, payload in settings:
                self._configure(kind, payload)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._on_readable)

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def on_packet(self, found: dict[int, bytes]) -> None:
        """Its attributes. May raise ProtocolError."""
        raise NotImplementedError

    def send(self, kind: int, attribute: bytes, flags: int = NLM_F_REQUEST) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        header = struct.pack(">BBH", socket.AF_UNSPEC, 0, self.number)
        self._socket.send(
            encode_message(self._subsystem << 8 | kind, flags, self._sequence, header + attribute)
        )

    def _bind(self, command: bytes) -> int:
        for attempt in range(ATTEMPTS):
            self.number = 1 + secrets.randbelow(65535)
            try:
                self._configure(CFG_CMD, command)
            except OSError as error:
                # Somebody else's: the kernel says so in this way.
                if error.errno not in (errno.EPERM, errno.EBUSY) or attempt == ATTEMPTS - 1:
                    raise
                continue
            return self.number
        raise AssertionError("there is at least one attempt")

    def _configure(self, kind: int, payload: bytes) -> None:
        self.send(self._config, encode_attribute(kind, payload), NLM_F_REQUEST | NLM_F_ACK)
        for message in decode_messages(self._socket.recv(RECEIVE)):
            if message.kind == NLMSG_ERROR:
                failure = decode_failure(message)
                if failure.errno:
                    raise OSError(failure.errno, os.strerror(failure.errno), self._name)

    def _on_readable(self) -> None:
        for _ in range(self._batch):
            try:
                data = self._socket.recv(RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # some were lost
                    continue
                raise
            try:
                self._read(data)
            except ProtocolError:
                continue

    def _read(self, data: bytes) -> None:
        for message in decode_messages(data):
            if message.kind == self._subsystem << 8 | MSG_PACKET:
                self.on_packet(decode_attributes(message.body, NFGENMSG_SIZE))
