"""Other firewalls of the host, as far as they may drop what containers send and get. Blocking."""

from __future__ import annotations

import logging
import re
from enum import IntEnum

from sampan.linux import legacy_iptables
from sampan.linux.nft import Nft, NftError
from sampan.network import egress, firewall

log = logging.getLogger(__name__)

_TABLE = re.compile(r"^table (\S+) (\S+) \{")
_LETS_ANSWERS_PASS = "ufw-before-forward"  # ufw's policy is to drop, but for flows that were let in
LEGACY = "/proc/thread-self/net/ip_tables_names"


class Danger(IntEnum):
    """What may be dropped after our table has allowed it."""

    NONE = 0
    FIRST = 1  # first packets of flows; answers pass, as with every firewall for hosts
    EVERY = 2  # whatever is not the other's own, as with dockerd's policy


def look(nft: Nft) -> Danger:
    """At nftables chains at the hook `forward` (iptables' are such), and at the old iptables."""
    try:
        listing = nft.run("list chains")
    except NftError:
        return Danger.NONE
    policies = forward_policies(listing)
    if "drop" in policies and _LETS_ANSWERS_PASS not in listing:
        return Danger.EVERY
    legacy = look_at_legacy()
    return max(legacy, Danger.FIRST) if policies else legacy


def look_at_legacy() -> Danger:
    """At the old iptables, which tells nobody of its changes: they count from the next look on."""
    if not uses_legacy():
        return Danger.NONE
    try:
        drops, entries = legacy_iptables.forward_policy_drops()
    except OSError as error:
        log.warning("the rules of the old iptables cannot be read: %s", error)
        return Danger.EVERY
    return Danger.EVERY if drops and _LETS_ANSWERS_PASS.encode() not in entries else Danger.FIRST


def forward_policies(listing: str) -> set[str]:
    """Of base chains at the hook `forward` in tables of IP packets. Our own kind, of any daemon, is no danger:
    it drops nothing that is another's."""
    found: set[str] = set()
    foreign = False
    for line in listing.splitlines():
        if match := _TABLE.match(line):
            family, name = match.groups()
            foreign = family in ("ip", "ip6", "inet") and not is_own_kind(name)
        elif foreign and " hook forward " in line:
            found.add("drop" if "policy drop;" in line else "accept")
    return found


def is_own_kind(table: str) -> bool:
    """Whether the table is a daemon's like us."""
    base = table.removesuffix(egress.SUFFIX)
    return base == firewall.OWN or base.startswith(f"{firewall.OWN}_")


def uses_legacy() -> bool:
    """Whether the old iptables, which nftables does not see, filters here."""
    try:
        with open(LEGACY, encoding="ascii") as file:
            return "filter" in file.read().split()
    except OSError:
        return False
