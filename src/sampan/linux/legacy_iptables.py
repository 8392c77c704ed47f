"""The old iptables' policy for forwarded packets, by its own socket options: nftables does not see it.

Structures and constants: linux/netfilter_ipv4/ip_tables.h, linux/netfilter/x_tables.h.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES = 64, 65
NF_INET_FORWARD = 2
NF_DROP_VERDICT = -1  # of a standard target: -NF_DROP - 1
_NAME = struct.Struct("=32s")
_INFO = struct.Struct("=32sI5I5III")  # ipt_getinfo
_ENTRIES = struct.Struct("=32sI4x")  # ipt_get_entries, padded for the 64-bit counters behind it
_TARGET_OFFSET = 88  # in ipt_entry
_TARGET_HEADER = 32  # xt_entry_target, before the verdict
MAX_SIZE = 16 << 20


def forward_policy_drops() -> tuple[bool, bytes]:
    """Of IPv4's table `filter` in this network namespace, and all its entries, in which names of chains stand.

    Asking makes the table: ask only where there is one (`ip_tables_names`). Raises OSError."""
    with socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW
    ) as sock:
        raw = _get(sock, IPT_SO_GET_INFO, _NAME.pack(b"filter").ljust(_INFO.size, b"\0"))
        fields = _INFO.unpack(raw)
        underflow, size = fields[7 + NF_INET_FORWARD], fields[13]
        if size > MAX_SIZE:
            raise OSError(errno.E2BIG, "the filters of iptables are too many to read")
        request = _ENTRIES.pack(b"filter", size) + bytes(size)
        entries = _get(sock, IPT_SO_GET_ENTRIES, request)[_ENTRIES.size :]
    return policy_at(entries, underflow) == NF_DROP_VERDICT, entries


def policy_at(entries: bytes, underflow: int) -> int:
    """The verdict of the rule that is a chain's policy."""
    (offset,) = struct.unpack_from("=H", entries, underflow + _TARGET_OFFSET)
    (verdict,) = struct.unpack_from("=i", entries, underflow + offset + _TARGET_HEADER)
    return int(verdict)


def _get(sock: socket.socket, option: int, request: bytes) -> bytes:
    """getsockopt whose buffer carries a request, which `socket.getsockopt` cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.getsockopt.argtypes = [
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    libc.getsockopt.restype = ctypes.c_int
    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    if libc.getsockopt(sock.fileno(), socket.IPPROTO_IP, option, buffer, ctypes.byref(length)):
        number = ctypes.get_errno()
        raise OSError(number, f"iptables: {errno.errorcode.get(number, number)}")
    return buffer.raw
