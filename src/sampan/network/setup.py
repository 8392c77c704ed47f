"""The host's side of a network: bridge, its rules, forwarding. Blocking.

`set_up` and `switch_uplinks` may be called again at any time and change only what is not as it should
be; that is how a daemon that comes back and a bridge that somebody deleted are both dealt with.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface, ip_interface

from sampan.network import forwarding
from sampan.network.bridge_device import (
    BridgePlan,
    check_fixed_cidr,
    check_overlap,
    plan_bridge,
    used_networks,
)
from sampan.network.config import BridgeConfig, NetworkConfig
from sampan.network.endpoint import READY, Endpoint, owner
from sampan.network.firewall import NetworkRules
from sampan.network.host import Host, delete_link_if_there, remove_link
from sampan.network.overlay_link import plan_overlay, remove_overlay
from sampan.network.plan import Step, run_plan
from sampan.network.wiring import Port


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    port: Port
    gateway: IPv4Interface | None
    ours: bool


@dataclass(slots=True)
class FilterNetwork:
    """The network's elements in the table."""

    rules: NetworkRules
    before: NetworkRules | None = field(default=None, init=False)

    def describe(self) -> str:
        return f"let the firewall know of {self.rules.bridge}"

    def execute(self, host: Host) -> None:
        self.before = host.table.network(self.rules.bridge)
        host.table.set_network(self.rules.bridge, self.rules)

    def undo(self, host: Host) -> None:
        host.table.set_network(self.rules.bridge, self.before)


@dataclass(frozen=True, slots=True)
class LetLoopbackIn:
    """What the host sends from 127.0.0.1 to a published port leaves by the bridge, and answers come
    back by it. What containers themselves send to 127.0.0.0/8 the table's `raw` chain drops."""

    bridge: str

    def describe(self) -> str:
        return f"route the host's loopback to {self.bridge}"

    def execute(self, host: Host) -> None:
        host.switches.write("1", "net", "ipv4", "conf", self.bridge, "route_localnet")

    def undo(self, host: Host) -> None:
        """Goes with the bridge; on another's bridge the `raw` chain makes it harmless."""


@dataclass(frozen=True, slots=True)
class RememberSwitched:
    path: str
    names: Sequence[str]

    def describe(self) -> str:
        return f"remember in {self.path} that {', '.join(self.names)} forward because of us"

    def execute(self, host: Host) -> None:
        forwarding.save_switched(self.path, self.names)

    def undo(self, host: Host) -> None:
        """A name too many does no harm: what does not forward is not guarded."""


@dataclass(slots=True)
class Guard:
    names: tuple[str, ...]
    before: tuple[str, ...] = field(default=(), init=False)

    def describe(self) -> str:
        return f"let nothing but our traffic through {', '.join(self.names) or 'no interface'}"

    def execute(self, host: Host) -> None:
        self.before = host.table.guarded
        host.table.set_guarded(self.names)

    def undo(self, host: Host) -> None:
        host.table.set_guarded(self.before)


def plan_network(host: Host, config: BridgeConfig) -> BridgePlan:
    """All steps, from the host as it is."""
    links, addresses, routes = host.links.links(), host.links.addresses(), host.links.routes()
    link = next((item for item in links if item.name == config.bridge), None)
    index = link.index if link else 0
    if config.gateway is not None:
        check_overlap(config.gateway, addresses, except_index=index)
    plan = plan_bridge(
        config,
        link=link,
        addresses=[
            ip_interface(f"{item.address}/{item.prefix}")
            for item in addresses
            if item.index == index
        ],
        used=[*used_networks(routes, addresses, except_index=index), *config.avoid],
    )
    if plan.gateway is not None:
        check_fixed_cidr(config.allocation, plan.gateway.network)
    gateways = (plan.gateway, config.gateway6)
    rules = NetworkRules(
        bridge=config.bridge,
        subnets=tuple(gateway.network for gateway in gateways if gateway is not None),
        masquerade=config.masquerade,
        internal=config.internal,
        open=config.open,
        overlay=config.overlay,
    )
    steps: list[Step[Host]] = [
        *plan.steps,
        LetLoopbackIn(config.bridge),
        FilterNetwork(rules),
    ]
    if config.overlay is not None:
        # The rules stand before anything comes in.
        steps += plan_overlay(
            host,
            config.overlay,
            bridge=config.bridge,
            owner=config.owner,
            mtu=config.mtu,
            isolated=not config.open,
        )
    if config.forward:
        steps.append(forwarding.SwitchOn(config.bridge))
        if config.gateway6 is not None:
            steps.append(forwarding.SwitchOnIPv6())
    return replace(plan, steps=steps)


def set_up(host: Host, config: BridgeConfig) -> BridgeFacts:
    """Raises SampanError for a configuration that cannot be, OSError for what the kernel refuses."""
    plan = plan_network(host, config)
    run_plan(plan.steps, host)
    link = host.links.link(config.bridge)
    port = Port(
        config.bridge,
        link.index,
        config.mtu,
        ipv6=config.gateway6 is not None,
        isolated=not config.open,
        reflecting=_filters_bridged(host),
    )
    return BridgeFacts(port, plan.gateway, plan.ours)


def _filters_bridged(host: Host) -> bool:
    """Whether br_netfilter is at work: then the firewall translates bridged packets in place."""
    try:
        return host.switches.read("net", "bridge", "bridge-nf-call-iptables") == "1"
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False


def tear_down(host: Host, config: BridgeConfig, facts: BridgeFacts) -> None:
    """Take back what `set_up` did; a bridge that is not ours stays."""
    host.table.set_network(config.bridge, None)
    if config.overlay is not None:
        remove_overlay(host, config.overlay)
    if facts.ours:
        remove_link(host.links, config.bridge)


def switch_uplinks(host: Host, config: NetworkConfig) -> tuple[str, ...]:
    """Let answers to containers in by every uplink, and nothing else; which are guarded now.

    The guard stands before anything forwards.
    """
    links, addresses, routes = host.links.links(), host.links.addresses(), host.links.routes()
    uplinks = forwarding.uplinks(links, addresses, routes, config.bridge)
    known = {*host.table.guarded, *forwarding.load_switched(config.state_file)}
    switch, guarded = _plan_forwarding(host, config, uplinks, known)
    steps: list[Step[Host]] = [Guard(guarded)]
    if switch and config.state_file:
        steps.append(RememberSwitched(config.state_file, guarded))
    steps += [forwarding.SwitchOn(name, foreign=True) for name in switch]
    run_plan(steps, host)
    return guarded


def switch_back(host: Host, config: NetworkConfig) -> None:
    """The uplinks as they were before us."""
    for name in host.table.guarded:
        if forwarding.state_of(host.switches, name) == forwarding.ON:
            forwarding.write_if_there(host.switches, name, forwarding.OFF)
    if config.state_file and host.table.guarded:
        forwarding.save_switched(config.state_file, ())


def _plan_forwarding(
    host: Host, config: NetworkConfig, uplinks: Sequence[str], earlier: Collection[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Interfaces to switch on now, and those that are on because of us, now or earlier."""
    if not config.ip_forward or forwarding.forwards_globally(host.switches):
        return [], ()
    states = {name: forwarding.state_of(host.switches, name) for name in uplinks}
    switch = [name for name, state in states.items() if state == forwarding.OFF]
    still = [name for name, state in states.items() if state == forwarding.ON and name in earlier]
    return switch, tuple(sorted({*switch, *still}))


def mend_ports(host: Host, port: Port, live: Collection[Endpoint]) -> list[str]:
    """Remove veths of containers that are gone, put those of live ones back; names the removed."""
    known = {endpoint.container_id: endpoint for endpoint in live}
    removed = []
    for link in host.links.links():
        container_id = owner(link.alias, port.bridge)
        if container_id is None or link.kind != "veth" or container_id == READY:
            continue
        endpoint = known.get(container_id)
        if endpoint is None or endpoint.host_interface != link.name:
            delete_link_if_there(host.links, link.index)
            removed.append(link.name)
        elif link.master != port.index or not link.up:
            _put_back(host, link.index, port)
    return removed


def _put_back(host: Host, index: int, port: Port) -> None:
    try:
        host.links.set_link(index, up=True, master=port.index)
    except OSError as error:
        if error.errno != errno.ENODEV:  # its container ended meanwhile
            raise
