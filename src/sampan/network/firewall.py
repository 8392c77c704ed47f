"""The firewall of one daemon: one nft table, generated as a whole from records. Pure.

    table ip sampan
      postrouting   container → outside: the host's address (masquerade)
      forward       from a bridge: accepted; to a bridge: answers only; the rest is not our business,
                    but for interfaces whose forwarding we switched on: no new flows through them

Foreign tables are never named. `input` is left alone: containers reach the host as any neighbour.
Daemons side by side have a table each; a packet between their bridges meets the other's drop.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from sampan.errors import InvalidParameter
from sampan.network.config import DEFAULT_BRIDGE

INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,15}\Z")
NFT_IDENTIFIER = re.compile(r"[A-Za-z0-9_.]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRules:
    bridge: str
    subnet: IPv4Network
    masquerade: bool


def check_interface_name(name: str) -> str:
    """The name, when it is safe inside quotes: no wildcard, no quote. Raises InvalidParameter."""
    if not INTERFACE_NAME.match(name) or name in (".", ".."):
        raise InvalidParameter(f"invalid interface name: {name!r}")
    return name


def table_name(bridge: str) -> str:
    """`sampan` for the default bridge; a suffix for others, which two bridges never share."""
    if bridge == DEFAULT_BRIDGE:
        return "sampan"
    if NFT_IDENTIFIER.match(bridge):
        return f"sampan_{bridge}"
    plain = re.sub(r"[^A-Za-z0-9_.]", "_", bridge)
    return f"sampan_{plain}_{zlib.crc32(bridge.encode()):08x}"


def ruleset(table: str, networks: Sequence[NetworkRules], *, guarded: Sequence[str] = ()) -> str:
    """One transaction that puts the table into this state, whatever it was before.

    `guarded`: interfaces that forward only because we switched it on (`forwarding.py`).
    """
    for name in (*guarded, *(network.bridge for network in networks)):
        check_interface_name(name)
    chains = [_chain("postrouting", "nat", "srcnat", _masquerade(networks))]
    chains.append(_chain("forward", "filter", "filter", [*_forward(networks), *_guard(guarded)]))
    body = "\n".join(chains)
    return f"{removal(table)}table ip {table} {{\n{body}\n}}\n"


def removal(table: str) -> str:
    """Deleting what is not there is an error, hence the `add` before it."""
    return f"add table ip {table}\ndelete table ip {table}\n"


def _chain(name: str, kind: str, priority: str, rules: Sequence[str]) -> str:
    lines = [f"type {kind} hook {name} priority {priority}; policy accept;", *rules]
    return "\n".join([f"\tchain {name} {{", *(f"\t\t{line}" for line in lines), "\t}"])


def _masquerade(networks: Sequence[NetworkRules]) -> list[str]:
    return [
        f'ip saddr {network.subnet} oifname != "{network.bridge}" masquerade'
        for network in networks
        if network.masquerade
    ]


def _forward(networks: Sequence[NetworkRules]) -> list[str]:
    """Drops stand before accepts: a packet from one of our bridges to another is no exception."""
    rules = []
    for network in networks:
        bridge = network.bridge
        rules += [
            f'oifname "{bridge}" ct state established,related accept',
            f'iifname != "{bridge}" oifname "{bridge}" drop',
        ]
    return rules + [f'iifname "{network.bridge}" accept' for network in networks]


def _guard(guarded: Sequence[str]) -> list[str]:
    """Flows that somebody's DNAT asked for pass: only plain routing through the host is refused."""
    if not guarded:
        return []
    names = ", ".join(f'"{name}"' for name in sorted(guarded))
    return [f"iifname {{ {names} }} ct state new ct status ! dnat drop"]
