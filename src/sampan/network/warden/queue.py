"""First packets of flows that are allowed by our table, and that a foreign chain would drop after it.

In nftables a drop in any base chain is final, whatever ours says; a packet that is handed to user space and
comes back with NF_STOP passes by all later chains of the hook. Only first packets come here: what belongs
to a flow that is established, every firewall lets through. Constants: linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct

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
NFNL_SUBSYS_QUEUE = 3
NFQNL_MSG_PACKET, NFQNL_MSG_VERDICT, NFQNL_MSG_CONFIG = 0, 1, 2
NFQA_PACKET_HDR, NFQA_VERDICT_HDR = 1, 2
NFQA_CFG_CMD, NFQA_CFG_PARAMS, NFQA_CFG_QUEUE_MAXLEN = 1, 2, 3
NFQNL_CFG_CMD_BIND = 1
NFQNL_COPY_META = 1
NF_STOP = 5
NFGENMSG_SIZE = 4
MAX_WAITING = 4096
RECEIVE = 1 << 16
BATCH = 256
ATTEMPTS = 16


class Queue:
    """`number` is the queue's; rules name it. Raises OSError where the kernel has no queues."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._sequence = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
        try:
            self._socket.bind((0, 0))
            self.number = self._bind()
            self._configure(NFQA_CFG_PARAMS, struct.pack(">IB", 0, NFQNL_COPY_META))
            self._configure(NFQA_CFG_QUEUE_MAXLEN, struct.pack(">I", MAX_WAITING))
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
            self.number = 1 + secrets.randbelow(65535)
            try:
                self._configure(NFQA_CFG_CMD, struct.pack(">BBH", NFQNL_CFG_CMD_BIND, 0, 0))
            except OSError as error:
                # Somebody else's: the kernel says so in this way.
                if error.errno not in (errno.EPERM, errno.EBUSY) or attempt == ATTEMPTS - 1:
                    raise
                continue
            return self.number
        raise AssertionError("there is at least one attempt")

    def _message(self, kind: int, flags: int, attribute: bytes) -> bytes:
        self._sequence += 1
        header = struct.pack(">BBH", socket.AF_UNSPEC, 0, self.number)
        return encode_message(
            NFNL_SUBSYS_QUEUE << 8 | kind, flags, self._sequence & 0xFFFFFFFF, header + attribute
        )

    def _configure(self, kind: int, payload: bytes) -> None:
        attribute = encode_attribute(kind, payload)
        flags = NLM_F_REQUEST | NLM_F_ACK
        self._socket.send(self._message(NFQNL_MSG_CONFIG, flags, attribute))
        for message in decode_messages(self._socket.recv(RECEIVE)):
            if message.kind == NLMSG_ERROR:
                failure = decode_failure(message)
                if failure.errno:
                    raise OSError(failure.errno, os.strerror(failure.errno), "nfqueue")

    def _on_readable(self) -> None:
        for _ in range(BATCH):
            try:
                data = self._socket.recv(RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # some were lost, and are sent again
                    continue
                raise
            try:
                self._answer(data)
            except ProtocolError:
                continue

    def _answer(self, data: bytes) -> None:
        for message in decode_messages(data):
            if message.kind != NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET:
                continue
            header = decode_attributes(message.body, NFGENMSG_SIZE).get(NFQA_PACKET_HDR, b"")
            if len(header) >= 4:
                verdict = struct.pack(">I", NF_STOP) + header[:4]
                attribute = encode_attribute(NFQA_VERDICT_HDR, verdict)
                self._socket.send(self._message(NFQNL_MSG_VERDICT, NLM_F_REQUEST, attribute))
