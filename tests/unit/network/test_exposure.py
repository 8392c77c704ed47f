"""Verifies what rules, as nft lists them, are said to mean for a packet, and who is said to reach a port."""

from __future__ import annotations

import pytest

from sampan.network.exposure import (
    CONTAINERS,
    EVERYWHERE,
    LOOPBACK,
    NEIGHBOURS,
    Facts,
    Interface,
    expose_all,
)
from sampan.network.ruleset import Packet, Verdict, judge, parse
from sampan.network.warden.holds import Held

OURS = """
table inet sampan {
	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 : 172.17.0.2 . 80,
				tcp . 8081 : 172.17.0.2 . 81 }
	}

	map ranges4 {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr
		flags interval
		elements = { 0.0.0.0/0 . udp . 100-199 : 172.17.0.2 }
	}

	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		drop
	}
	chain mine {
		type filter hook input priority filter; policy drop;
	}
}
"""
INPUT = """
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy %s;
		iifname "lo" counter packets 0 bytes 0 accept
		ct state related,established counter packets 1 bytes 2 accept
		%s
	}
	set pairs {
		type ipv4_addr . inet_service
		flags interval
		elements = { 192.0.2.0/24 . 8000-8090, 198.51.100.1 . 22 }
	}
	set timed {
		type inet_service
		elements = { 8080 timeout 1h expires 59m, 22 comment "ssh" }
	}
	chain user {
		tcp dport 8080 counter packets 0 bytes 0 accept
		counter packets 0 bytes 0 return
		drop
	}
}
"""


def verdict(policy: str, rule: str, *, port: int = 8080, interface: str = "eth0") -> Verdict:
    rules = parse(OURS + INPUT % (policy, rule))
    packet = Packet(interface, "192.0.2.2", "tcp", port)
    return judge(rules, ("prerouting", "input"), packet, but=("sampan",))


POLICY = "ip filter INPUT: policy drop"
CASES = [
    ("accept", "", True, ""),
    ("drop", "", False, POLICY),
    ("drop", "tcp dport 8080 accept", True, "tcp dport 8080 accept"),
    ("drop", "udp dport 8080 accept", False, POLICY),
    ("drop", "tcp dport { 80, 8000-8090 } accept", True, "tcp dport { 80, 8000-8090 } accept"),
    ("accept", "tcp dport != 22 drop", False, "tcp dport != 22 drop"),
    (
        "accept",
        'iifname "eth*" reject with tcp reset',
        False,
        'iifname "eth*" reject with tcp reset',
    ),
    ("accept", 'iifname != "eth0" drop', True, ""),
    ("drop", "counter packets 7 bytes 7 jump user", True, "user: tcp dport 8080 accept"),
    ("drop", "meta l4proto tcp jump user", True, "user: tcp dport 8080 accept"),
    ("drop", "jump nobody", False, POLICY),
    ("accept", "ip daddr 192.0.2.0/24 drop", False, "ip daddr 192.0.2.0/24 drop"),
    ("accept", "ip daddr 192.0.3.0/24 drop", True, ""),
    ("accept", "fib daddr type local return", True, ""),
    ("accept", "fib daddr type { broadcast, multicast } drop", True, ""),
    ("accept", "ct state vmap { established : accept, new : drop }", False, "ct state vmap"),
    ("accept", "ct state invalid drop", True, ""),
    ("accept", 'limit rate 3/minute log prefix "drop accept"', True, ""),
    ("accept", "ip saddr 10.0.0.0/8 tcp dport 8080 drop", None, "ip saddr 10.0.0.0/8"),
    ("drop", "ip saddr 10.0.0.0/8 accept", None, "ip saddr 10.0.0.0/8 accept"),
    ("drop", "ip saddr 10.0.0.0/8 udp dport 8080 accept", False, POLICY),
    ("drop", 'xt match "recent" accept', None, 'xt match "recent" accept'),
    ("drop", "meta mark 0x1 jump user", None, "user: tcp dport 8080 accept"),
    ("accept", "meta mark 0x1 return", None, "meta mark 0x1 return"),
    # Concatenations, in braces and of a set, with what is not known among them.
    ("drop", "ip daddr . tcp dport { 192.0.2.2 . 8080 } accept", True, "ip daddr . tcp dport"),
    ("drop", "ip daddr . tcp dport { 192.0.2.2 . 80 } accept", False, POLICY),
    ("drop", "ip daddr . tcp dport @pairs accept", True, "@pairs accept"),
    ("drop", "ip daddr . udp dport @pairs accept", False, POLICY),
    ("drop", "ip saddr . tcp dport { 10.0.0.1 . 8080 } accept", None, "ip saddr . tcp dport"),
    ("drop", "ip saddr . tcp dport { 10.0.0.1 . 80 } accept", False, POLICY),
    ("accept", 'iifname . tcp dport vmap { "eth0" . 8080 : drop }', False, "iifname . tcp dport"),
    ("accept", 'iifname . tcp dport vmap { "eth1" . 8080 : drop }', True, ""),
    ("drop", "tcp dport 80 . 8080 accept", None, "80 . 8080"),
    # What a packet of another kind has not, no comparison holds of.
    ("accept", "udp dport != 22 drop", True, ""),
    ("accept", "ip6 daddr != ::1 drop", True, ""),
    ("drop", "tcp dport @timed accept", True, "@timed accept"),
]


@pytest.mark.parametrize(("policy", "rule", "passes", "named"), CASES)
def test_what_rules_say(policy: str, rule: str, passes: bool | None, named: str) -> None:
    """A drop is final; the rule that decides is named; what cannot be known makes it depend."""
    found = verdict(policy, rule)
    assert found.passes is passes
    assert named in found.rule
    assert bool(found.rule) == bool(named)


def test_the_way_in_by_loopback() -> None:
    """Another interface meets other rules."""
    assert verdict("drop", "", interface="lo").passes is True
    assert verdict("drop", "", port=80, interface="eth0").passes is False


def test_priorities() -> None:
    """Base chains in the kernel's order, whatever their priorities are called."""
    listing = "table inet a {\n"
    for number, text in enumerate(("filter + 5", "-7", "raw", "mangle - 1", "filter", "security")):
        listing += f"\tchain c{number} {{\n\t\ttype filter hook input priority {text}; policy accept;\n\t}}\n"
    found = [(chain.name, chain.priority) for chain in parse(listing + "}\n").bases("input", 6)]
    assert found == [("c2", -300), ("c3", -151), ("c1", -7), ("c4", 0), ("c0", 5), ("c5", 50)]


INTERFACES = (
    Interface("lo", LOOPBACK, ("127.0.0.1", "::1")),
    Interface("eth0", EVERYWHERE, ("192.0.2.2", "2001:db8::2")),
    Interface("near", NEIGHBOURS, ("198.51.100.1",)),
    Interface("sampan0", CONTAINERS, ("172.17.0.1",)),
)


def facts(more: str = "", *, legacy: bool = False) -> Facts:
    return Facts(parse(OURS + more), INTERFACES, "sampan", legacy)


def reach(held: Held, more: str = "", *, legacy: bool = False) -> list[tuple[str, str, bool, str]]:
    return [
        (
            f"{item.held.host_port}+{item.held.count}->{item.held.container_port}",
            item.reach,
            item.forwarded,
            item.rule,
        )
        for item in expose_all(facts(more, legacy=legacy), [held])[0]
    ]


def test_forwarded_and_relayed() -> None:
    """What our table forwards no input rule stops; what is relayed, it does; loopback is nobody's but the host's."""
    closed = INPUT % ("drop", "")
    ours = "inet sampan ports4: tcp . 8080 : 172.17.0.2 . 80"
    assert reach(Held("tcp", "0.0.0.0", 8080, 80), closed) == [
        ("8080+1->80", "everywhere", True, ours)
    ]
    assert reach(Held("tcp", "0.0.0.0", 9090, 80), closed) == [
        ("9090+1->80", "loopback", False, POLICY)
    ]
    assert (
        reach(Held("tcp", "::", 9090, 80), closed)[0][1] == "everywhere"
    )  # no rule of that family
    assert reach(Held("tcp", "127.0.0.1", 9090, 80))[0][1] == "loopback"
    assert reach(Held("tcp", "0.0.0.0", 9090, 80), legacy=True)[0][1] == "depends"
    assert reach(Held("tcp", "0.0.0.0", 8080, 80), legacy=True)[0][1] == "everywhere"
    near = INPUT % ("drop", 'iifname "near" accept')
    assert reach(Held("tcp", "0.0.0.0", 9090, 80), near)[0][1:3] == ("neighbours", False)
    depends = INPUT % ("drop", "ip saddr 192.0.2.0/24 accept")
    assert reach(Held("tcp", "0.0.0.0", 9090, 80), depends)[0][1] == "depends"


def test_a_range_is_cut_where_the_answer_changes() -> None:
    """And only there: the other ports stay together."""
    closed = INPUT % ("drop", "udp dport 120-129 accept")
    held = Held("udp", "192.0.2.2", 100, 1100, 100)
    assert [row[:2] for row in reach(held, closed)] == [
        ("100+20->1100", "loopback"),
        ("120+10->1120", "everywhere"),
        ("130+70->1130", "loopback"),
    ]
    whole = Held("udp", "0.0.0.0", 100, 100, 100)
    ours = "inet sampan ranges4: 0.0.0.0/0 . udp . 100-199 : 172.17.0.2"
    assert reach(whole, closed) == [("100+100->100", "everywhere", True, ours)]


def test_all_addresses_of_an_interface() -> None:
    """A port is open where one of them lets it in."""
    interface = Interface("eth0", EVERYWHERE, ("192.0.2.2", "192.0.2.3"))
    rules = INPUT % ("drop", "ip daddr 192.0.2.3 accept")
    found = Facts(parse(OURS + rules), (interface,), "sampan", legacy=False)
    held = Held("tcp", "0.0.0.0", 99, 99, 1)
    assert [item.reach for item in expose_all(found, [held])[0]] == [EVERYWHERE]
