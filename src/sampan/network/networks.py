"""`Networks`: everything of the daemon that has to do with networks, started and stopped as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from sampan.errors import SampanError
from sampan.linux.kernel import LinuxKernel
from sampan.linux.netlink import Rtnl
from sampan.linux.netns import Kernel, NetworkThread
from sampan.linux.nft import open_nft
from sampan.network.bridge import Bridge
from sampan.network.config import NO_BRIDGE, NetworkConfig
from sampan.network.endpoint import Endpoint
from sampan.network.firewall import check_interface_name
from sampan.network.host import Host, KernelSwitches
from sampan.network.namespaces import NamespacePool, create_bare
from sampan.network.setup import set_up

T = TypeVar("T")


class Networks:
    """`default` is None when the configuration says bridge "none"."""

    def __init__(self, thread: NetworkThread, kernel: Kernel, config: NetworkConfig) -> None:
        self._thread = thread
        self._kernel = kernel
        self._config = config
        self._host: Host | None = None
        self._namespaces = NamespacePool(thread, self._create_bare, size=min(config.ready, 1))
        self.default: Bridge | None = None

    @classmethod
    async def start(cls, config: NetworkConfig, kernel: Kernel | None = None) -> Networks:
        """In the network namespace of the calling thread. Raises SampanError and leaves nothing."""
        networks = cls(NetworkThread(), kernel or LinuxKernel(), config)
        try:
            if config.bridge != NO_BRIDGE:
                await networks._start_bridge()
        except BaseException:
            await networks.stop()
            raise
        networks._namespaces.refill_later()
        if networks.default is not None:
            networks.default.prepare()
        return networks

    async def create_namespace(self) -> int:
        """A namespace with nothing but `lo`; the caller closes the descriptor."""
        return await self._namespaces.take()

    async def reconcile(self, live: Iterable[Endpoint] = ()) -> list[str]:
        return [] if self.default is None else await self.default.reconcile(live)

    async def stop(self, *, remove: bool = False) -> None:
        """Containers that run keep their network; `remove` takes bridge and rules away as well."""
        await self._namespaces.close()
        try:
            if self.default is not None:
                await self.default.stop(remove=remove)
        finally:
            await self._run(self._close_host)
            self._thread.close()

    async def _start_bridge(self) -> None:
        check_interface_name(self._config.bridge)
        try:
            self._host = await self._run(_open_host)
            host = self._host
            facts = await self._run(lambda: set_up(host, self._config))
        except OSError as error:
            raise SampanError(
                f"Error initializing network controller: bridge {self._config.bridge}: {error}"
            ) from error
        self.default = Bridge(self._thread, host, self._kernel, self._config, facts)

    def _create_bare(self) -> int:
        fd = create_bare(self._kernel)
        if self.default is not None:
            self.default.forget_pair(fd)
        return fd

    def _close_host(self) -> None:
        if self._host is not None:
            self._host.links.close()
            self._host.nft.close()
            self._host = None

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(function))


def _open_host() -> Host:
    """On the network thread: sockets and the nft context belong to the namespace they are made in."""
    links = Rtnl()
    try:
        return Host(links, KernelSwitches(), open_nft())
    except BaseException:
        links.close()
        raise
