"""Other firewalls of the host, as far as they may drop what containers send and get. Blocking."""

from __future__ import annotations

import re

from sampan.linux.nft import Nft, NftError

_TABLE = re.compile(r"^table (\S+) (\S+) \{")
LEGACY = "/proc/thread-self/net/ip_tables_names"


def others_forward(nft: Nft, own: str) -> bool:
    """Whether somebody else looks at forwarded packets: an nftables chain at that hook (iptables' are), or
    the old iptables."""
    try:
        listing = nft.run("list chains")
    except NftError:
        return False
    return bool(forward_tables(listing) - {own}) or _legacy()


def forward_tables(listing: str) -> set[str]:
    """Names of tables of IP packets with a base chain at the hook `forward`. Our own kind, of any daemon, is
    no danger: it drops nothing that is another's."""
    found: set[str] = set()
    table = ""
    for line in listing.splitlines():
        if match := _TABLE.match(line):
            family, name = match.groups()
            ours = name == "sampan" or name.startswith("sampan_")
            table = name if family in ("ip", "ip6", "inet") and not ours else ""
        elif table and " hook forward " in line:
            found.add(table)
    return found


def _legacy() -> bool:
    try:
        with open(LEGACY, encoding="ascii") as file:
            return "filter" in file.read().split()
    except OSError:
        return False
