"""What a container finds in /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure, but for `read_host`.

Contents are dockerd's to the byte (20.10; `tests/golden/network` holds what it wrote), with one
exception: with `--dns-search` or `--dns-option` alone dockerd copies name servers on the host's loopback,
which a container cannot reach; they are left out here in that case too, as newer dockerds do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sampan.errors import InvalidParameter

RESOLV_CONF = "/etc/resolv.conf"
RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"
RESOLVED_STUB = "127.0.0.53"
HOSTS = "/etc/hosts"
OWN_SERVER = "127.0.0.11"
HOST_GATEWAY = "host-gateway"
LIMIT = 1 << 20  # bytes; a host file larger than that is none

DEFAULT_HOSTS = (
    b"127.0.0.1\tlocalhost\n"
    b"::1\tlocalhost ip6-localhost ip6-loopback\n"
    b"fe00::0\tip6-localnet\n"
    b"ff00::0\tip6-mcastprefix\n"
    b"ff02::1\tip6-allnodes\n"
    b"ff02::2\tip6-allrouters\n"
)

FALLBACK_V4 = (b"nameserver 8.8.8.8", b"nameserver 8.8.4.4")
FALLBACK_V6 = (b"nameserver 2001:4860:4860::8888", b"nameserver 2001:4860:4860::8844")

_V4 = rb"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}" + (
    rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
)
_V6 = rb"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?"
_LOOPBACK_LINE = re.compile(rb"^nameserver\s+(?:127(?:\.[0-9]{1,3}){3}|::1$)\s*\n*", re.MULTILINE)
_V6_LINE = re.compile(rb"^nameserver\s+" + _V6 + rb"\s*\n*", re.MULTILINE)
_SERVER = re.compile(rb"\s*nameserver\s*(" + _V4 + rb"|" + _V6 + rb")\s*\Z")
_WORDS = rb"\s*(.*)\Z"
_SEARCH = re.compile(rb"\s*search" + _WORDS, re.DOTALL)
_OPTIONS = re.compile(rb"\s*options" + _WORDS, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """`--dns --dns-search --dns-option`, of the container or else of the daemon; empty: the host's."""

    servers: Sequence[str] = ()
    search: Sequence[str] = ()
    options: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.servers or self.search or self.options)


def read_host(path: str) -> bytes:
    """A file of the host, b"" where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT)
    except FileNotFoundError:
        return b""


def read_host_resolv_conf() -> bytes:
    """The host's name servers; those behind systemd-resolved's stub, which only the host reaches."""
    content = read_host(RESOLV_CONF)
    if name_servers(content) == [RESOLVED_STUB]:
        return read_host(RESOLVED_CONF) or content
    return content


def build_hostname(hostname: str) -> bytes:
    return f"{hostname}\n".encode()


def build_hosts(
    *,
    hostname: str,
    domainname: str = "",
    addresses: Sequence[str] = (),
    extra: Sequence[str] = (),
    host_gateways: Sequence[str] = (),
) -> bytes:
    """`extra`: "name:address" each; `addresses`: the container's own, one a network.

    Raises InvalidParameter for an extra host that is none.
    """
    lines = [line for item in extra for line in parse_extra_host(item, host_gateways)]
    lines += [(address, own_names(hostname, domainname)) for address in addresses]
    return DEFAULT_HOSTS + "".join(f"{address}\t{names}\n" for address, names in lines).encode()


def own_names(hostname: str, domainname: str) -> str:
    full = f"{hostname}.{domainname}" if domainname else hostname
    short, dot, _ = full.partition(".")
    return f"{full} {short}" if dot else full


def parse_extra_host(text: str, host_gateways: Sequence[str]) -> list[tuple[str, str]]:
    """`name:address` → (address, name); the address may be `host-gateway`, which may be several."""
    name, colon, address = text.partition(":")
    if not colon or not name:
        raise InvalidParameter(f'bad format for add-host: "{text}"')
    if address == HOST_GATEWAY:
        if not host_gateways:
            raise InvalidParameter(
                "unable to derive the IP value for host-gateway: the daemon has no default bridge"
            )
        return [(gateway, name) for gateway in host_gateways]
    try:
        return [(str(ip_address(address)) if "%" not in address else address, name)]
    except ValueError:
        raise InvalidParameter(f'invalid IP address in add-host: "{address}"') from None


def build_resolv_conf(
    host: bytes, resolver: Resolver, *, host_network: bool = False, ipv6: bool = False
) -> bytes:
    """`host`: the host's file. `host_network`: the container has the host's network, loopback too."""
    if not resolver:
        return host if host_network else _filter_twice(host, ipv6=ipv6)
    known = host if host_network or resolver.servers else _without_unreachable(host, ipv6=ipv6)
    servers = list(resolver.servers) or name_servers(known)
    if not servers and not host_network and name_servers(host):
        servers = [line.split()[1].decode() for line in _fallback(ipv6=ipv6)]
    return _compose(
        servers, resolver.search or search_domains(host), resolver.options or options(host)
    )


def build_own_resolv_conf(host: bytes, resolver: Resolver) -> bytes:
    """Of a container in a network with names: our server, which asks the others on its behalf. A name
    without a dot is one of ours first."""
    words = list(resolver.options or options(host))
    if not any(word.startswith("ndots:") for word in words):
        words.append("ndots:0")
    return _compose([OWN_SERVER], resolver.search or search_domains(host), words)


def name_servers(content: bytes) -> list[str]:
    found = (_SERVER.match(line) for line in _lines(content))
    return [match[1].decode() for match in found if match]


def search_domains(content: bytes) -> list[str]:
    return _last_words(content, _SEARCH)


def options(content: bytes) -> list[str]:
    return _last_words(content, _OPTIONS)


def _lines(content: bytes) -> list[bytes]:
    return [line.partition(b"#")[0] for line in content.split(b"\n")]


def _last_words(content: bytes, pattern: re.Pattern[bytes]) -> list[str]:
    """The last such line counts (man 5 resolv.conf)."""
    found: list[str] = []
    for line in _lines(content):
        if match := pattern.match(line):
            found = match[1].decode("utf-8", "surrogateescape").split()
    return found


def _compose(servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> bytes:
    lines = []
    domains = " ".join(search)
    if search and domains.strip() != ".":  # "." alone means: no search list
        lines.append(f"search {domains}\n")
    lines += [f"nameserver {server}\n" for server in servers]
    words = " ".join(options)
    if words.strip():
        lines.append(f"options {words}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _fallback(*, ipv6: bool) -> tuple[bytes, ...]:
    return FALLBACK_V4 + (FALLBACK_V6 if ipv6 else ())


def _without_unreachable(content: bytes, *, ipv6: bool) -> bytes:
    content = _LOOPBACK_LINE.sub(b"", content)
    return content if ipv6 else _V6_LINE.sub(b"", content)


def _filter(content: bytes, *, ipv6: bool) -> bytes:
    kept = _without_unreachable(content, ipv6=ipv6)
    if name_servers(kept):
        return kept
    return kept + b"\n" + b"\n".join(_fallback(ipv6=ipv6))


def _filter_twice(content: bytes, *, ipv6: bool) -> bytes:
    """dockerd filters when the sandbox is made, not knowing of IPv6, and again at the plug; the line
    ends of its fall-back come from that."""
    return _filter(_filter(content, ipv6=True), ipv6=ipv6)
