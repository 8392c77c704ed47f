"""`--network` at the creation of a container: which networks it is to be in, checked. Reads records only."""

from __future__ import annotations

from sampan.engine import settings
from sampan.engine.network import egress, endpoint_options, plugs
from sampan.engine.network.making import present
from sampan.engine.network.plugs import check_addresses
from sampan.engine.network.records import BRIDGE, HOST, NONE, NetworkRecord
from sampan.engine.records import ContainerRecord, Endpoint
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound
from sampan.spec.container import (
    EndpointIPAMConfig,
    EndpointSettings,
    HostConfig,
    NetworkingConfig,
)


def has_networks(mode: str) -> bool:
    """Not of the host's, nobody's, or another container's network."""
    return mode not in (HOST, NONE) and not mode.startswith("container:")


def settle(
    services: Services, host: HostConfig, networking: NetworkingConfig
) -> tuple[NetworkingConfig, dict[str, Endpoint]]:
    """What the user said, by the names of networks, and the places that are to be filled at the start.

    `host` is settled. Raises InvalidParameter. Whether a network exists is found at the start: a 404
    here would make the docker client pull the image."""
    mode = host.network_mode
    asked = {
        name: wanted or EndpointSettings()
        for name, wanted in (networking.endpoints_config or {}).items()
    }
    if not has_networks(mode):
        _check_alone(mode, asked)
        return NetworkingConfig(endpoints_config=asked), {}
    places: dict[str, Endpoint] = {}
    settled: dict[str, EndpointSettings] = {}
    for ref in dict.fromkeys((mode, *asked)):
        network = services.network_records.find(ref)
        name = network.name if network else ref
        wanted = asked.get(ref)
        _check(name, network, wanted)
        if name == BRIDGE and network is None:
            places[name] = Endpoint()
        else:
            places[name] = Endpoint(network_id=network.id if network else "")
        if wanted is not None:
            settled[name] = wanted
    if len(places) > 1 and not places.keys().isdisjoint((HOST, NONE)):
        raise InvalidParameter(
            "Container cannot be connected to network endpoints: " + ", ".join(sorted(places))
        )
    return NetworkingConfig(endpoints_config=settled), places


def _check_alone(mode: str, asked: dict[str, EndpointSettings]) -> None:
    others = {*asked} - {mode}
    if others:
        raise InvalidParameter(
            "Container cannot be connected to network endpoints: "
            + ", ".join(sorted({*asked, mode}))
        )


def _check(name: str, network: NetworkRecord | None, wanted: EndpointSettings | None) -> None:
    if wanted is None:
        return
    endpoint_options.check(wanted)
    if wanted.mac_address:
        settings.check_mac(wanted.mac_address)
    if network is None:
        return
    if network.name == BRIDGE and wanted.aliases:
        raise InvalidParameter(
            "invalid config for network bridge: invalid endpoint settings:\n"
            "network-scoped aliases are only supported for user-defined networks"
        )
    ipam = wanted.ipam_config or EndpointIPAMConfig()
    endpoint_options.check_texts(name, ipam)
    if network.name == BRIDGE and (ipam.i_pv4_address or ipam.ipv6_address):
        raise InvalidParameter(
            "invalid config for network bridge: invalid endpoint settings:\n"
            "user specified IP address is supported on user defined networks only"
        )
    if network.config_only:
        raise InvalidParameter("cannot create endpoint on configuration-only network")


async def check_exist(services: Services, record: ContainerRecord) -> None:
    """At the start; a network that could not be restored is tried again. Raises
    NotFound, and InvalidParameter for an address that its network cannot give."""
    if not has_networks(record.host_config.network_mode):
        return
    for name, place in record.endpoints.items():
        network = services.network_records.named(name) or (
            services.network_records.find(place.network_id) if place.network_id else None
        )
        if network is None:
            raise NotFound(f"network {name} not found")
        if network.config_only:
            raise InvalidParameter("cannot create endpoint on configuration-only network")
        await present(services, network)
        plugs.bridge_of(services, network)
        egress.check_network(record, name, network.driver)
        wanted = (record.networking.endpoints_config or {}).get(name) or EndpointSettings()
        check_addresses(network, wanted.ipam_config or EndpointIPAMConfig())
