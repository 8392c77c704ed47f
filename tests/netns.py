"""Network namespaces for tests: whatever runs inside never touches the host's interfaces.

with private_netns() as home: …      the calling thread, and every thread it starts, is inside
run_in(fd, function)                 the function's result, from a thread that is in namespace `fd`
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeVar

from sampan.linux import netns, sysctl
from sampan.linux.constants import CLONE_NEWNET
from sampan.linux.kernel import LinuxKernel
from sampan.linux.netlink import Rtnl
from sampan.linux.netns import open_own, run_on_new_thread

T = TypeVar("T")

KERNEL = LinuxKernel()
ICMP_ECHO = 8


def raise_loopback() -> None:
    with Rtnl() as rtnl:
        rtnl.set_link(1, up=True)


@contextmanager
def private_netns() -> Iterator[int]:
    """A fresh namespace, its loopback up and its forwarding off, and its descriptor."""
    outer = open_own()
    try:
        KERNEL.unshare(CLONE_NEWNET)
        try:
            raise_loopback()
            # A new namespace begins with the host's values, which may be anything.
            sysctl.write("0", "net", "ipv4", "ip_forward")
            inner = open_own()
            try:
                yield inner
            finally:
                os.close(inner)
        finally:
            KERNEL.setns(outer, CLONE_NEWNET)
    finally:
        os.close(outer)


def run_in(fd: int, function: Callable[[], T]) -> T:
    def body() -> T:
        KERNEL.setns(fd, CLONE_NEWNET)
        return function()

    return run_on_new_thread(body)


@dataclass
class Neighbour:
    """A host on the other side of a veth: `address` is its own, `uplink` the name on our side."""

    fd: int
    address: str
    uplink: str

    def close(self) -> None:
        os.close(self.fd)


def add_neighbour(uplink: str, *, subnet: str) -> Neighbour:
    """A namespace of its own with .2 in /24 `subnet`; our end of the link has .1."""
    fd = netns.create(KERNEL, raise_loopback)
    base = int(IPv4Address(subnet))
    near, far = IPv4Address(base + 1), IPv4Address(base + 2)
    with Rtnl() as rtnl:
        rtnl.add_veth(uplink, peer_name="wan0", peer_netns_fd=fd)
        index = rtnl.link(uplink).index
        rtnl.set_link(index, up=True)
        rtnl.add_address(index, near, 24)

        def configure() -> None:
            with Rtnl() as inner:
                own = inner.link("wan0").index
                inner.set_link(own, up=True)
                inner.add_address(own, far, 24)

        run_in(fd, configure)
        wait_for(lambda: rtnl.link(index).operational)
    return Neighbour(fd, str(far), uplink)


def wait_for(condition: Callable[[], object], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(fd: int, address: str, *, timeout: float = 3.0) -> float | None:
    """Seconds until the answer to one echo request from namespace `fd`; None without one."""

    def body() -> float | None:
        head = struct.pack("!BBHHH", ICMP_ECHO, 0, 0, os.getpid() & 0xFFFF, 1)
        packet = struct.pack("!BBHHH", ICMP_ECHO, 0, checksum(head), os.getpid() & 0xFFFF, 1)
        begin = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            try:
                sock.connect((address, 0))
                sock.send(packet)
                while (left := begin + timeout - time.monotonic()) > 0:
                    sock.settimeout(left)
                    answer = sock.recv(512)
                    if answer[20] == 0:  # behind the IPv4 header: an echo reply
                        return time.monotonic() - begin
            except OSError:
                return None
        return None

    return run_in(fd, body)


def listen_tcp(fd: int, address: str = "0.0.0.0") -> socket.socket:
    """A listening socket in namespace `fd`; its port is the kernel's choice."""

    def body() -> socket.socket:
        sock = socket.create_server((address, 0))
        sock.settimeout(10)
        return sock

    return run_in(fd, body)


def connect_tcp(fd: int, address: tuple[str, int], *, timeout: float = 3.0) -> socket.socket:
    """A connection from namespace `fd`; raises OSError when there is no answer in time."""
    return run_in(fd, lambda: socket.create_connection(address, timeout=timeout))
