"""Verifies the text of the firewall's table and that no name can break out of it."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from sampan.errors import InvalidParameter
from sampan.network import firewall
from sampan.network.firewall import NetworkRules, ruleset, table_name

ONE = NetworkRules(bridge="sampan0", subnet=IPv4Network("172.17.0.0/16"), masquerade=True)
TWO = NetworkRules(bridge="br-2", subnet=IPv4Network("172.18.0.0/16"), masquerade=False)

EXPECTED = """\
add table ip sampan
delete table ip sampan
table ip sampan {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "sampan0" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		oifname "sampan0" ct state established,related accept
		iifname != "sampan0" oifname "sampan0" drop
		iifname "sampan0" accept
		iifname { "eth0", "wg0" } ct state new ct status ! dnat drop
	}
}
"""


def test_the_whole_table() -> None:
    """One transaction; guarded interfaces in a fixed order."""
    assert ruleset("sampan", [ONE], guarded=["wg0", "eth0"]) == EXPECTED


def test_several_networks() -> None:
    """Every drop comes before every accept, or one bridge would open another."""
    text = ruleset("sampan", [ONE, TWO])
    assert text.rindex(" drop") < text.index('iifname "sampan0" accept')
    assert "172.18" not in text
    assert "guard" not in text
    assert "ct status" not in text


def test_table_names() -> None:
    """Each bridge has its own, and each is an nft identifier."""
    bridges = ["sampan0", "br0", "br-0", "br_0", "br.0"]
    names = [table_name(bridge) for bridge in bridges]
    assert names[:2] == ["sampan", "sampan_br0"]
    assert len(set(names)) == len(bridges)
    assert all(firewall.NFT_IDENTIFIER.match(name) for name in names)


@pytest.mark.parametrize("name", ["", "*", "a*", 'a"', "a b", "a\nb", "a" * 16, "..", "é", "a{"])
def test_names_that_are_no_interface(name: str) -> None:
    """Wildcards and quotes never reach the text."""
    with pytest.raises(InvalidParameter, match="invalid interface name"):
        ruleset("sampan", [NetworkRules(bridge=name, subnet=ONE.subnet, masquerade=True)])
    with pytest.raises(InvalidParameter):
        ruleset("sampan", [ONE], guarded=[name])
