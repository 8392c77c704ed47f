"""A rule that hands packets to a queue, by nfnetlink itself: for kernels whose nftables have no `queue`
statement (CONFIG_NFT_QUEUE) but iptables' target of the same effect, which nftables can carry.

Constants: linux/netfilter/nf_tables.h, nf_tables_compat.h, xt_NFQUEUE.h.
"""

from __future__ import annotations

import os
import socket
import struct

from sampan.linux.netlink.codec import (
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    decode_failure,
    decode_messages,
    encode_attribute,
    encode_message,
    encode_string,
)

NETLINK_NETFILTER = 12
NFPROTO_INET = 1
NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
NFT_MSG_NEWRULE = 6
NLM_F_APPEND = 0x800
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS = 1, 2, 4
NFTA_LIST_ELEM, NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 1, 2
NFTA_TARGET_NAME, NFTA_TARGET_REV, NFTA_TARGET_INFO = 1, 2, 3
NFQ_FLAG_BYPASS = 1
REVISION = 3
NFQ_INFO = struct.Struct("=HHH2x")  # number, how many, flags; padded as the kernel's XT_ALIGN does
RECEIVE = 1 << 16


def add_queue_rule(table: str, chain: str, number: int) -> None:
    """At the end of the chain of an inet table. Raises OSError where the kernel has no such target."""
    info = NFQ_INFO.pack(number, 1, NFQ_FLAG_BYPASS)
    target = (
        encode_string(NFTA_TARGET_NAME, "NFQUEUE")
        + encode_attribute(NFTA_TARGET_REV, struct.pack(">I", REVISION))
        + encode_attribute(NFTA_TARGET_INFO, info)
    )
    expression = encode_string(NFTA_EXPR_NAME, "target") + encode_attribute(
        NFTA_EXPR_DATA | NLA_F_NESTED, target
    )
    element = encode_attribute(NFTA_LIST_ELEM | NLA_F_NESTED, expression)
    rule = (
        encode_string(NFTA_RULE_TABLE, table)
        + encode_string(NFTA_RULE_CHAIN, chain)
        + encode_attribute(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, element)
    )
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
    ) as sock:
        sock.bind((0, 0))
        sock.send(_batch(rule))
        for message in decode_messages(sock.recv(RECEIVE)):
            if message.kind == NLMSG_ERROR:
                failure = decode_failure(message)
                if failure.errno:
                    raise OSError(failure.errno, os.strerror(failure.errno), "NFQUEUE")


def _batch(rule: bytes) -> bytes:
    """One transaction; only the rule is acknowledged."""
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE
    edge = struct.pack(">BBH", socket.AF_UNSPEC, 0, NFNL_SUBSYS_NFTABLES)
    header = struct.pack(">BBH", NFPROTO_INET, 0, 0)
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND
    return (
        encode_message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 1, edge)
        + encode_message(kind, flags, 2, header + rule)
        + encode_message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 3, edge)
    )
