"""Connection tracking by ctnetlink: forget flows that a change of rules does not reach by itself.

The kernel translates a flow as its first packet was translated, until it is forgotten. A UDP client that
goes on sending keeps a flow alive that points to nobody, or to a container that is gone.
Constants are those of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sampan.linux.netlink.codec import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    decode_attributes,
    decode_failure,
    decode_messages,
    encode_attribute,
    encode_message,
    encode_u32,
)
from sampan.spec.typing import Callable, Iterator

NETLINK_NETFILTER = 12
NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID, CTA_FILTER = 1, 2, 12, 25
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
CTA_FILTER_F_CTA_IP_SRC = 1
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
NLA_F_NESTED = 0x8000
NFGENMSG = struct.Struct(">BBH")
RECEIVE = 1 << 17
_PORT = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Flow:
    """As the first packet was (`source`, `destination`, `port`), and where its answers come from (`answers`)."""

    protocol: int
    source: bytes
    destination: bytes
    port: int
    answers: bytes
    family: int
    original: bytes
    identity: bytes


def forget_flows(wanted: Callable[[Flow], bool]) -> int:
    """In the calling thread's network namespace; how many. A kernel that tracks nothing has none."""
    return _forget(wanted, NFGENMSG.pack(socket.AF_UNSPEC, 0, 0))


def forget_flows_from(source: IPv4Address | IPv6Address) -> int:
    """Those that this address began; as above. The kernel looks for them (since Linux 5.8, earlier ones tell all
    of its family), but for IPv6: there it tells those of all others (`ctnetlink_filter_match_tuple`)."""
    if source.version == 6:
        asked = NFGENMSG.pack(socket.AF_INET6, 0, 0)
    else:
        asked = NFGENMSG.pack(socket.AF_INET, 0, 0) + _from_address(source)
    return _forget(lambda flow: flow.source == source.packed, asked)


def _from_address(source: IPv4Address) -> bytes:
    address = encode_attribute(CTA_IP_V4_SRC, source.packed)
    flags = ((CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_IP_SRC), (CTA_FILTER_REPLY_FLAGS, 0))
    chosen = b"".join(encode_u32(kind, value) for kind, value in flags)
    address = encode_attribute(CTA_TUPLE_IP | NLA_F_NESTED, address)
    return encode_attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, address) + encode_attribute(
        CTA_FILTER | NLA_F_NESTED, chosen
    )


def _forget(wanted: Callable[[Flow], bool], asked: bytes) -> int:
    try:
        sock = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
        )
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return 0
        raise
    with sock:
        flows = [flow for flow in _dump(sock, asked) if wanted(flow)]
        return sum(_delete(sock, flow, number) for number, flow in enumerate(flows, 2))


def _dump(sock: socket.socket, body: bytes) -> Iterator[Flow]:
    kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
    sock.send(encode_message(kind, NLM_F_REQUEST | NLM_F_DUMP, 1, body))
    while True:
        for message in decode_messages(sock.recv(RECEIVE)):
            if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                return
            flow = _decode(message.body)
            if flow is not None:
                yield flow


def _decode(body: bytes) -> Flow | None:
    family = body[0]
    found = decode_attributes(body, NFGENMSG.size)
    original = found.get(CTA_TUPLE_ORIG, b"")
    first, reply = decode_attributes(original), decode_attributes(found.get(CTA_TUPLE_REPLY, b""))
    there = decode_attributes(first.get(CTA_TUPLE_IP, b""))
    back = decode_attributes(reply.get(CTA_TUPLE_IP, b""))
    protocol = decode_attributes(first.get(CTA_TUPLE_PROTO, b""))
    if CTA_PROTO_NUM not in protocol or CTA_PROTO_DST_PORT not in protocol:
        return None
    return Flow(
        protocol=protocol[CTA_PROTO_NUM][0],
        source=there.get(CTA_IP_V4_SRC) or there.get(CTA_IP_V6_SRC) or b"",
        destination=there.get(CTA_IP_V4_DST) or there.get(CTA_IP_V6_DST) or b"",
        port=_PORT.unpack(protocol[CTA_PROTO_DST_PORT])[0],
        answers=back.get(CTA_IP_V4_SRC) or back.get(CTA_IP_V6_SRC) or b"",
        family=family,
        original=original,
        identity=found.get(CTA_ID, b""),
    )


def _delete(sock: socket.socket, flow: Flow, number: int) -> bool:
    body = NFGENMSG.pack(flow.family, 0, 0)
    body += encode_attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.original)
    if flow.identity:  # another flow that took its place meanwhile stays
        body += encode_attribute(CTA_ID, flow.identity)
    kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
    sock.send(encode_message(kind, NLM_F_REQUEST | NLM_F_ACK, number, body))
    for message in decode_messages(sock.recv(RECEIVE)):
        failure = decode_failure(message)
        if failure.errno not in (0, errno.ENOENT):
            raise OSError(failure.errno, os.strerror(failure.errno), "conntrack")
        return failure.errno == 0
    return False
