"""The network room and the rows of networks, in memory: they record, and fail on demand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_address
from types import SimpleNamespace
from typing import Any

from sampan.engine.network.registry import NetworkRegistry
from sampan.errors import Conflict
from sampan.network.config import BridgeConfig, ParentConfig
from sampan.network.endpoint import Endpoint
from sampan.network.exposure import Exposure
from sampan.network.naming import Naming
from sampan.network.overlay import Overlay, OverlayWish
from sampan.network.warden.holds import Held, Refused, Wanted


class FakeBridge:
    """`fail` names the method that raises what is in it."""

    def __init__(
        self,
        network_id: str = "b" * 64,
        name: str = "sampan0",
        subnet: str = "10.9.0.0/24",
        plugged: dict[str, Endpoint] | None = None,
    ) -> None:
        self.network_id = network_id
        self.name = name
        self.subnet = IPv4Network(subnet)
        self.gateway: IPv4Address = self.subnet[1]
        self.gateway6: object = None
        self.subnet6: object = None
        self.plugged: dict[str, Endpoint] = {}
        self.fail: dict[str, Exception] = {}
        self.released: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.up = False

    async def create_namespace(self) -> int:
        if "create_namespace" in self.fail:
            raise self.fail["create_namespace"]
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    async def plug(
        self,
        container_id: str,
        netns_fd: int,
        *,
        mac: str = "",
        address: str = "",
        address6: str = "",
        inside_name: str = "eth0",
        default_route: bool = True,
        up: bool = True,
    ) -> Endpoint:
        os.fstat(netns_fd)
        self.asked.append({"inside_name": inside_name, "default_route": default_route})
        self.up = up
        if "plug" in self.fail:
            raise self.fail["plug"]
        endpoint = Endpoint(
            network_id=self.network_id,
            endpoint_id=f"{len(self.plugged):064x}",
            container_id=container_id,
            address=address or str(self.subnet[2 + len(self.plugged)]),
            prefix=self.subnet.prefixlen,
            gateway=str(self.gateway),
            mac=mac or "02:42:0a:09:00:02",
            host_interface="sv0",
            inside_name=inside_name,
        )
        self.plugged[container_id] = endpoint
        return endpoint

    async def bring_up(self, endpoint: Endpoint) -> None:
        if "bring_up" in self.fail:
            raise self.fail["bring_up"]
        self.up = True

    async def release(self, endpoint: Endpoint) -> None:
        self.released.append(endpoint.container_id)
        self.plugged.pop(endpoint.container_id, None)

    async def unplug(self, endpoint: Endpoint, netns_fd: int | None = None) -> None:
        await self.release(endpoint)

    def restore(self, endpoint: Endpoint) -> None:
        self.plugged[endpoint.container_id] = endpoint


class FakeNetworks:
    def __init__(self, default: FakeBridge | None = None) -> None:
        self.bridge_of_all = default or FakeBridge()
        self.default: FakeBridge | None = self.bridge_of_all
        self.bridges = {self.bridge_of_all.network_id: self.bridge_of_all}
        self.held: dict[str, list[Held]] = {}
        self.open: dict[str, list[str]] = {}
        self.namings: dict[str, Naming] = {}
        self.routes: list[list[str]] = []
        self.spared: list[str] = []
        self.refuse: Refused | None = None
        self.reconciled = 0
        self.running: dict[str, bool] = {}
        self.on_refused: Callable[[str, dict[str, str]], None] = lambda owner, refusal: None

    async def create_namespace(self) -> int:
        return await self.bridge_of_all.create_namespace()

    async def set_inside(
        self,
        netns_fd: int,
        settings: Sequence[tuple[tuple[str, ...], str]],
        more: Sequence[tuple[str, IPv4Interface | IPv6Interface]] = (),
    ) -> None:
        self.settings = [*settings]
        self.more = [*more]

    def bridge(self, network_id: str) -> FakeBridge | None:
        return self.bridges.get(network_id)

    async def add_bridge(self, config: BridgeConfig) -> FakeBridge:
        if config.network_id in self.bridges:
            raise Conflict("it is there")
        subnet = str(config.gateway.network) if config.gateway else f"10.{len(self.bridges)}.0.0/24"
        bridge = FakeBridge(config.network_id, config.bridge, subnet)
        if config.gateway:
            bridge.gateway = config.gateway.ip
        self.bridges[config.network_id] = bridge
        return bridge

    async def add_parented(self, config: ParentConfig) -> FakeBridge:
        subnet = str(config.gateway.network) if config.gateway else "10.99.0.0/24"
        bridge = FakeBridge(config.network_id, config.parent, subnet)
        self.bridges[config.network_id] = bridge
        return bridge

    async def settle_overlay(self, wish: OverlayWish, known: str = "") -> tuple[Overlay, int]:
        local = wish.local or ip_address("192.0.2.1")
        peers = tuple(item for item in wish.peers if item != local)
        return Overlay(vni=wish.vni, port=wish.port, local=local, peers=peers), wish.mtu or 1450

    def spare(self, network_id: str, link: str) -> None:
        self.spared.append(link)

    async def remove_bridge(self, network_id: str) -> None:
        self.bridges.pop(network_id, None)

    async def set_default_route(self, netns_fd: int, gateways: Sequence[str]) -> None:
        self.routes.append(list(gateways))

    async def reserve_ports(self, owner: str, wishes: Sequence[Wanted]) -> list[Held]:
        if self.refuse is not None:
            raise self.refuse
        self.held[owner] = [
            Held(w.protocol, address, w.first or 40000, w.container_port, w.count)
            for w in wishes
            for address in w.addresses or ("0.0.0.0", "::")
        ]
        return self.held[owner]

    async def open_ports(self, owner: str, held: Sequence[Held], addresses: Sequence[str]) -> None:
        self.open[owner] = list(addresses)

    async def expose(self, held: Sequence[Held]) -> list[list[Exposure]]:
        return [[Exposure(item, True, "everywhere", "a rule", ())] for item in held]

    async def close_ports(self, owner: str) -> None:
        self.held.pop(owner, None)
        self.open.pop(owner, None)

    async def restore_ports(
        self, owner: str, held: Sequence[Held], addresses: Sequence[str]
    ) -> None:
        self.held[owner] = list(held)
        await self.open_ports(owner, held, addresses)

    async def serve_names(self, owner: str, netns_fd: int, naming: Naming) -> None:
        os.fstat(netns_fd)
        self.namings[owner] = naming

    async def forget_names(self, owner: str) -> None:
        self.namings.pop(owner, None)

    async def reconcile(
        self, live: Iterable[Endpoint] = (), running: Mapping[str, bool] | None = None
    ) -> list[str]:
        self.reconciled += 1
        self.running = dict(running or {})
        return []


class FakeNetworkRows:
    """`store.metadata.networks`."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, bytes]] = {}

    def put(self, network_id: str, name: str, body: bytes) -> None:
        self.rows[network_id] = (name, body)

    def delete(self, network_id: str) -> None:
        self.rows.pop(network_id, None)

    def all(self) -> list[Any]:
        return [
            SimpleNamespace(id=key, name=name, body=body) for key, (name, body) in self.rows.items()
        ]


def fake_registry() -> NetworkRegistry:
    metadata: Any = SimpleNamespace(networks=FakeNetworkRows())
    return NetworkRegistry(metadata)
