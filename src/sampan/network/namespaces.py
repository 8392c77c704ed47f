"""Network namespaces for containers: how they are made, and a few kept ready.

A new namespace costs the better part of a millisecond, a veth pair as much again; a container that
starts takes one from the pool, which is filled again a moment later, one piece at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from sampan.linux import netns, sysctl
from sampan.linux.netlink import Rtnl
from sampan.linux.netlink.messages import RT_TABLE_MAIN
from sampan.linux.netns import NetworkThread
from sampan.network.endpoint import READY, link_alias
from sampan.network.host import KernelSwitches, Links, Switches, quiet_ipv6
from sampan.network.wiring import Port, ReadyPair, Wiring, make_pair

log = logging.getLogger(__name__)

REFILL_DELAY = 0.05  # seconds: after the answer to the request that emptied a place


def create_bare(kernel: netns.Kernel) -> int:
    """A namespace with `lo` up; links that come later have no IPv6. Blocking."""
    return netns.create(kernel, _prepare)


def prepare_bare(kernel: netns.Kernel, fd: int) -> None:
    """Make a new namespace such a one. Blocking, on a `NetworkThread` only."""
    with netns.visit(kernel, fd):
        _prepare()


def _prepare() -> None:
    quiet_ipv6(KernelSwitches(), "default")
    with Rtnl() as rtnl:
        rtnl.set_link(1, up=True)


def set_inside(
    kernel: netns.Kernel,
    fd: int,
    settings: Sequence[tuple[tuple[str, ...], str]],
    more: Sequence[tuple[str, IPv4Interface | IPv6Interface]] = (),
) -> None:
    """Kernel settings of a namespace's interfaces, and addresses more. Blocking, as above."""
    with netns.visit(kernel, fd):
        for parts, value in settings:
            sysctl.write(value, *parts)
        if not more:
            return
        with Rtnl() as rtnl:
            for name, address in more:
                index = rtnl.link(name).index
                rtnl.add_address(index, address.ip, address.network.prefixlen)


def create_wired(
    kernel: netns.Kernel, host: Links, switches: Switches, port: Port
) -> tuple[int, ReadyPair]:
    """A bare one with a veth in it as `eth0`, the other end in the bridge. Blocking, as above."""
    fd = create_bare(kernel)
    try:
        with open_inside(kernel, fd) as inside:
            name = f"sv{os.urandom(6).hex()[:11]}"
            wiring = Wiring(host, switches, inside, fd)
            pair = make_pair(wiring, name, port, alias=link_alias(port.bridge, READY))
    except BaseException:
        os.close(fd)
        raise
    return fd, pair


def open_inside(kernel: netns.Kernel, fd: int) -> Rtnl:
    """A socket in the namespace. Blocking, on a `NetworkThread` only."""
    with netns.visit(kernel, fd):
        return Rtnl()


def replace_default_routes(
    kernel: netns.Kernel, fd: int, gateways: Sequence[IPv4Address | IPv6Address]
) -> None:
    """Default routes through these gateways, and no others. Blocking, as above."""
    with open_inside(kernel, fd) as inside:
        for route in inside.routes():
            if route.destination is None and route.table == RT_TABLE_MAIN and route.gateway:
                inside.delete_route(None, gateway=route.gateway, index=route.index)
        for gateway in gateways:
            inside.add_route(None, gateway=gateway)


class NamespacePool:
    """Ready namespaces; `make` is called on the thread. Belongs to one event loop."""

    def __init__(self, thread: NetworkThread, make: Callable[[], int], *, size: int) -> None:
        self._thread = thread
        self._make = make
        self._size = size
        self._ready: deque[int] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._pending: Future[int] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    async def take(self) -> int:
        """A descriptor, the caller's from now on."""
        self.refill_later()
        if self._ready:
            return self._ready.popleft()
        future = self._thread.submit(self._make)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close_result)
            raise

    def refill_later(self) -> None:
        if self._timer is None and self._pending is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(REFILL_DELAY, self._refill)

    def drain(self) -> None:
        """Drop what is ready, because what it was made for has changed."""
        while self._ready:
            os.close(self._ready.popleft())

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._pending is not None:
            await asyncio.gather(asyncio.wrap_future(self._pending), return_exceptions=True)
        self.drain()

    def _refill(self) -> None:
        self._timer = None
        if self._closed or len(self._ready) >= self._size:
            return
        loop = asyncio.get_running_loop()
        self._pending = self._thread.submit(self._make)
        self._pending.add_done_callback(
            lambda future: loop.call_soon_threadsafe(self._arrived, future)
        )

    def _arrived(self, future: Future[int]) -> None:
        self._pending = None
        error = future.exception()
        if error is not None:
            # Not tried again by itself: whoever needs a namespace next makes one and sees the error.
            log.warning("cannot prepare a network namespace: %s", error)
            return
        if self._closed:
            os.close(future.result())
            return
        self._ready.append(future.result())
        self._refill()


def _close_result(future: Future[int]) -> None:
    if not future.cancelled() and future.exception() is None:
        os.close(future.result())
