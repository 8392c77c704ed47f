"""Packets that a rule logs (NFLOG): who was told of by which rule, and what the packet wanted.

Constants: linux/netfilter/nfnetlink_log.h.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from sampan.errors import ProtocolError
from sampan.linux.netlink.codec import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    decode_attributes,
    decode_failure,
    decode_messages,
    decode_string,
    encode_attribute,
    encode_message,
)
from sampan.network.warden.loop import Loop

NETLINK_NETFILTER = 12
NFNL_SUBSYS_ULOG = 4
NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG = 0, 1
NFULA_PAYLOAD, NFULA_PREFIX = 9, 10
NFULA_CFG_CMD, NFULA_CFG_MODE, NFULA_CFG_TIMEOUT, NFULA_CFG_QTHRESH = 1, 2, 4, 5
NFULNL_CFG_CMD_BIND = 1
NFULNL_COPY_PACKET = 2
NFGENMSG_SIZE = 4
COPIED = 128  # bytes of a packet
RECEIVE = 1 << 16
BATCH = 64
ATTEMPTS = 16
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
_WITH_PORTS = (6, 17, 132)
_IPV6_HEADER = 40
_EXTENSIONS = (0, 43, 60)  # of IPv6, all with a length of their own (RFC 8200)


@dataclass(frozen=True, slots=True)
class Packet:
    """`prefix` is the rule's; `port` 0 where the protocol has none."""

    prefix: str
    source: str
    destination: str
    protocol: str
    port: int


def read_packet(prefix: str, data: bytes) -> Packet | None:
    """From the bytes of an IP packet; None for what is none."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        number, offset = data[9], (data[0] & 0x0F) * 4
        source, destination = data[12:16], data[16:20]
    elif version == 6 and len(data) >= _IPV6_HEADER:
        number, offset = data[6], _IPV6_HEADER
        source, destination = data[8:24], data[24:40]
        while number in _EXTENSIONS and len(data) >= offset + 2:
            number, offset = data[offset], offset + 8 * (data[offset + 1] + 1)
    else:
        return None
    port = 0
    if number in _WITH_PORTS and len(data) >= offset + 4:
        port = int.from_bytes(data[offset + 2 : offset + 4], "big")
    protocol = PROTOCOLS.get(number, str(number))
    return Packet(prefix, str(ip_address(source)), str(ip_address(destination)), protocol, port)


class FlowLog:
    """`group` is what rules name. Raises OSError where the kernel has no such log."""

    def __init__(self, loop: Loop, told: Callable[[Packet], None]) -> None:
        self._loop = loop
        self._told = told
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        try:
            self._socket.bind((0, 0))
            self.group = self._bind()
            mode = struct.pack(">IBx", COPIED, NFULNL_COPY_PACKET)
            self._configure(NFULA_CFG_MODE, mode)
            self._configure(NFULA_CFG_QTHRESH, struct.pack(">I", 1))  # told one by one, at once
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._on_readable)

    def close(self) -> None:
        self._loop.forget(self._socket.fileno())
        self._socket.close()

    def _bind(self) -> int:
        for attempt in range(ATTEMPTS):
            self.group = 1 + secrets.randbelow(65535)
            try:
                self._configure(NFULA_CFG_CMD, struct.pack(">B", NFULNL_CFG_CMD_BIND))
            except OSError as error:
                # Somebody else's.
                if error.errno not in (errno.EPERM, errno.EBUSY) or attempt == ATTEMPTS - 1:
                    raise
                continue
            return self.group
        raise AssertionError("there is at least one attempt")

    def _configure(self, kind: int, payload: bytes) -> None:
        self._sequence += 1
        header = struct.pack(">BBH", socket.AF_UNSPEC, 0, self.group)
        self._socket.send(
            encode_message(
                NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG,
                NLM_F_REQUEST | NLM_F_ACK,
                self._sequence,
                header + encode_attribute(kind, payload),
            )
        )
        for message in decode_messages(self._socket.recv(RECEIVE)):
            if message.kind == NLMSG_ERROR:
                failure = decode_failure(message)
                if failure.errno:
                    raise OSError(failure.errno, os.strerror(failure.errno), "nflog")

    def _on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                data = self._socket.recv(RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # some were lost; what is told is bounded anyway
                    continue
                raise
            try:
                self._read(data)
            except ProtocolError:
                continue

    def _read(self, data: bytes) -> None:
        for message in decode_messages(data):
            if message.kind != NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET:
                continue
            found = decode_attributes(message.body, NFGENMSG_SIZE)
            prefix = decode_string(found.get(NFULA_PREFIX, b""))
            packet = read_packet(prefix, found.get(NFULA_PAYLOAD, b""))
            if packet is not None:
                self._told(packet)
