"""The host's side of the default network as a whole: bridge, firewall table, forwarding. Blocking.

`set_up` may be called again at any time and changes only what is not as it should be; that is how a
daemon that comes back and a bridge that somebody deleted are both dealt with.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface

from sampan.linux.nft import NftError
from sampan.network import firewall, forwarding
from sampan.network.bridge_device import (
    BridgePlan,
    check_fixed_cidr,
    check_overlap,
    plan_bridge,
    used_networks,
)
from sampan.network.config import NetworkConfig
from sampan.network.endpoint import READY, Endpoint, owner
from sampan.network.host import Host, delete_link_if_there, find_link
from sampan.network.plan import Step, run_plan
from sampan.network.wiring import Port


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    port: Port
    gateway: IPv4Interface
    ours: bool
    guarded: tuple[str, ...]


@dataclass(slots=True)
class ApplyTable:
    """The table as a whole, in one transaction. Undone only where there was none before."""

    table: str
    text: str
    existed: bool = True

    def describe(self) -> str:
        return f"write nft table {self.table}"

    def execute(self, host: Host) -> None:
        try:
            host.nft.run(f"list table ip {self.table}")
        except NftError:
            self.existed = False
        host.nft.run(self.text)

    def undo(self, host: Host) -> None:
        if not self.existed:
            host.nft.run(firewall.removal(self.table))


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


def plan_network(
    host: Host, config: NetworkConfig, earlier: Collection[str] = ()
) -> tuple[BridgePlan, tuple[str, ...]]:
    """All steps, and which interfaces are guarded, from the host as it is.

    `earlier`: interfaces that this daemon knows it switched on.
    """
    links, addresses, routes = host.links.links(), host.links.addresses(), host.links.routes()
    link = next((item for item in links if item.name == config.bridge), None)
    index = link.index if link else 0
    if config.bip is not None:
        check_overlap(config.bip, addresses, except_index=index)
    plan = plan_bridge(
        config,
        link=link,
        addresses=[
            IPv4Interface(f"{item.address}/{item.prefix}")
            for item in addresses
            if item.index == index and item.address.version == 4
        ],
        used=used_networks(routes, addresses, except_index=index),
    )
    check_fixed_cidr(config.fixed_cidr, plan.gateway.network)
    uplinks = forwarding.uplinks(links, addresses, routes, config.bridge)
    known = {*earlier, *forwarding.load_switched(config.state_file)}
    switch, guarded = _plan_forwarding(host, config, uplinks, known)
    rules = firewall.NetworkRules(
        bridge=config.bridge, subnet=plan.gateway.network, masquerade=config.ip_masq
    )
    table = firewall.table_name(config.bridge)
    steps: list[Step[Host]] = [
        *plan.steps,
        ApplyTable(table, firewall.ruleset(table, [rules], guarded=guarded)),
    ]
    if switch and config.state_file:
        steps.append(RememberSwitched(config.state_file, guarded))
    steps += [forwarding.SwitchOn(name) for name in switch]
    if config.ip_forward:
        steps.append(forwarding.SwitchOn(config.bridge))
    return replace(plan, steps=steps), guarded


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


def set_up(host: Host, config: NetworkConfig, earlier: Collection[str] = ()) -> BridgeFacts:
    """Raises SampanError for a configuration that cannot be, OSError for what the kernel refuses."""
    plan, guarded = plan_network(host, config, earlier)
    run_plan(plan.steps, host)
    link = host.links.link(config.bridge)
    port = Port(config.bridge, link.index, config.mtu)
    return BridgeFacts(port, plan.gateway, plan.ours, guarded)


def tear_down(host: Host, config: NetworkConfig, facts: BridgeFacts) -> None:
    """Take back what `set_up` did; a bridge that is not ours stays."""
    for name in facts.guarded:
        if forwarding.state_of(host.switches, name) == forwarding.ON:
            forwarding.write_switch(host.switches, name, forwarding.OFF)
    if config.state_file and facts.guarded:
        forwarding.save_switched(config.state_file, ())
    host.nft.run(firewall.removal(firewall.table_name(config.bridge)))
    link = find_link(host.links, config.bridge)
    if facts.ours and link is not None:
        delete_link_if_there(host.links, link.index)


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
