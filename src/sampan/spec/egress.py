"""`--egress none|allow=LIST`: what a container may reach outside of its networks. Pure.

none                                nothing
allow=*.example.org,example.org:443,192.0.2.7,192.0.2.0/24:53,[2001:db8::1]:80
    a name; a name with everything below another one (`*.example.org` is not `example.org`);
    an address; a subnet. With a port only that one, of TCP and UDP.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from sampan.spec.record import dataclass

LABEL = "sampan.egress"
MAX_ENTRIES = 1024
MAX_NAME, MAX_LABEL, MAX_PORT = 253, 63, 65535
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

# What a name may not lead to: this host, neighbours, private networks, and the addresses that embed such.
CLOSED = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "168.63.129.16/32",  # where Azure's machines ask about themselves
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


@dataclass(frozen=True, slots=True)
class NameRule:
    """`below`: for the names below it, not for itself. `port` 0: all."""

    name: str
    below: bool
    port: int


@dataclass(frozen=True, slots=True)
class SubnetRule:
    subnet: IPNetwork
    port: int


@dataclass(frozen=True, slots=True)
class Policy:
    names: tuple[NameRule, ...] = ()
    subnets: tuple[SubnetRule, ...] = ()

    def ports_of(self, name: str) -> frozenset[int] | None:
        """Of a name in lower case without the final dot: where it may be reached, 0 for everywhere. None:
        it may not be asked for."""
        found = frozenset(rule.port for rule in self.names if _matches(rule, name))
        return (frozenset((0,)) if 0 in found else found) or None

    def opens(self, address: IPAddress) -> bool:
        """Whether a name may lead to this address: a public one, or one that the list allows as such."""
        return is_public(address) or any(_holds(rule.subnet, address) for rule in self.subnets)


def parse(text: str) -> Policy:
    """Raises ValueError, which says what is wrong with which part."""
    if text == "none":
        return Policy()
    word, equals, entries = text.partition("=")
    if word != "allow" or not equals:
        raise ValueError(f'invalid egress policy "{text}": it is "none" or "allow=LIST"')
    parts = entries.split(",")
    if len(parts) > MAX_ENTRIES:
        raise ValueError(f"invalid egress policy: more than {MAX_ENTRIES} entries")
    names: list[NameRule] = []
    subnets: list[SubnetRule] = []
    for part in parts:
        try:
            rule = _parse_entry(part.strip())
        except ValueError as error:
            raise ValueError(f'invalid egress policy: "{part}": {error}') from None
        if isinstance(rule, NameRule):
            names.append(rule)
        else:
            subnets.append(rule)
    return Policy(tuple(names), tuple(subnets))


def _parse_entry(text: str) -> NameRule | SubnetRule:
    place, port = _split(text)
    if not place:
        raise ValueError("no name or address")
    subnet = _subnet(place)
    if subnet is not None:
        return SubnetRule(subnet, port)
    return _parse_name(place.lower().removesuffix("."), port)


def _split(text: str) -> tuple[str, int]:
    """Place and port, 0 without one."""
    if text.startswith("["):
        place, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("a bracket is not closed")
        colon, word = rest[:1], rest[1:]
    elif text.count(":") > 1:  # a bare IPv6 address
        return text, 0
    else:
        place, colon, word = text.partition(":")
    if not colon:
        return place, 0
    if not word.isascii() or not word.isdigit() or len(word) > 5 or not 0 < int(word) <= MAX_PORT:
        raise ValueError(f'"{word}" is no port')
    return place, int(word)


def _subnet(text: str) -> IPNetwork | None:
    """None: it is no address; then it may be a name."""
    if ":" not in text and not text.replace(".", "").replace("/", "").isdigit():
        return None
    if "%" in text:  # a scope is no part of a subnet
        raise ValueError("no IP address or subnet")
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError("no IP address or subnet") from None


def _parse_name(text: str, port: int) -> NameRule:
    below = text.startswith("*.")
    name = text.removeprefix("*.")
    if "*" in name:
        raise ValueError("a wildcard stands for whole labels at the beginning: *.example.org")
    if not name.isascii():
        raise ValueError("names in other scripts are written in their ASCII form, xn--…")
    labels = name.split(".")
    if len(name) > MAX_NAME or not all(
        0 < len(label) <= MAX_LABEL and _LETTERS.issuperset(label) for label in labels
    ):
        raise ValueError("no name")
    return NameRule(name, below, port)


def is_public(address: IPAddress) -> bool:
    """Whether a name makes it reachable. What is closed is reached as far as the list itself says, port by port."""
    return not any(_holds(subnet, address) for subnet in CLOSED)


def _matches(rule: NameRule, name: str) -> bool:
    return name.endswith(f".{rule.name}") if rule.below else name == rule.name


def _holds(subnet: IPNetwork, address: IPAddress) -> bool:
    return subnet.version == address.version and address in subnet
