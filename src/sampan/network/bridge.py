"""`Bridge`, a network of the driver `bridge`: a container is plugged in, released, and found again.

Address book-keeping happens on the event loop and is never awaited; what touches the kernel runs on
one `NetworkThread`, in order. An address is given out again once the link that had it is cut. Links
whose namespace does not take them along are swept up a little later.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from sampan.errors import SampanError
from sampan.linux import netns
from sampan.linux.netns import Kernel, NetworkThread
from sampan.network.config import BridgeConfig
from sampan.network.container_network import ContainerNetwork
from sampan.network.endpoint import (
    INSIDE_NAME,
    Endpoint,
    host_interface_name,
    link_alias,
)
from sampan.network.host import Host
from sampan.network.namespaces import NamespacePool, create_wired, open_inside
from sampan.network.overlay import Overlay
from sampan.network.plan import run_plan
from sampan.network.setup import BridgeFacts, mend_ports, set_up, tear_down
from sampan.network.wiring import (
    ReadyPair,
    Wiring,
    cut_wire,
    plan_plug,
    raise_link,
    remove_own_pair,
)

log = logging.getLogger(__name__)

SWEEP_DELAY = 5.0  # seconds: by then the kernel has taken down the namespaces of ended containers


class Bridge(ContainerNetwork):
    """Made by `Networks`. All methods belong to its event loop."""

    def __init__(
        self,
        thread: NetworkThread,
        host: Host,
        kernel: Kernel,
        config: BridgeConfig,
        facts: BridgeFacts,
    ) -> None:
        # A bridge that has to be made again gets the address its containers route through.
        self._config = replace(config, gateway=facts.gateway)
        super().__init__(thread, self._config)
        self._host = host
        self._kernel = kernel
        self._facts = facts
        self._pairs: dict[int, ReadyPair] = {}  # by the inode of the namespace they wait in
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._namespaces = NamespacePool(thread, self._create_wired, size=config.ready)

    @property
    def name(self) -> str:
        return self._config.bridge

    @property
    def internal(self) -> bool:
        return self._config.internal

    @property
    def mtu(self) -> int:
        return self._config.mtu

    def prepare(self) -> None:
        """Have namespaces ready for the first containers, a moment later."""
        self._namespaces.refill_later()

    async def create_namespace(self) -> int:
        """A namespace that `plug` finds half done; the caller closes the descriptor."""
        return await self._namespaces.take()

    async def plug(
        self,
        container_id: str,
        netns_fd: int,
        *,
        mac: str = "",
        address: str = "",
        address6: str = "",
        inside_name: str = INSIDE_NAME,
        default_route: bool = True,
        up: bool = True,
    ) -> Endpoint:
        """Connect a namespace: address, link, default route. All or nothing. Not `up`: nothing passes
        before `bring_up`; a link that was ready already is up.

        `netns_fd` stays the caller's and open until this returns. Empty addresses: the next free.
        Raises Conflict, InvalidParameter, AddressesExhausted, SampanError, OSError.
        """
        pair = self._pairs.pop(os.fstat(netns_fd).st_ino, None)
        if pair is not None and inside_name != INSIDE_NAME:
            raise SampanError("the first network of a namespace is the one that it was made for")
        endpoint = self._reserve(container_id, mac, address, address6, inside_name, pair)
        self._endpoints[endpoint.endpoint_id] = endpoint
        routed = default_route and not self.internal
        job = self._thread.submit(lambda: self._connect(endpoint, netns_fd, pair, routed, up=up))
        try:
            await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # The job may be running; what follows it on the same thread takes everything back.
            self._disconnect_later(endpoint, self._disconnect)
            raise
        except BaseException:
            self._forget(endpoint)
            raise
        return endpoint

    async def bring_up(self, endpoint: Endpoint) -> None:
        """Of an endpoint that was plugged in without. Raises OSError."""
        await self._run(lambda: raise_link(self._host.links, endpoint.host_interface))

    async def release(self, endpoint: Endpoint) -> None:
        """Cut the link and free the addresses: the container ended. Done twice, it does nothing."""
        await self._let_go(endpoint, self._disconnect)

    async def unplug(self, endpoint: Endpoint, netns_fd: int | None = None) -> None:
        """Take the link out of a container that goes on; its namespace is not needed for it."""
        await self._let_go(endpoint, self._remove)

    async def _let_go(self, endpoint: Endpoint, how: Callable[[Endpoint], None]) -> None:
        try:
            await asyncio.shield(asyncio.wrap_future(self._disconnect_later(endpoint, how)))
        except OSError as error:
            raise SampanError(f"cannot release {endpoint.host_interface}: {error}") from error

    async def reconcile(self, live: Iterable[Endpoint] = ()) -> list[str]:
        """Make the host what the records say; names the stale links that were removed.

        What is plugged in or restored counts as live; `live` adds to it.
        """
        known = {endpoint.endpoint_id: endpoint for endpoint in live} | self._endpoints
        before = self._facts.port
        removed = await self._run(lambda: self._mend(list(known.values())))
        if self._facts.port != before:
            self._namespaces.drain()
        if self._config.ready:
            self.prepare()
        return removed

    def forget_pair(self, netns_fd: int) -> None:
        """`netns_fd` is new: what was known of an earlier namespace with its inode is past."""
        self._pairs.pop(os.fstat(netns_fd).st_ino, None)

    async def stop(self, *, remove: bool) -> None:
        """Bridge, rules and links stay as they are unless `remove`."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        await self._namespaces.close()
        if remove:
            await self._run(lambda: tear_down(self._host, self._config, self._facts))

    async def set_peers(self, peers: Sequence[IPv4Address | IPv6Address]) -> None:
        """The other hosts of a network across hosts, from now on. Raises SampanError, OSError."""
        assert self._config.overlay is not None
        overlay = replace(self._config.overlay, peers=tuple(peers))
        config = replace(self._config, overlay=overlay)
        self._facts = await self._run(lambda: set_up(self._host, config))
        self._config = config

    @property
    def overlay(self) -> Overlay | None:
        return self._config.overlay

    # On the network thread

    def _create_wired(self) -> int:
        fd, pair = create_wired(
            self._kernel, self._host.links, self._host.switches, self._facts.port
        )
        self._pairs[os.fstat(fd).st_ino] = pair
        return fd

    def _connect(
        self,
        endpoint: Endpoint,
        netns_fd: int,
        pair: ReadyPair | None,
        default_route: bool,
        *,
        up: bool,
    ) -> None:
        with open_inside(self._kernel, netns_fd) as inside:
            visit = partial(netns.visit, self._kernel, netns_fd)
            wiring = Wiring(self._host.links, self._host.switches, inside, netns_fd, visit)
            plan = plan_plug(endpoint, self._facts.port, pair, default_route=default_route, up=up)
            run_plan(plan, wiring)

    def _disconnect(self, endpoint: Endpoint) -> None:
        alias = link_alias(self.name, endpoint.container_id)
        cut_wire(self._host.links, endpoint.host_interface, alias)

    def _remove(self, endpoint: Endpoint) -> None:
        alias = link_alias(self.name, endpoint.container_id)
        remove_own_pair(self._host.links, endpoint.host_interface, alias)

    def _mend(self, live: list[Endpoint]) -> list[str]:
        self._facts = set_up(self._host, self._config)
        return mend_ports(self._host, self._facts.port, live)

    def _sweep(self, live: list[Endpoint]) -> None:
        mend_ports(self._host, self._facts.port, live)
        present = {link.name for link in self._host.links.links()}
        for inode, pair in list(self._pairs.items()):
            if pair.name not in present:
                self._pairs.pop(inode, None)

    # On the loop

    def _reserve(
        self,
        container_id: str,
        mac: str,
        address: str,
        address6: str,
        inside_name: str,
        pair: ReadyPair | None,
    ) -> Endpoint:
        got = self._addresses.reserve(address, address6)
        return self._build(
            got,
            container_id,
            mac=mac,
            inside_name=inside_name,
            name_host_interface=lambda endpoint_id: (
                pair.name if pair else host_interface_name(container_id, endpoint_id)
            ),
        )

    def _disconnect_later(
        self, endpoint: Endpoint, how: Callable[[Endpoint], None]
    ) -> Future[None]:
        loop = asyncio.get_running_loop()
        job = self._thread.submit(lambda: how(endpoint))
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._forget, endpoint))
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(SWEEP_DELAY, self._start_sweep)
        return job

    def _start_sweep(self) -> None:
        self._sweep_timer = None
        live = self.endpoints
        self._thread.submit(lambda: self._sweep(live)).add_done_callback(_log_failure)


def _log_failure(future: Future[None]) -> None:
    error = future.exception()
    if error is not None:
        log.warning("cannot sweep up the links of ended containers: %s", error)
