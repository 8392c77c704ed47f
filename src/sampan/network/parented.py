"""`Parented`, a network of the driver `macvlan` or `ipvlan`: containers are the host's neighbours.

    the world ── parent ┬─ eth0  a container's namespace
                        └─ eth0  another's

There is no bridge, no rule of ours and no published port: what is on the parent's wire reaches the
containers, and the network's gateway is a router there. The host itself does not reach them (macvlan(8)).
A container's link is made in its namespace and dies with it, so that nothing of it is seen in the host.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_network

from sampan.errors import SampanError
from sampan.linux import netns
from sampan.linux.netns import Kernel, NetworkThread
from sampan.network.config import ParentConfig
from sampan.network.container_network import ContainerNetwork
from sampan.network.endpoint import INSIDE_NAME, Endpoint
from sampan.network.host import Host, delete_link_if_there, find_link, remove_link
from sampan.network.namespaces import open_inside
from sampan.network.parent import remove_parent, set_up_parent
from sampan.network.plan import Step, run_plan
from sampan.network.wiring import (
    AddDefaultRoute,
    AddInsideAddress,
    AllowInsideIPv6,
    Wiring,
)

IPVLAN = "ipvlan"
PASSTHRU = "passthru"
NAMESPACE_PATIENCE = 3.0  # seconds
NAMESPACE_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class MakeChild:
    config: ParentConfig
    endpoint: Endpoint

    def describe(self) -> str:
        return f"create {self.config.kind} {self.endpoint.inside_name} on {self.config.parent}"

    def execute(self, wiring: Wiring) -> None:
        config, name = self.config, self.endpoint.inside_name
        parent = wiring.host.link(config.parent).index
        fd = wiring.netns_fd
        if config.kind == IPVLAN:
            wiring.host.add_ipvlan(
                name, parent=parent, mode=config.mode, flag=config.flag, netns_fd=fd
            )
        else:
            # In this mode the MAC is the parent's, and setting it would change that one.
            mac = None if config.mode == PASSTHRU else self.endpoint.mac
            wiring.host.add_macvlan(name, parent=parent, mode=config.mode, netns_fd=fd, mac=mac)
        try:
            wiring.inside_index = wiring.inside.link(name).index
            wiring.inside.set_link(wiring.inside_index, up=True, mtu=config.mtu)
        except BaseException:
            self.undo(wiring)
            raise

    def undo(self, wiring: Wiring) -> None:
        remove_link(wiring.inside, self.endpoint.inside_name)


@dataclass(frozen=True, slots=True)
class RouteByLink:
    """Where there is no neighbour to be a router (ipvlan in layer 3)."""

    version: int

    def describe(self) -> str:
        return "route everything by it"

    def execute(self, wiring: Wiring) -> None:
        everything = ip_network("0.0.0.0/0" if self.version == 4 else "::/0")
        wiring.inside.add_route(everything, index=wiring.inside_index, replace=True)

    def undo(self, wiring: Wiring) -> None:
        """Goes with the link."""


def plan_child(
    config: ParentConfig, endpoint: Endpoint, *, default_route: bool
) -> Sequence[Step[Wiring]]:
    steps: list[Step[Wiring]] = [MakeChild(config, endpoint)]
    if endpoint.address6:
        steps.append(AllowInsideIPv6(endpoint.inside_name))
    steps += [AddInsideAddress(interface) for interface in endpoint.interfaces]
    if not default_route:
        return steps
    if config.kind == IPVLAN and config.mode != "l2":
        return [*steps, *(RouteByLink(each.version) for each in endpoint.interfaces)]
    return [*steps, *(AddDefaultRoute(gateway) for gateway in endpoint.gateways)]


class Parented(ContainerNetwork):
    """Made by `Networks`, with the doors of `Bridge`. All methods belong to its event loop."""

    def __init__(
        self,
        thread: NetworkThread,
        host: Host,
        kernel: Kernel,
        config: ParentConfig,
        create_namespace: Callable[[], Awaitable[int]],
    ) -> None:
        super().__init__(thread, config)
        self._host, self._kernel = host, kernel
        self._config = config
        self._bare = create_namespace

    @property
    def name(self) -> str:
        """Of its parent."""
        return self._config.parent

    async def set_up(self) -> None:
        """Raises InvalidParameter, SampanError."""
        config = self._config
        try:
            await self._run(
                lambda: set_up_parent(
                    self._host, config.parent, kind=config.kind, owner=config.owner
                )
            )
        except OSError as error:
            raise SampanError(
                f"cannot use {config.parent} for network {config.name}: {error}"
            ) from error

    async def create_namespace(self) -> int:
        return await self._bare()

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
        """As `Bridge.plug`; but the host has no end of its links that could be down."""
        got = self._addresses.reserve(address, address6)
        endpoint = self._build(got, container_id, mac=mac, inside_name=inside_name)
        routed = default_route and self._routed
        try:
            endpoint = await self._connected(endpoint, netns_fd, routed=routed)
        except BaseException:
            # A link that is made all the same goes with the namespace of the start that failed.
            self._addresses.release(got.values())
            raise
        self._endpoints[endpoint.endpoint_id] = endpoint
        return endpoint

    async def bring_up(self, endpoint: Endpoint) -> None:
        """It is up."""

    async def _connected(self, endpoint: Endpoint, netns_fd: int, *, routed: bool) -> Endpoint:
        """The MAC address may be that of a container which has just ended, until the kernel has taken its
        namespace down."""
        deadline = asyncio.get_running_loop().time() + NAMESPACE_PATIENCE
        while True:
            job = self._thread.submit(lambda: self._connect(endpoint, netns_fd, routed))
            try:
                return await asyncio.shield(asyncio.wrap_future(job))
            except OSError as error:
                late = asyncio.get_running_loop().time() > deadline
                if error.errno != errno.EADDRINUSE or late:
                    raise SampanError(
                        f"failed to create the {self._config.kind} port: {error}"
                    ) from error
            await asyncio.sleep(NAMESPACE_PAUSE)

    async def release(self, endpoint: Endpoint) -> None:
        """The link dies with its namespace."""
        self._forget(endpoint)

    async def unplug(self, endpoint: Endpoint, netns_fd: int | None = None) -> None:
        """Take the link out of a container that goes on, in this namespace."""
        if netns_fd is not None:
            try:
                await self._run(lambda: self._remove(endpoint, netns_fd))
            except OSError as error:
                raise SampanError(f"cannot remove {endpoint.inside_name}: {error}") from error
        self._forget(endpoint)

    async def stop(self, *, remove: bool) -> None:
        if remove:
            config = self._config
            await self._run(lambda: remove_parent(self._host, config.parent, owner=config.owner))

    # On the network thread

    def _connect(self, endpoint: Endpoint, netns_fd: int, default_route: bool) -> Endpoint:
        parent = find_link(self._host.links, self._config.parent)
        if parent is None:
            raise SampanError(
                f"the parent interface {self._config.parent} of network {self._config.name} is not "
                "there"
            )
        if self._config.kind == IPVLAN or self._config.mode == PASSTHRU:
            endpoint = replace(endpoint, mac=parent.mac)
        with open_inside(self._kernel, netns_fd) as inside:
            visit = partial(netns.visit, self._kernel, netns_fd)
            wiring = Wiring(self._host.links, self._host.switches, inside, netns_fd, visit)
            plan = plan_child(self._config, endpoint, default_route=default_route)
            run_plan(plan, wiring)
        return endpoint

    def _remove(self, endpoint: Endpoint, netns_fd: int) -> None:
        with open_inside(self._kernel, netns_fd) as inside:
            link = find_link(inside, endpoint.inside_name)
            if link is not None and link.kind == self._config.kind:
                delete_link_if_there(inside, link.index)
