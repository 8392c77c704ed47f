"""First packets of flows that are allowed by our table, and that a foreign chain would drop after it.

In nftables a drop in any base chain is final, whatever ours says; a packet that is handed to user space and
comes back with NF_STOP passes by all later chains of the hook. Only first packets come here: what belongs
to a flow that is established, every firewall lets through. Those that are lost are sent again by whoever
has sent them. Constants: linux/netfilter/nfnetlink_queue.h.
"""

from __future__ import annotations

import struct

from sampan.linux.netlink.codec import encode_attribute
from sampan.network.warden.loop import Loop
from sampan.network.warden.nfnetlink import CFG_CMD_BIND, PacketSocket

NFNL_SUBSYS_QUEUE = 3
NFQNL_MSG_VERDICT, NFQNL_MSG_CONFIG = 1, 2
NFQA_PACKET_HDR, NFQA_VERDICT_HDR = 1, 2
NFQA_CFG_PARAMS, NFQA_CFG_QUEUE_MAXLEN = 2, 3
NFQNL_COPY_META = 1
NF_STOP = 5
MAX_WAITING = 4096
BATCH = 256


class Queue(PacketSocket):
    """`number` is the queue's; rules name it. Raises OSError where the kernel has no queues."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(
            loop,
            name="nfqueue",
            subsystem=NFNL_SUBSYS_QUEUE,
            config=NFQNL_MSG_CONFIG,
            bind=struct.pack(">BBH", CFG_CMD_BIND, 0, 0),
            settings=(
                (NFQA_CFG_PARAMS, struct.pack(">IB", 0, NFQNL_COPY_META)),
                (NFQA_CFG_QUEUE_MAXLEN, struct.pack(">I", MAX_WAITING)),
            ),
            batch=BATCH,
        )

    def on_packet(self, found: dict[int, bytes]) -> None:
        header = found.get(NFQA_PACKET_HDR, b"")
        if len(header) >= 4:
            verdict = struct.pack(">I", NF_STOP) + header[:4]
            self.send(NFQNL_MSG_VERDICT, encode_attribute(NFQA_VERDICT_HDR, verdict))
