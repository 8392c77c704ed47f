"""What the networks of all drivers have: their subnets, and who has which address. On the event loop, never awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from sampan.linux.netns import NetworkThread
from sampan.network.addresses import AddressBook, IPAddress
from sampan.network.config import BridgeConfig, ParentConfig
from sampan.network.endpoint import Endpoint, build_endpoint

T = TypeVar("T")


class ContainerNetwork:
    """`config.gateway` is chosen by now, where there is to be one."""

    def __init__(self, thread: NetworkThread, config: BridgeConfig | ParentConfig) -> None:
        self._thread = thread
        self._gateways = config.gateway, config.gateway6
        self._routed = not config.internal
        self._endpoints: dict[str, Endpoint] = {}
        self.network_id = config.network_id
        self._addresses = AddressBook(
            self._gateways,
            (config.allocation, config.allocation6),
            reserved=config.reserved,
            label=f"{config.name} ({config.network_id})",
        )

    @property
    def gateway(self) -> IPv4Address | None:
        found = self._gateways[0]
        return found.ip if found else None

    @property
    def subnet(self) -> IPv4Network | None:
        found = self._gateways[0]
        return found.network if found else None

    @property
    def gateway6(self) -> IPv6Address | None:
        found = self._gateways[1]
        return found.ip if found else None

    @property
    def subnet6(self) -> IPv6Network | None:
        found = self._gateways[1]
        return found.network if found else None

    @property
    def endpoints(self) -> list[Endpoint]:
        return list(self._endpoints.values())

    def restore(self, endpoint: Endpoint) -> None:
        """Take over a container that runs, from its record. Raises Conflict for a taken address.

        An address outside the present subnet (the configuration changed) is kept until it is released.
        """
        if endpoint.endpoint_id in self._endpoints:
            return
        self._addresses.take(endpoint.addresses)
        self._endpoints[endpoint.endpoint_id] = endpoint

    def _build(
        self,
        got: Mapping[int, IPAddress],
        container_id: str,
        *,
        mac: str,
        inside_name: str,
        name_host_interface: Callable[[str], str] = lambda endpoint_id: "",
    ) -> Endpoint:
        """A new one, with these addresses."""
        endpoint_id = os.urandom(32).hex()
        return build_endpoint(
            got,
            self._gateways,
            routed=self._routed,
            network_id=self.network_id,
            endpoint_id=endpoint_id,
            container_id=container_id,
            mac=mac,
            host_interface=name_host_interface(endpoint_id),
            inside_name=inside_name,
        )

    def _forget(self, endpoint: Endpoint) -> None:
        if self._endpoints.pop(endpoint.endpoint_id, None) is not None:
            self._addresses.release(endpoint.addresses)

    async def _run(self, function: Callable[[], T]) -> T:
        """On the network thread."""
        return await asyncio.wrap_future(self._thread.submit(function))
