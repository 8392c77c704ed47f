"""Networks: list, create, inspect, connect, disconnect, remove, prune."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import Struct, field

from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.views.networks import network_body
from sampan.engine.network.connect import connect_network, disconnect_network
from sampan.engine.network.create import create_network
from sampan.engine.network.query import inspect_network, list_networks
from sampan.engine.network.records import NetworkRecord, Subnet
from sampan.engine.network.remove import prune_networks, remove_network
from sampan.errors import InvalidParameter
from sampan.spec.container import EndpointSettings


class IPAMConfig(Struct, kw_only=True):
    subnet: str = field(default="", name="Subnet")
    ip_range: str = field(default="", name="IPRange")
    gateway: str = field(default="", name="Gateway")
    auxiliary: dict[str, str] | None = field(default=None, name="AuxiliaryAddresses")


class IPAM(Struct, kw_only=True):
    driver: str = field(default="", name="Driver")
    config: list[IPAMConfig] | None = field(default=None, name="Config")
    options: dict[str, str] | None = field(default=None, name="Options")


class ConfigReference(Struct, kw_only=True):
    network: str = field(default="", name="Network")


class NetworkCreateRequest(Struct, kw_only=True):
    """Body of POST /networks/create."""

    name: str = field(default="", name="Name")
    check_duplicate: bool = field(default=False, name="CheckDuplicate")
    driver: str = field(default="", name="Driver")
    scope: str = field(default="", name="Scope")
    internal: bool = field(default=False, name="Internal")
    attachable: bool = field(default=False, name="Attachable")
    ingress: bool = field(default=False, name="Ingress")
    config_only: bool = field(default=False, name="ConfigOnly")
    config_from: ConfigReference | None = field(default=None, name="ConfigFrom")
    ipam: IPAM | None = field(default=None, name="IPAM")
    enable_ipv4: bool | None = field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = field(default=None, name="EnableIPv6")
    options: dict[str, str] | None = field(default=None, name="Options")
    labels: dict[str, str] | None = field(default=None, name="Labels")

    def record(self) -> NetworkRecord:
        """What is wanted. Raises InvalidParameter for what this engine has not."""
        if self.ingress:
            raise InvalidParameter("Ingress network can only be global scope network")
        if self.scope not in ("", "local"):
            raise InvalidParameter("cannot create a swarm scoped network when swarm is not active")
        ipam = self.ipam or IPAM()
        if ipam.driver not in ("", "default"):
            raise InvalidParameter(f'failed to find ipam driver "{ipam.driver}"')
        return NetworkRecord(
            id="",
            name=self.name,
            created=0,
            driver=self.driver or "bridge",
            internal=self.internal,
            attachable=self.attachable,
            config_only=self.config_only,
            config_from=self.config_from.network if self.config_from else "",
            ipv4=self.enable_ipv4 is not False,
            ipv6=bool(self.enable_ipv6),
            subnets=tuple(
                Subnet(
                    subnet=item.subnet,
                    gateway=item.gateway,
                    ip_range=item.ip_range,
                    auxiliary=item.auxiliary or {},
                )
                for item in ipam.config or []
                if item.subnet
            ),
            ipam_options=ipam.options or {},
            options=self.options or {},
            labels=self.labels or {},
        )


class ConnectRequest(Struct, kw_only=True):
    """Body of POST /networks/{id}/connect."""

    container: str = field(default="", name="Container")
    endpoint: EndpointSettings | None = field(default=None, name="EndpointConfig")


class DisconnectRequest(Struct, kw_only=True):
    """Body of POST /networks/{id}/disconnect."""

    container: str = field(default="", name="Container")
    force: bool = field(default=False, name="Force")


async def list_all(call: Call) -> web.StreamResponse:
    found = list_networks(call.services, call.query.filters())
    bodies: list[dict[str, Any]] = [network_body(call.services, item) for item in found]
    return call.view("Network", bodies)


async def create(call: Call) -> web.StreamResponse:
    wanted = await call.json(NetworkCreateRequest, required=True)
    said = wanted.enable_ipv6 is not None
    record = await create_network(call.services, wanted.record(), ipv6_said=said)
    return call.answer({"Id": record.id, "Warning": ""}, status=201)


async def inspect(call: Call) -> web.StreamResponse:
    record = inspect_network(call.services, call.name)
    return call.view("Network", network_body(call.services, record, containers=True))


async def connect(call: Call) -> web.StreamResponse:
    wanted = await call.json(ConnectRequest, required=True)
    await connect_network(call.services, call.name, wanted.container, wanted.endpoint)
    return call.empty(200)


async def disconnect(call: Call) -> web.StreamResponse:
    wanted = await call.json(DisconnectRequest, required=True)
    await disconnect_network(call.services, call.name, wanted.container, force=wanted.force)
    return call.empty(200)


async def remove(call: Call) -> web.StreamResponse:
    await remove_network(call.services, call.name)
    return call.empty()


async def prune(call: Call) -> web.StreamResponse:
    gone = await prune_networks(call.services, call.query.filters())
    return call.answer({"NetworksDeleted": gone or None})


ROUTES = [
    Route("GET", "/networks", list_all),
    Route("POST", "/networks/create", create),
    Route("POST", "/networks/prune", prune),
    Route("GET", "/networks/{name}", inspect),
    Route("DELETE", "/networks/{name}", remove),
    Route("POST", "/networks/{name}/connect", connect),
    Route("POST", "/networks/{name}/disconnect", disconnect),
]
