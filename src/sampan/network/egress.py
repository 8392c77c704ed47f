"""Egress policies as nft text: who may reach what outside of its networks. Pure.

    table inet TABLE
      prerouting    by a packet's source: the chain of the container that has the address. Before any
                    translation, so that what is judged is what the container asked for
      c_ID          flows that are under way; what the list says; neighbours; what its names have led to;
                    the rest is told of and refused
      a4_ID p4_ID   addresses (and ports) that names have led to, each as long as its TTL says
    table netdev TABLE
      sv…           at the host's end of the container's link: nothing comes in that bears another
                    source than its own, so that nobody is taken for somebody else
    table bridge TABLE
      forward       a neighbour is no router: what is bridged to it is for its networks

On the default bridge everybody is a stranger: there new flows to neighbours are refused at the link, where
packets that are only bridged pass too. It sees packets and no flows: to UDP from neighbours nobody answers.
Neighbour discovery goes on, as ARP does: of this link only, and nobody says there that another's address is its own.
The table is the warden's (`warden/egress.py`), and stands while it and the daemon are away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from sampan.network.firewall import check_interface_name
from sampan.spec.egress import SubnetRule, parse

FLOOR, CEILING = 5, 86400  # seconds that an address of a name stays open, whatever its TTL
SUFFIX = "-egress"  # no bridge's table has a hyphen in its name
MAX_ADDRESSES = 4096  # of a container and family at a time
RESOLVERS = "{ 53, 853 }"
KEY = 12  # characters of the owner's id in names of chains
LOOKS = "limit rate 10/second burst 20 packets"  # at packets to tell of
DISCOVERY = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"
# Without the flows of their own, the end of a road: what answers somebody, and never begins anything.
ANSWERS = (
    "icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem }",
    "icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded, "
    "parameter-problem }",
)
EVERYBODY = {4: ("224.0.0.0/4", "255.255.255.255"), 6: ("fe80::/10", "ff00::/8")}
NEAR6 = "fe80::/10, ff02::/16"  # where discovery leads besides the link's own subnets

FAMILIES = ("inet", "netdev", "bridge")

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Link:
    """A container's place in a network. `friendly`: its neighbours there are no strangers."""

    interface: str  # the host's end
    mac: str
    addresses: tuple[str, ...]
    subnets: tuple[str, ...]
    gateways: tuple[str, ...]
    friendly: bool


@dataclass(frozen=True, slots=True)
class Egress:
    """`policy` as the user wrote it."""

    policy: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """An address that a name has led to. `port` 0: all but those of name servers."""

    address: IPAddress
    port: int


def table_name(base: str) -> str:
    """Of the daemon whose own table is `base`."""
    return f"{base}{SUFFIX}"


def from_message(message: dict[str, object]) -> Egress:
    links = message["links"]
    assert isinstance(links, list)
    return Egress(
        str(message["policy"]),
        tuple(
            Link(
                str(item["interface"]),
                str(item["mac"]),
                tuple(item["addresses"]),
                tuple(item["subnets"]),
                tuple(item["gateways"]),
                bool(item["friendly"]),
            )
            for item in links
        ),
    )


def removal(table: str, families: Sequence[str] = FAMILIES) -> str:
    """Deleting what is not there is an error, hence the `add` before it."""
    return "".join(
        f"add table {family} {table}\ndelete table {family} {table}\n" for family in families
    )


def frame(table: str) -> str:
    """What all containers share. Written again it changes nothing."""
    return (
        f"add table inet {table}\n"
        f"add map inet {table} sources4 {{ type ipv4_addr : verdict; }}\n"
        f"add map inet {table} sources6 {{ type ipv6_addr : verdict; }}\n"
        f"add chain inet {table} prerouting "
        "{ type filter hook prerouting priority mangle; policy accept; }\n"
        f"flush chain inet {table} prerouting\n"
        f"add rule inet {table} prerouting ip saddr vmap @sources4\n"
        f"add rule inet {table} prerouting ip6 saddr vmap @sources6\n"
    )


def judge(table: str, owner: str, egress: Egress, gone: Iterable[str], group: int) -> str:
    """The container's chains as they are to be; its sets stay as they are. `gone`: addresses that it had."""
    key = owner[:KEY]
    lines = [f"add chain inet {table} {name}_{key}" for name in ("c", "r")]
    for version in (4, 6):
        kind, size = f"ipv{version}_addr", f"flags timeout; size {MAX_ADDRESSES};"
        lines += [
            f"add set inet {table} a{version}_{key} {{ type {kind}; {size} }}",
            f"add set inet {table} p{version}_{key} "
            f"{{ type {kind} . inet_proto . inet_service; {size} }}",
        ]
    lines += [f"flush chain inet {table} {name}_{key}" for name in ("c", "r")]
    lines += [f"add rule inet {table} c_{key} {rule}" for rule in _rules(key, egress)]
    lines += [f"add rule inet {table} r_{key} {rule}" for rule in _refusal(key, group)]
    lines += [_source("delete", table, address, key) for address in gone]
    lines += [_source("add", table, address, key) for address in addresses(egress)]
    return "".join(f"{line}\n" for line in lines)


def addresses(egress: Egress) -> list[str]:
    return [address for link in egress.links for address in link.addresses]


def forget(table: str, owner: str, egress: Egress) -> str:
    key = owner[:KEY]
    lines = [_source("delete", table, address, key) for address in addresses(egress)]
    lines += [f"flush chain inet {table} {name}_{key}" for name in ("c", "r")]
    lines += [f"delete chain inet {table} {name}_{key}" for name in ("c", "r")]
    lines += [f"delete set inet {table} {name}{v}_{key}" for name in ("a", "p") for v in (4, 6)]
    return "".join(f"{line}\n" for line in lines)


def unjudge(table: str, address: str) -> str:
    return _source("delete", table, address, "") + "\n"


def _source(verb: str, table: str, address: str, key: str) -> str:
    where = f"{verb} element inet {table} sources{6 if ':' in address else 4}"
    return f"{where} {{ {address}{f' : goto c_{key}' if verb == 'add' else ''} }}"


def _rules(key: str, egress: Egress) -> Iterator[str]:
    yield "ct state established,related accept"
    yield f"{_discovery(egress.links)} accept"
    for rule in parse(egress.policy).subnets:
        yield f"{_destination(rule)} accept"
    # The host is nobody's name: only the list itself can open it. It hears a subnet's broadcasts too.
    yield f"fib daddr type {{ local, broadcast, anycast, multicast }} goto r_{key}"
    for text in (subnet for link in egress.links if link.friendly for subnet in link.subnets):
        yield f"{_family(text)} daddr {text} accept"
    for family, version in (("ip", 4), ("ip6", 6)):
        yield f"{family} daddr . meta l4proto . th dport @p{version}_{key} accept"
    # Whoever answers names elsewhere would answer all of them.
    yield f"meta l4proto {{ tcp, udp }} th dport {RESOLVERS} goto r_{key}"
    for family, version in (("ip", 4), ("ip6", 6)):
        yield f"{family} daddr @a{version}_{key} accept"
    yield f"goto r_{key}"


def _refusal(prefix: str, group: int) -> Iterator[str]:
    """Told of, and an error at once instead of silence."""
    yield f'{LOOKS} log group {group} snaplen 128 prefix "{prefix}"'
    yield "meta l4proto tcp reject with tcp reset"
    yield "reject with icmpx admin-prohibited"


def _family(text: str) -> str:
    return "ip6" if ":" in text else "ip"


def _discovery(links: Iterable[Link]) -> str:
    """Of the links' neighbours. Elsewhere routers would carry it on, with whatever is in it."""
    own = [text for link in links for text in link.subnets if ":" in text]
    return f"ip6 daddr {{ {', '.join((*own, NEAR6))} }} ip6 hoplimit 255 {DISCOVERY}"


def _destination(rule: SubnetRule) -> str:
    text = f"{_family(str(rule.subnet))} daddr {rule.subnet}"
    return f"{text} meta l4proto {{ tcp, udp }} th dport {rule.port}" if rule.port else text


def bind(table: str, owner: str, egress: Egress, link: Link, group: int) -> str:
    """Only the container's own address comes out of its link, and what neighbours get is for them."""
    name = check_interface_name(link.interface)
    chain, strange = f"netdev {table} {name}", f"netdev {table} s_{name}"
    lines = [
        f"add table netdev {table}",
        f'add chain {chain} {{ type filter hook ingress device "{name}" priority 0; policy drop; }}',
        f"add chain {strange}",
        f"flush chain {chain}",
        f"flush chain {strange}",
    ]
    lines += [f"add rule {chain} {rule}" for rule in _own_source(owner, egress, link, group)]
    lines += [f"add rule {strange} {rule}" for rule in _to_stranger(owner, group)]
    lines += [f"add {element}" for element in _near(table, link)]
    return _bridge_frame(table) + "".join(f"{line}\n" for line in lines)


def _bridge_frame(table: str) -> str:
    sets = "".join(
        f"add set bridge {table} near{v} {{ type ifname . ipv{v}_addr; flags interval; }}\n"
        for v in (4, 6)
    )
    rules = "".join(
        f"add rule bridge {table} forward iifname @links iifname . {family} daddr != @near{v} drop\n"
        for family, v in (("ip", 4), ("ip6", 6))
    )
    return (
        f"add table bridge {table}\nadd set bridge {table} links {{ type ifname; }}\n{sets}"
        f"add chain bridge {table} forward {{ type filter hook forward priority 0; policy accept; }}\n"
        f"flush chain bridge {table} forward\n{rules}"
    )


def _near(table: str, link: Link) -> Iterator[str]:
    """Elements of the bridge's sets."""
    yield f'element bridge {table} links {{ "{link.interface}" }}'
    for version in (4, 6):
        own = [text for text in link.subnets if (":" in text) == (version == 6)]
        for text in (*own, *EVERYBODY[version]):
            yield f'element bridge {table} near{version} {{ "{link.interface}" . {text} }}'


def unbind(table: str, link: Link) -> str:
    """The kernel takes the device out of the chain when the link goes, and may take the chain as well:
    deleting what is not there is an error, hence the `add` before it."""
    name = check_interface_name(link.interface)
    lines = [f"add table netdev {table}"]
    for verb in ("add", "flush", "delete"):
        lines += [f"{verb} chain netdev {table} {prefix}{name}" for prefix in ("", "s_")]
    for element in _near(table, link):
        lines += [f"add {element}", f"delete {element}"]
    return _bridge_frame(table) + "".join(f"{line}\n" for line in lines)


def _own_source(owner: str, egress: Egress, link: Link, group: int) -> Iterator[str]:
    yield f"ether saddr != {link.mac} drop"
    for address in link.addresses:
        if ":" in address:
            # Who advertises another's address gets what is meant for it (bits 64 on: the target).
            yield f"icmpv6 type nd-neighbor-advert @th,64,10 != 0x3fa @th,64,128 != {_number(address)} drop"
            yield f"ip6 saddr {address} {_discovery((link,))} accept"
        else:
            yield f"arp saddr ip {{ 0.0.0.0, {address} }} accept"
        if not link.friendly:
            yield from _strangers(address, egress, link)
        yield f"{_family(address)} saddr {address} accept"
    yield f"ip6 saddr {{ ::, fe80::/10 }} {_discovery((link,))} accept"
    yield (
        "ip6 saddr { ::, fe80::/10 } ip6 daddr ff02::/16 "
        "icmpv6 type { mld-listener-report, mld2-listener-report, mld-listener-done } accept"
    )
    # What every kernel sends when a link comes up is no news.
    yield "ip6 saddr { ::, fe80::/10 } ip6 daddr ff00::/8 drop"
    yield f"ip6 saddr fe80::/10 goto s_{link.interface}"
    yield f'{LOOKS} log group {group} snaplen 128 prefix "{owner[:KEY]} source"'


def _number(address: str) -> str:
    return f"{int(IPv6Address(address)):#x}"


def _strangers(address: str, egress: Egress, link: Link) -> Iterator[str]:
    version = 6 if ":" in address else 4
    family = _family(address)
    near = [net for net in map(ip_network, link.subnets) if net.version == version]
    for rule in parse(egress.policy).subnets:
        if rule.subnet.version == version and any(_overlap(rule.subnet, net) for net in near):
            yield f"{family} saddr {address} {_destination(rule)} accept"
    for text in link.gateways:
        if _family(text) == family:
            yield f"{family} saddr {address} {family} daddr {text} accept"
    for subnet in (*map(str, near), *EVERYBODY[version]):
        yield f"{family} saddr {address} {family} daddr {subnet} goto s_{link.interface}"


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.network_address in other or other.network_address in one


def _to_stranger(owner: str, group: int) -> Iterator[str]:
    """Answers pass, as far as a packet shows that it is one."""
    yield "meta l4proto tcp tcp flags & (syn | ack) != syn accept"
    for answers in ANSWERS:
        yield f"{answers} accept"
    yield from _refusal(f"{owner[:KEY]}", group)


def opening(table: str, owner: str, opened: Sequence[Opened], seconds: int) -> str:
    """Each stays open for so long from now on. An element that is there would keep its old timeout, so
    it is made anew, in the same transaction."""
    lines = []
    for item in opened:
        name = f"{'p' if item.port else 'a'}{item.address.version}_{owner[:KEY]}"
        keys = (
            [f"{item.address} . {protocol} . {item.port}" for protocol in ("tcp", "udp")]
            if item.port
            else [str(item.address)]
        )
        for key in keys:
            where = f"element inet {table} {name}"
            lines += [
                f"add {where} {{ {key} }}",
                f"delete {where} {{ {key} }}",
                f"add {where} {{ {key} timeout {seconds}s }}",
            ]
    return "".join(f"{line}\n" for line in lines)
