"""From a name to the hosts to ask: mirrors first, then the registry itself.

    endpoints(reference, options, addresses) -> [Endpoint(…mirror…), …, Endpoint(https, http)]

An `Endpoint` is one registry; its `Host`s are the ways to speak to it, of which the first that answers is taken.
Plain HTTP, and TLS without a check of the certificate, only for loopback and what `insecure-registries` names:
a host[:port] as it is written in references, or a network its address lies in. A `certs.d/HOST` folder with a
CA in it makes even such a host speak TLS that can be checked. Pure: whoever calls it looks addresses up, when
`needs_lookup` says that they matter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from sampan.distribution.options import Options
from sampan.errors import InvalidParameter
from sampan.spec.reference import DEFAULT_DOMAIN, Reference

HUB = "registry-1.docker.io"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Host(NamedTuple):
    """One way to speak to one registry."""

    scheme: str
    authority: str  # host[:port], the name of its folder in certs.d
    verify: bool = True  # the certificate
    mirror: bool = False
    path: str = ""  # of repositories, before their own: 'proxied/'

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def hostname(self) -> str:
        return split_port(self.authority)[0]

    def url(self, path: str) -> str:
        """`path` begins behind `/v2/`."""
        return f"{self.origin}/v2/{path}"


class Endpoint(NamedTuple):
    hosts: tuple[Host, ...]
    repository: str  # the path of the repository there

    @property
    def mirror(self) -> bool:
        return self.hosts[0].mirror


def endpoints(
    reference: Reference,
    options: Options,
    addresses: Iterable[Address] = (),
    *,
    mirrors: bool = True,
) -> list[Endpoint]:
    """Where the repository of a reference may be had, in the order to try. A push goes to no mirror."""
    found = _mirrors(reference, options) if mirrors else []
    own = hosts_of(registry_authority(reference.domain), options, addresses)
    return [*found, Endpoint(own, reference.path)]


def registry_authority(domain: str) -> str:
    """The host that serves the names of a domain."""
    return HUB if domain == DEFAULT_DOMAIN else domain


def hosts_of(
    authority: str, options: Options, addresses: Iterable[Address] = ()
) -> tuple[Host, ...]:
    """TLS, and plain HTTP behind it where that is allowed."""
    if not allows_plain(authority, options, addresses):
        return (Host("https", authority),)
    return (Host("https", authority, verify=False), Host("http", authority, verify=False))


def allows_plain(authority: str, options: Options, addresses: Iterable[Address] = ()) -> bool:
    """Whether a host may be spoken to without TLS, or without a look at its certificate."""
    host = split_port(authority)[0]
    if authority in options.insecure_registries:
        return True
    literal = literal_address(host)
    known = [literal] if literal is not None else list(addresses)
    return host == "localhost" or any(
        address.is_loopback or any(address in network for network in _networks(options))
        for address in known
    )


def needs_lookup(authority: str, options: Options) -> bool:
    """Whether `allows_plain` depends on addresses that only a resolver knows."""
    host = split_port(authority)[0]
    return bool(_networks(options)) and host != "localhost" and literal_address(host) is None


def _mirrors(reference: Reference, options: Options) -> list[Endpoint]:
    found: list[Endpoint] = []
    for prefix in sorted(options.prefix_mirrors, key=len, reverse=True):
        if reference.name == prefix or reference.name.startswith(f"{prefix}/"):
            # Below a domain the mirror stands for the registry; below a repository for that part of it.
            rest = reference.name[len(prefix) :].lstrip("/")
            found += [_mirror(url, rest, options) for url in options.prefix_mirrors[prefix]]
            break
    if reference.domain == DEFAULT_DOMAIN:
        found += [_mirror(url, reference.path, options) for url in options.mirrors]
    return found


def _mirror(url: str, repository: str, options: Options) -> Endpoint:
    parts = urlsplit(url)
    path = parts.path.strip("/")
    verify = parts.scheme == "https" and not allows_plain(parts.netloc, options)
    host = Host(parts.scheme, parts.netloc, verify, mirror=True)
    return Endpoint((host,), "/".join(part for part in (path, repository) if part))


def check(options: Options) -> None:
    """Raises InvalidParameter with Docker's texts for mirrors and networks that make no sense."""
    for registry in options.insecure_registries:
        if "://" in registry or registry.startswith("-") or not registry:
            raise InvalidParameter(f"insecure registry {registry} should not contain '://'")
        if "/" in registry:
            _network(registry)
    for mirror in (*options.mirrors, *(u for us in options.prefix_mirrors.values() for u in us)):
        _check_mirror(mirror, options)


def _check_mirror(text: str, options: Options) -> None:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise InvalidParameter(f'invalid mirror: "{text}" is not a valid URI') from None
    if url.scheme not in ("http", "https"):
        raise InvalidParameter(f'invalid mirror: unsupported scheme "{url.scheme}" in "{text}"')
    if not url.hostname:
        raise InvalidParameter(f'invalid mirror: "{text}" is not a valid URI')
    if "@" in url.netloc:
        shown = url._replace(netloc=f"xxxxx@{url.netloc.rpartition('@')[2]}").geturl()
        raise InvalidParameter(f'invalid mirror: username/password not allowed in URI "{shown}"')
    if url.query or url.fragment:
        raise InvalidParameter(
            f'invalid mirror: unsupported query or fragment at end of the URI "{text}"'
        )
    if url.scheme == "http" and not allows_plain(url.netloc, options):
        raise InvalidParameter(
            f'invalid mirror: "{text}" is plain HTTP, which has to be allowed by insecure-registries'
        )


def _networks(options: Options) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [_network(text) for text in options.insecure_registries if "/" in text]


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(f"insecure registry {text} is not valid: not a CIDR") from None


def literal_address(host: str) -> Address | None:
    """The address that `host` is written as, if it is one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def split_port(authority: str) -> tuple[str, str]:
    """Host without brackets, and the port or nothing."""
    parts: SplitResult = urlsplit(f"//{authority}")
    return parts.hostname or "", str(parts.port) if parts.port is not None else ""
