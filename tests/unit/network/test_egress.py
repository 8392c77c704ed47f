"""Verifies the nft text of egress policies, on the real nft where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from ipaddress import ip_address

import pytest

from sampan.network import egress, firewall
from sampan.network.egress import Egress, Link, Opened

OWNER = "0123456789abcdef" * 4
DISCOVERY = "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"
TABLE = egress.table_name("sampan")
STRANGER = Link(
    "sv1", "02:42:ac:11:00:02", ("172.17.0.2",), ("172.17.0.0/16",), ("172.17.0.1",), False
)
FRIEND = Link(
    "sv2",
    "02:42:ac:12:00:02",
    ("172.18.0.2", "fd00::2"),
    ("172.18.0.0/16", "fd00::/64"),
    ("172.18.0.1", "fd00::1"),
    True,
)
POLICY = Egress(
    "allow=*.example.org,192.0.2.0/24:443,172.17.0.9,[2001:db8::1]:80", (STRANGER, FRIEND)
)


def rules(text: str, chain: str) -> list[str]:
    start = f"add rule {chain} "
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


def test_the_order_of_the_judgement() -> None:
    """What is under way, what is listed, not the host, friends, ports of names, no resolver, names, the end."""
    text = egress.judge(TABLE, OWNER, POLICY, ["10.0.0.9"], 7)
    key = OWNER[:12]
    assert rules(text, f"inet {TABLE} c_{key}") == [
        "ct state established,related accept",
        f"ip6 daddr {{ fd00::/64, fe80::/10, ff02::/16 }} {DISCOVERY} accept",
        "ip daddr 192.0.2.0/24 meta l4proto { tcp, udp } th dport 443 accept",
        "ip daddr 172.17.0.9/32 accept",
        "ip6 daddr 2001:db8::1/128 meta l4proto { tcp, udp } th dport 80 accept",
        f"fib daddr type {{ local, broadcast, anycast, multicast }} goto r_{key}",
        "ip daddr 172.18.0.0/16 accept",
        "ip6 daddr fd00::/64 accept",
        f"ip daddr . meta l4proto . th dport @p4_{key} accept",
        f"ip6 daddr . meta l4proto . th dport @p6_{key} accept",
        f"meta l4proto {{ tcp, udp }} th dport {{ 53, 853 }} goto r_{key}",
        f"ip daddr @a4_{key} accept",
        f"ip6 daddr @a6_{key} accept",
        f"goto r_{key}",
    ]
    sources = [line for line in text.splitlines() if "sources" in line]
    assert sources == [
        f"delete element inet {TABLE} sources4 {{ 10.0.0.9 }}",
        f"add element inet {TABLE} sources4 {{ 172.17.0.2 : goto c_{key} }}",
        f"add element inet {TABLE} sources4 {{ 172.18.0.2 : goto c_{key} }}",
        f"add element inet {TABLE} sources6 {{ fd00::2 : goto c_{key} }}",
    ]


def test_neighbours_by_network() -> None:
    """On the default bridge they are strangers, but for those that are listed; elsewhere friends."""
    chain = f"netdev {TABLE} sv1"
    found = rules(egress.bind(TABLE, OWNER, POLICY, STRANGER, 7), chain)
    assert found[:4] == [
        "ether saddr != 02:42:ac:11:00:02 drop",
        "arp saddr ip { 0.0.0.0, 172.17.0.2 } accept",
        "ip saddr 172.17.0.2 ip daddr 172.17.0.9/32 accept",
        "ip saddr 172.17.0.2 ip daddr 172.17.0.1 accept",
    ]
    assert "ip saddr 172.17.0.2 ip daddr 172.17.0.0/16 goto s_sv1" in found
    friend = rules(egress.bind(TABLE, OWNER, POLICY, FRIEND, 7), f"netdev {TABLE} sv2")
    assert [rule for rule in friend if "goto" in rule] == ["ip6 saddr fe80::/10 goto s_sv2"]


def test_neighbours_of_both_families() -> None:
    """IPv6 as IPv4, in networks with both and with IPv6 alone: discovery goes on, the listed neighbour, the
    host (which is judged elsewhere); the rest of the link, and what is for everybody, is the strangers'."""
    subnet, own = "2001:db8:9::/64", "2001:db8:9::2"
    links = [
        replace(STRANGER, addresses=(own,), subnets=(subnet,), gateways=("2001:db8:9::1",)),
        replace(
            STRANGER,
            addresses=(*STRANGER.addresses, own),
            subnets=(*STRANGER.subnets, subnet),
            gateways=(*STRANGER.gateways, "2001:db8:9::1"),
        ),
    ]
    policy = Egress("allow=2001:db8:9::9,192.0.2.1", ())
    for link in links:
        found = rules(egress.bind(TABLE, OWNER, policy, link, 7), f"netdev {TABLE} sv1")
        start = found.index("ip6 saddr 2001:db8:9::2 ip6 daddr 2001:db8:9::9/128 accept")
        assert DISCOVERY in found[start - 1]
        assert found[start + 1 : start + 6] == [
            f"ip6 saddr {own} ip6 daddr 2001:db8:9::1 accept",
            f"ip6 saddr {own} ip6 daddr {subnet} goto s_sv1",
            f"ip6 saddr {own} ip6 daddr fe80::/10 goto s_sv1",
            f"ip6 saddr {own} ip6 daddr ff00::/8 goto s_sv1",
            f"ip6 saddr {own} accept",
        ]


def test_no_bridge_shares_the_table() -> None:
    """Whatever bridges are called."""
    names = {
        firewall.table_name(name) for name in ("sampan0", "egress", "-egress", "sampan-egress")
    }
    assert TABLE not in names
    with pytest.raises(Exception, match="interface"):
        bad = Link('x" drop', "02:00:00:00:00:01", (), (), (), True)
        egress.bind(TABLE, OWNER, POLICY, bad, 7)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None,
    reason="needs root and nft (Debian's nftables)",
)
def test_the_real_nft_takes_it() -> None:
    """Twice, with addresses of names, and all of it goes again, also when a link has gone before."""
    opened = [Opened(ip_address("203.0.113.1"), 0), Opened(ip_address("2001:db8::7"), 443)]
    write = egress.frame(TABLE) + egress.judge(TABLE, OWNER, POLICY, (), 7)
    write += egress.opening(TABLE, OWNER, opened, 9)
    links = [egress.bind(TABLE, OWNER, POLICY, link, 7) for link in (STRANGER, FRIEND)]
    steps = [
        *("ip link add sv1 type veth peer name a", "ip link add sv2 type veth peer name b"),
        *([f"nft -f - <<'X'\n{text}X" for text in (write, *links)] * 2),
        "ip link del sv2",
        *(f"nft -f - <<'X'\n{egress.unbind(TABLE, link)}X" for link in (STRANGER, FRIEND) * 2),
        f"nft -f - <<'X'\n{egress.forget(TABLE, OWNER, POLICY)}X",
        "nft list ruleset",
        f"nft -f - <<'X'\n{egress.removal(TABLE)}X",
    ]
    done = subprocess.run(
        ["unshare", "-n", "sh", "-e"], input="\n".join(steps), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert OWNER[:12] not in done.stdout
    assert "sv1" not in done.stdout
    assert "sv2" not in done.stdout
