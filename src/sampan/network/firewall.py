"""The firewall of one daemon: one nft table, generated from records. Pure.

    table inet sampan
      raw           what comes from a bridge never gets to the host's loopback; VXLAN of our networks
                    comes from their other hosts only
      prerouting    published ports: from outside and from containers (hairpin) …
      output        … and from the host itself, its loopback too
      forward       to a bridge: answers, published ports, its own containers; the rest is refused.
                    From a bridge: accepted, unless the network is internal. The rest is not our
                    business, but for interfaces whose forwarding we switched on: no new flows
      postrouting   container → outside: the host's address; so too where the answer would not come
                    back through us (hairpin, the host's loopback)

The chains never change: networks and ports are elements of sets and maps, so that a change is a few
elements, a range of ports one element, and the rules a packet meets as few for 100 networks as for
one. `whole` writes everything, `change` the difference; each is one transaction.
Foreign tables are never named. `input` is left alone: containers reach the host as any neighbour.
Daemons side by side have a table each; a packet between their bridges meets the other's drop.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sampan.errors import InvalidParameter
from sampan.network.config import DEFAULT_BRIDGE
from sampan.network.overlay import NAMES_OFFSET, Overlay

INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,15}\Z")
NFT_IDENTIFIER = re.compile(r"[A-Za-z0-9_.]+\Z")
FAMILY = "inet"
OWN = "sampan"  # how the tables of every daemon like us begin

SETS = {
    "bridges": "type ifname;",
    "internal": "type ifname;",
    "guarded": "type ifname;",
    "friends": "type ifname . ifname;",
    "subnets4": "type ipv4_addr; flags interval;",
    "subnets6": "type ipv6_addr; flags interval;",
    "masquerade4": "type ipv4_addr; flags interval;",
    "masquerade6": "type ipv6_addr; flags interval;",
    # Port and network identifier of VXLAN, and who may send them to us.
    "overlays": "typeof udp dport . @th,96,24;",
    "vteps4": "typeof ip saddr . udp dport . @th,96,24;",
    "vteps6": "typeof ip6 saddr . udp dport . @th,96,24;",
    "hostnames": "type inet_service;",  # where the hosts of a network ask each other for names
}
MAPS = {
    f"{name}{version}": kind.replace("ADDRESS", f"ipv{version}_addr")
    for version in (4, 6)
    for name, kind in (
        ("ports", "type inet_proto . inet_service : ADDRESS . inet_service;"),
        ("portsat", "type ADDRESS . inet_proto . inet_service : ADDRESS . inet_service;"),
        ("ranges", "type ADDRESS . inet_proto . inet_service : ADDRESS; flags interval;"),
    )
}
EVERY = """\
		ct state established,related oifname @bridges goto allowed
		ct state established,related iifname @bridges goto allowed
"""
CHAINS = """\
	chain allowed {
		VERDICT
	}
	chain raw {
		type filter hook prerouting priority raw; policy accept;
		iifname @bridges ip daddr 127.0.0.0/8 drop
		udp dport . @th,96,24 @overlays jump vteps
		iifname @bridges udp dport @hostnames fib daddr type local fib saddr . iif oif missing drop
	}
	chain vteps {
		fib daddr type != local return
		iifname @bridges fib saddr . iif oif missing drop
		ip saddr . udp dport . @th,96,24 @vteps4 return
		ip6 saddr . udp dport . @th,96,24 @vteps6 return
		drop
	}
	chain published {
		dnat ip to ip daddr . meta l4proto . th dport map @portsat4
		dnat ip to meta l4proto . th dport map @ports4
		dnat ip to ip daddr . meta l4proto . th dport map @ranges4
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @portsat6
		dnat ip6 to meta l4proto . th dport map @ports6
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @ranges6
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 127.0.0.0/8 return
		fib daddr type local jump published
	}
	chain output {
		type nat hook output priority -100; policy accept;
		ip6 daddr ::1 return
		fib daddr type local jump published
	}
	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		EVERY
		ct state established,related accept
		oifname @bridges ct status dnat goto allowed
		iifname . oifname @friends goto allowed
		oifname @bridges drop
		iifname @internal drop
		iifname @bridges goto allowed
		iifname @guarded ct state new ct status ! dnat drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname @bridges ip saddr 127.0.0.0/8 masquerade
		oifname @bridges ct status dnat ip saddr @subnets4 masquerade
		oifname @bridges ct status dnat ip6 saddr @subnets6 masquerade
		oifname @bridges return
		ip saddr @masquerade4 masquerade
		ip6 saddr @masquerade6 masquerade
	}
"""

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRules:
    """`internal`: nothing leaves it. `open`: its containers reach each other (where the host filters
    bridged packets); a network without that isolates the bridge's ports too."""

    bridge: str
    subnets: tuple[IPNetwork, ...]
    masquerade: bool = True
    internal: bool = False
    open: bool = True
    overlay: Overlay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """`count` consecutive ports of the host, from `host_port` on, go to as many of a container.

    `address` is the host's, 0.0.0.0 or :: for all of one family; the target has the same family.
    """

    protocol: str
    address: IPAddress
    host_port: int
    target: IPAddress
    target_port: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What the table is made of. `guarded`: interfaces that forward only because we switched it on.
    `queue`: who answers first packets there lets them pass by foreign chains (`warden/queue.py`);
    `every`: not only first packets."""

    networks: tuple[NetworkRules, ...] = ()
    forwards: tuple[Forward, ...] = ()
    guarded: tuple[str, ...] = ()
    queue: int = 0
    every: bool = False


Elements = dict[str, dict[str, str]]
"""By set or map: key → data, "" in a set."""


def check_interface_name(name: str) -> str:
    """The name, when it is safe inside quotes: no wildcard, no quote. Raises InvalidParameter."""
    if not INTERFACE_NAME.match(name) or name in (".", ".."):
        raise InvalidParameter(f"invalid interface name: {name!r}")
    return name


def table_name(bridge: str) -> str:
    """`sampan` for the default bridge; a suffix for others, which two bridges never share."""
    if bridge == DEFAULT_BRIDGE:
        return OWN
    if NFT_IDENTIFIER.match(bridge):
        return f"{OWN}_{bridge}"
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", bridge)
    return f"{OWN}_{plain}_{zlib.crc32(bridge.encode()):08x}"


def elements(rules: Rules) -> Elements:
    """Raises InvalidParameter for a name that is no interface's."""
    found: Elements = {name: {} for name in (*SETS, *MAPS)}
    for network in rules.networks:
        name = f'"{check_interface_name(network.bridge)}"'
        found["bridges"][name] = ""
        if network.internal:
            found["internal"][name] = ""
        if network.open:
            found["friends"][f"{name} . {name}"] = ""
        for subnet in network.subnets:
            found[f"subnets{subnet.version}"][str(subnet)] = ""
            if network.masquerade and not network.internal:
                found[f"masquerade{subnet.version}"][str(subnet)] = ""
        if network.overlay is not None:
            place = f"{network.overlay.port} . {network.overlay.vni}"
            found["overlays"][place] = ""
            found["hostnames"][f"{network.overlay.port + NAMES_OFFSET}"] = ""
            for peer in network.overlay.peers:
                found[f"vteps{peer.version}"][f"{peer} . {place}"] = ""
    for name in rules.guarded:
        found["guarded"][f'"{check_interface_name(name)}"'] = ""
    for forward in rules.forwards:
        for kind, key, data in _mapped(forward):
            found[f"{kind}{forward.target.version}"][key] = data
    return found


def _mapped(forward: Forward) -> Iterator[tuple[str, str, str]]:
    """A range that keeps its numbers is one element; any other is an element a port."""
    address, protocol, target = forward.address, forward.protocol, forward.target
    first, count = forward.host_port, forward.count
    if count > 1 and first == forward.target_port:
        at = f"{address}/0" if address.is_unspecified else str(address)
        yield "ranges", f"{at} . {protocol} . {first}-{first + count - 1}", str(target)
        return
    for offset in range(count):
        key = f"{protocol} . {first + offset}"
        data = f"{target} . {forward.target_port + offset}"
        if address.is_unspecified:
            yield "ports", key, data
        else:
            yield "portsat", f"{address} . {key}", data


def whole(table: str, rules: Rules, *, queueing: bool = True) -> str:
    """One transaction that puts the table into this state, whatever it was before.

    Not `queueing`: `allowed` stays empty where there is a queue, for a rule that nft cannot write."""
    sets = "".join(f"\tset {name} {{ {kind} }}\n" for name, kind in SETS.items())
    maps = "".join(f"\tmap {name} {{ {kind} }}\n" for name, kind in MAPS.items())
    queue = f"queue flags bypass to {rules.queue}" if queueing else ""
    verdict = queue if rules.queue else "accept"
    chains = CHAINS.replace("VERDICT", verdict)
    answers = EVERY if rules.queue and rules.every else ""
    chains = chains.replace("\t\tEVERY\n", answers)
    lines = [f"{removal(table)}table {FAMILY} {table} {{\n{sets}{maps}{chains}}}\n"]
    for name, wanted in elements(rules).items():
        lines += _elements("add", table, name, wanted.items())
    return "".join(lines)


def change(table: str, before: Rules, after: Rules) -> str:
    """One transaction from one state to another; empty where nothing differs."""
    old, new = elements(before), elements(after)
    lines: list[str] = []
    for name in old:
        gone = [item for item in old[name].items() if new[name].get(item[0]) != item[1]]
        come = [item for item in new[name].items() if old[name].get(item[0]) != item[1]]
        lines += _elements("delete", table, name, gone)
        lines += _elements("add", table, name, come)
    return "".join(lines)


def _elements(verb: str, table: str, name: str, items: Iterable[tuple[str, str]]) -> Iterator[str]:
    texts = [f"{key} : {data}" if data else key for key, data in items]
    if texts:
        yield f"{verb} element {FAMILY} {table} {name} {{ {', '.join(texts)} }}\n"


def removal(table: str) -> str:
    """Deleting what is not there is an error, hence the `add` before it."""
    return f"add table {FAMILY} {table}\ndelete table {FAMILY} {table}\n"
