"""Packets that a rule logs (NFLOG): who was told of by which rule, and what the packet wanted.

Some may be lost; what is told of them is bounded anyway. Constants: linux/netfilter/nfnetlink_log.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from sampan.linux.netlink.codec import decode_string
from sampan.network.warden.loop import Loop
from sampan.network.warden.nfnetlink import CFG_CMD_BIND, PacketSocket

NFNL_SUBSYS_ULOG = 4
NFULNL_MSG_CONFIG = 1
NFULA_PAYLOAD, NFULA_PREFIX = 9, 10
NFULA_CFG_MODE, NFULA_CFG_QTHRESH = 2, 5
NFULNL_COPY_PACKET = 2
COPIED = 128  # bytes of a packet
BATCH = 64
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


class FlowLog(PacketSocket):
    """`number` is the log's group; rules name it. Raises OSError where the kernel has no such log."""

    def __init__(self, loop: Loop, told: Callable[[Packet], None]) -> None:
        self._told = told
        super().__init__(
            loop,
            name="nflog",
            subsystem=NFNL_SUBSYS_ULOG,
            config=NFULNL_MSG_CONFIG,
            bind=struct.pack(">B", CFG_CMD_BIND),
            settings=(
                (NFULA_CFG_MODE, struct.pack(">IBx", COPIED, NFULNL_COPY_PACKET)),
                (NFULA_CFG_QTHRESH, struct.pack(">I", 1)),  # told one by one, at once
            ),
            batch=BATCH,
        )

    def on_packet(self, found: dict[int, bytes]) -> None:
        prefix = decode_string(found.get(NFULA_PREFIX, b""))
        packet = read_packet(prefix, found.get(NFULA_PAYLOAD, b""))
        if packet is not None:
            self._told(packet)
