"""Networks: the three that are always there, to be looked at. Networks of users are out of scope."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sampan.api.call import Call
from sampan.api.query import Filters
from sampan.api.routing import Route
from sampan.api.views.networking import network_id, networks
from sampan.engine import filters as rules
from sampan.engine import times
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.errors import Forbidden, InvalidParameter, NotFound, NotImplementedHere

_ACCEPTED = ("dangling", "driver", "id", "label", "name", "scope", "type")


def all_networks(call: Call) -> list[dict[str, Any]]:
    found = [
        _network("host", network_id("host"), "host"),
        _network("none", network_id("none"), "null"),
    ]
    bridge = call.services.networks.default
    if bridge is None:
        return found
    body = _network("bridge", bridge.network_id, "bridge")
    body["IPAM"]["Config"] = [{"Subnet": str(bridge.subnet), "Gateway": str(bridge.gateway)}]
    config = call.services.config
    body["Options"] = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": _word(config.icc),
        "com.docker.network.bridge.enable_ip_masquerade": _word(config.ip_masq),
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": bridge.name,
        "com.docker.network.driver.mtu": str(config.mtu),
    }
    return [body, *found]


def _word(value: bool) -> str:
    return "true" if value else "false"


def _network(name: str, identifier: str, driver: str) -> dict[str, Any]:
    return {
        "Name": name,
        "Id": identifier,
        "Created": times.ZERO,  # they have always been there
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


async def list_networks(call: Call) -> web.StreamResponse:
    filters = call.query.filters()
    rules.check_filters(filters, _ACCEPTED)
    dangling = rules.boolean(filters, "dangling")
    found = [body for body in all_networks(call) if _wanted(body, filters)]
    # Networks that are always there are never dangling, used or not.
    return call.view("Network", [] if dangling else found)


def _wanted(body: dict[str, Any], filters: Filters) -> bool:
    names, kinds = filters.get("name"), filters.get("type")
    for kind in kinds or ():
        if kind not in ("builtin", "custom"):
            raise InvalidParameter(f"invalid filter: 'type'='{kind}'")
    return (
        (not names or any(name in body["Name"] for name in names))
        and rules.prefix(filters, "id", body["Id"])
        and rules.exact(filters, "driver", body["Driver"])
        and rules.exact(filters, "scope", body["Scope"])
        and rules.labels_hold(filters, "label", body["Labels"])
        and (not kinds or "builtin" in kinds)
    )


def find(call: Call) -> dict[str, Any]:
    """By id, name or unique prefix of the id. Raises NotFound, InvalidParameter."""
    everyone = all_networks(call)
    for body in everyone:
        if call.name in (body["Id"], body["Name"]):
            return body
    begun = [body for body in everyone if call.name and body["Id"].startswith(call.name)]
    if len(begun) > 1:
        raise InvalidParameter(
            f"network {call.name} is ambiguous ({len(begun)} matches found based on ID prefix)"
        )
    if not begun:
        raise NotFound(f"network {call.name} not found")
    return begun[0]


async def inspect_network(call: Call) -> web.StreamResponse:
    body = find(call)
    for record in call.services.containers.all():
        if record.state.alive and body["Name"] in networks(record):
            body["Containers"][record.id] = _member(record, body["Name"])
    return call.view("Network", body)


def _member(record: ContainerRecord, name: str) -> dict[str, str]:
    endpoint = record.endpoints.get(name, Endpoint())
    return {
        "Name": record.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix}" if endpoint.address else "",
        "IPv6Address": "",
    }


async def remove_network(call: Call) -> web.StreamResponse:
    body = find(call)
    raise Forbidden(f"{body['Name']} is a pre-defined network and cannot be removed")


async def prune_networks(call: Call) -> web.StreamResponse:
    return call.answer({"NetworksDeleted": None})


async def not_here(call: Call) -> web.StreamResponse:
    raise NotImplementedHere("this engine has no networks besides bridge, host and none")


ROUTES = [
    Route("GET", "/networks", list_networks),
    Route("POST", "/networks/create", not_here),
    Route("POST", "/networks/prune", prune_networks),
    Route("GET", "/networks/{name}", inspect_network),
    Route("DELETE", "/networks/{name}", remove_network),
    Route("POST", "/networks/{name}/connect", not_here),
    Route("POST", "/networks/{name}/disconnect", not_here),
]
