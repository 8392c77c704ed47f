"""Verifies how an egress policy is read, which names it allows, and where names may lead."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from sampan.spec.egress import Policy, parse

LIST = (
    "allow=*.example.org,example.net:443,Both.example,both.example:80,192.0.2.7,10.0.0.0/8:53,"
    "[2001:db8::1]:80,2001:db8:1::/48,_dns.x.example.:1"
)


@pytest.mark.parametrize(
    ("name", "ports"),
    [
        ("a.example.org", {0}),
        ("a.b.example.org", {0}),
        ("example.org", None),
        ("badexample.org", None),
        ("example.org.evil.example", None),
        ("example.net", {443}),
        ("www.example.net", None),
        ("both.example", {0}),
        ("_dns.x.example", {1}),
        ("", None),
    ],
)
def test_names(name: str, ports: set[int] | None) -> None:
    """A wildcard is for whole labels below; a name without a port is for all ports, whatever else is said."""
    assert parse(LIST).ports_of(name) == ports


def test_addresses() -> None:
    """Subnets with and without a port, of both families."""
    assert [(str(rule.subnet), rule.port) for rule in parse(LIST).subnets] == [
        ("192.0.2.7/32", 0),
        ("10.0.0.0/8", 53),
        ("2001:db8::1/128", 80),
        ("2001:db8:1::/48", 0),
    ]
    assert parse("none") == Policy()


@pytest.mark.parametrize(
    ("address", "open"),
    [
        ("203.0.113.5", True),
        ("2001:db8::9", True),
        ("10.1.2.3", True),  # listed
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("fd00::1", False),
        ("fd00:ec2::254", False),
        ("168.63.129.16", False),
        ("192.0.0.192", False),
        ("100.100.100.200", False),
        ("198.18.0.1", False),
        ("2001:0:a00:1::", False),
        ("fe80::1", False),
        ("ff02::1", False),
    ],
)
def test_where_names_may_lead(address: str, open: bool) -> None:
    """To the outside, and inside only where the list says so itself."""
    assert parse(LIST).opens(ip_address(address)) is open


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "allow",
        "allow=",
        "deny=a",
        "allow=a,,b",
        "allow=*",
        "allow=*.",
        "allow=a.*.b",
        "allow=*a.example",
        "allow=a..b",
        "allow=a b",
        "allow=a/8",
        "allow=a:b",
        "allow=a:-1",
        "allow=a:0",
        "allow=a:65536",
        "allow=a:80:81",
        "allow=:80",
        "allow=1.2.3",
        "allow=1.2.3.4/33",
        "allow=[::1",
        "allow=[::1]80",
        "allow=2001:db8::/129",
        'allow=a";drop',
        "allow=" + "a" * 64,
        "allow=" + ".".join(["a" * 60] * 5),
        "allow=" + ",".join(["a"] * 1025),
        "allow=ä.example",
    ],
)
def test_what_is_refused(text: str) -> None:
    """What is no list says so."""
    with pytest.raises(ValueError, match="invalid egress policy"):
        parse(text)


def test_names_in_other_scripts() -> None:
    """The message says how they are written."""
    with pytest.raises(ValueError, match="xn--"):
        parse("allow=*.b\u00fccher.example")
    assert parse("allow=XN--BCHER-KVA.example.").ports_of("xn--bcher-kva.example") == {0}
