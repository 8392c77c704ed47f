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

On the default bridge everybody is a stranger: there new flows to neighbours are refused at the link, where
packets that are only bridged pass too. It sees packets and no flows: to UDP from neighbours nobody answers.
The table is the warden's (`warden/egress.py`), and stands while it and the daemon are away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from sampan.network.firewall import check_interface_name
from sampan.spec.egress import SubnetRule, parse

FLOOR, CEILING = 5, 86400  # seconds that an address of a name stays open, whatever its TTL
MAX_ADDRESSES = 4096  # of a container and family at a time
RESOLVERS = "{ 53, 853 }"
KEY = 12  # characters of the owner's id in names of chains
LOOKS = "limit rate 10/second burst 20 packets"  # at packets to tell of

DISCOVERY = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, "
    "mld2-listener-report }"
)
# Everybody on the link.
EVERYBODY = {"ip": ("224.0.0.0/4", "255.255.255.255"), "ip6": ("ff00::/8", "fe80::/10")}

IPAddress = IPv4Address | IPv6Address


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
    """Of the daemon whose own table is `base`. No bridge's table has a hyphen in its name."""
    return f"{base}-egress"


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


def removal(table: str, families: Sequence[str] = ("inet", "netdev")) -> str:
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


def _source(verb: str, table: str, address: str, key: str) -> str:
    where = f"{verb} element inet {table} sources{6 if ':' in address else 4}"
    return f"{where} {{ {address}{f' : goto c_{key}' if verb == 'add' else ''} }}"


def _rules(key: str, egress: Egress) -> Iterator[str]:
    yield "ct state established,related accept"
    yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
    for rule in parse(egress.policy).subnets:
        yield f"{_destination(rule)} accept"
    # The host is nobody's name: only the list itself can open it, or ports that it publishes.
    yield f"fib daddr type local goto r_{key}"
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


def _destination(rule: SubnetRule) -> str:
    text = f"{_family(str(rule.subnet))} daddr {rule.subnet}"
    return f"{text} meta l4proto {{ tcp, udp }} th dport {rule.port}" if rule.port else text


def bind(table: str, owner: str, egress: Egress, link: Link, group: int) -> str:
    """Only the container's own address comes out of its link."""
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
    return "".join(f"{line}\n" for line in lines)


def unbind(table: str, link: Link) -> str:
    """The kernel takes the device out of the chain when the link goes, and may take the chain as well, hence
    the `add`."""
    name = check_interface_name(link.interface)
    return "".join(
        f"{verb} chain netdev {table} {prefix}{name}\n"
        for verb in ("add", "flush", "delete")
        for prefix in ("", "s_")
    )


def _own_source(owner: str, egress: Egress, link: Link, group: int) -> Iterator[str]:
    yield f"ether saddr != {link.mac} drop"
    for address in link.addresses:
        family = _family(address)
        if family == "ip":
            yield f"arp saddr ip {{ 0.0.0.0, {address} }} accept"
        else:
            yield f"ip6 saddr {address} {DISCOVERY} accept"
        if not link.friendly:
            yield from _strangers(address, egress, link)
        yield f"{family} saddr {address} accept"
    yield f"ip6 saddr {{ ::, fe80::/10 }} {DISCOVERY} accept"
    # What every kernel sends when a link comes up is no news.
    yield "ip6 saddr { ::, fe80::/10 } drop"
    yield f'{LOOKS} log group {group} snaplen 128 prefix "{owner[:KEY]} source"'


def _strangers(address: str, egress: Egress, link: Link) -> Iterator[str]:
    family = _family(address)
    source = f"{family} saddr {address}"
    near = [ip_network(text) for text in link.subnets if _family(text) == family]
    for rule in parse(egress.policy).subnets:
        version = rule.subnet.version
        if any(version == subnet.version and rule.subnet.overlaps(subnet) for subnet in near):
            yield f"{source} {_destination(rule)} accept"
    for text in link.gateways:
        if _family(text) == family:
            yield f"{source} {family} daddr {text} accept"
    for subnet in (*map(str, near), *EVERYBODY[family]):
        yield f"{source} {family} daddr {subnet} goto s_{link.interface}"


def _to_stranger(owner: str, group: int) -> Iterator[str]:
    """Answers pass, as far as a packet shows that it is one."""
    yield "meta l4proto tcp tcp flags & (syn | ack) != syn accept"
    yield (
        "icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept"
    )
    yield (
        "icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded, "
        "parameter-problem } accept"
    )
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
