"""Who can reach published ports, as the rules of the host are now. Pure, but for `look`.

A port is *forwarded* where our table has it: then the host's filters before the translation are asked (prerouting); our
table lets it pass those of forwarded packets. Otherwise it is *relayed* by a socket of the host's, and the filters of
what comes in (input) are asked as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from sampan.network import foreign
from sampan.network.host import Host
from sampan.network.ruleset import Packet, Ruleset, Verdict, judge, parse, ports_in
from sampan.network.warden.holds import Held

LOOPBACK, CONTAINERS, NEIGHBOURS, EVERYWHERE = "loopback", "containers", "neighbours", "everywhere"
NOBODY, DEPENDS = "nobody", "depends"
_WIDTH = (NOBODY, LOOPBACK, CONTAINERS, NEIGHBOURS, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Interface:
    """`kind`: who is behind it: LOOPBACK, CONTAINERS (a bridge of ours), NEIGHBOURS, or, with a gateway,
    EVERYWHERE."""

    name: str
    kind: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """The host as it is. `table` is ours; `legacy`: the old iptables filters too, which nobody can read here."""

    rules: Ruleset
    interfaces: tuple[Interface, ...]
    table: str
    legacy: bool


@dataclass(frozen=True, slots=True)
class Way:
    """From one interface; `passes` None: it depends."""

    interface: Interface
    passes: bool | None
    rule: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """Some ports that all have the same answer. `reach`: the widest circle from which one gets in."""

    held: Held
    forwarded: bool
    reach: str
    rule: str
    ways: tuple[Way, ...]


def look(host: Host, table: str, bridges: Sequence[str]) -> Facts:
    """On the network thread. Raises NftError, OSError."""
    gateways = {route.index for route in host.links.routes() if route.gateway is not None}
    addresses = host.links.addresses()
    found = []
    for link in host.links.links():
        own = tuple(str(item.address) for item in addresses if item.index == link.index)
        if not own:
            continue
        if link.index == 1:
            kind = LOOPBACK
        elif link.name in bridges:
            kind = CONTAINERS
        else:
            kind = EVERYWHERE if link.index in gateways else NEIGHBOURS
        found.append(Interface(link.name, kind, own))
    rules = parse(host.table.listing())
    return Facts(rules, tuple(found), table, foreign.uses_legacy())


def expose_all(facts: Facts, held: Sequence[Held]) -> list[list[Exposure]]:
    """It reads all rules for each port: not for the event loop."""
    ports = ports_in(facts.rules)
    return [list(expose(facts, item, ports)) for item in held]


def expose(facts: Facts, held: Held, ports: set[int]) -> Iterator[Exposure]:
    """A range is cut where the answer changes. `ports`: of the rules."""
    end = held.host_port + held.count
    cuts = {port for port in ports if held.host_port < port < end}
    starts = sorted({held.host_port, *cuts})
    before: Exposure | None = None
    for first, behind in zip(starts, [*starts[1:], end], strict=True):
        offset = first - held.host_port
        part = replace(
            held,
            host_port=first,
            container_port=held.container_port + offset,
            count=behind - first,
        )
        found = _expose_first(facts, part)
        if before is not None and _same(before, found):
            whole = replace(before.held, count=behind - before.held.host_port)
            found = replace(before, held=whole)
        elif before is not None:
            yield before
        before = found
    if before is not None:
        yield before


def _same(one: Exposure, other: Exposure) -> bool:
    return replace(one, held=other.held) == other


def _expose_first(facts: Facts, held: Held) -> Exposure:
    ours = _own_element(facts, held)
    hooks = ("prerouting",) if ours else ("prerouting", "input")
    ways = tuple(_ways(facts, held, hooks, ours))
    sure = max((_WIDTH.index(way.interface.kind) for way in ways if way.passes), default=0)
    doubt = max((_WIDTH.index(way.interface.kind) for way in ways if way.passes is None), default=0)
    reach = DEPENDS if doubt > sure else _WIDTH[sure]
    return Exposure(held, bool(ours), reach, _deciding(ways, reach, sure), ways)


def _ways(facts: Facts, held: Held, hooks: Sequence[str], ours: str) -> Iterator[Way]:
    bound = ip_address(held.address)
    mine = [
        chain.table for chain in facts.rules.chains.values() if foreign.is_own_kind(chain.table)
    ]
    for interface in facts.interfaces:
        if bound.is_loopback and interface.kind != LOOPBACK:
            continue  # the kernel takes no such address from outside
        own = [text for text in interface.addresses if ip_address(text).version == bound.version]
        if not own:
            continue
        if interface.kind == LOOPBACK and ours:
            # What the host itself sends is translated as it leaves.
            yield Way(interface, True, ours)
            continue
        verdict = max(
            (
                judge(
                    facts.rules,
                    hooks,
                    Packet(interface.name, address, held.protocol, held.host_port),
                    but=mine,
                )
                for address in (own if bound.is_unspecified else [held.address])
            ),
            key=lambda found: (False, None, True).index(found.passes),
        )
        if verdict.passes and "input" in hooks and facts.legacy:
            verdict = Verdict(None, "iptables-legacy: its rules cannot be read")
        yield Way(interface, verdict.passes, verdict.rule or ours or "no rule against it")


def _deciding(ways: Sequence[Way], reach: str, sure: int) -> str:
    """The rule of the widest circle that gets in, or of what keeps the widest one out."""
    if reach == DEPENDS:
        return next(way.rule for way in ways if way.passes is None)
    widest = max(ways, key=lambda way: _WIDTH.index(way.interface.kind), default=None)
    if widest is None:
        return "no interface has such an address"
    if widest.passes is False:
        return widest.rule
    return next(way.rule for way in ways if way.passes and _WIDTH.index(way.interface.kind) == sure)


def _own_element(facts: Facts, held: Held) -> str:
    """What our table says of the port, from the kernel; "" when nothing does."""
    version = 6 if ":" in held.address else 4
    wanted = {
        f"ports{version}": f"{held.protocol} . {held.host_port}",
        f"portsat{version}": f"{held.address} . {held.protocol} . {held.host_port}",
    }
    for name, key in wanted.items():
        for element in facts.rules.elements.get(("inet", facts.table, name), ()):
            if element.partition(" : ")[0] == key:
                return f"inet {facts.table} {name}: {element}"
    for element in facts.rules.elements.get(("inet", facts.table, f"ranges{version}"), ()):
        at, _, rest = element.partition(" : ")[0].partition(" . ")
        protocol, _, ports = rest.partition(" . ")
        first, _, last = ports.partition("-")
        everywhere = re.fullmatch(r"(0\.0\.0\.0|::)/0", at) is not None
        if (
            (at == held.address or (everywhere and ip_address(held.address).is_unspecified))
            and protocol == held.protocol
            and int(first) <= held.host_port <= int(last or first)
        ):
            return f"inet {facts.table} ranges{version}: {element}"
    return ""
