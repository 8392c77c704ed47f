"""HTTP to registries: one session, HTTP/1.1, and the rules that hold for every request.

- An Authorization header is for one origin; a redirect to another one goes without it, and for good.
- At most REDIRECTS of them, only of GET and HEAD, and from TLS to plain HTTP only where plain HTTP is allowed.
- Every wait ends: connecting, the first byte, silence, and the whole of a document.
- Failures below HTTP become `Unreachable`; URLs in texts carry no query of a redirect, which may be signed.

Credentials are the business of `session.py`, retries of its callers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sampan.distribution import failures, tls
from sampan.distribution.failures import RegistryError
from sampan.distribution.hosts import Host, allows_plain, literal_address, split_port
from sampan.distribution.options import Options
from sampan.errors import InvalidParameter

REDIRECTS = 10
READ_AHEAD = 1 << 18  # bytes that aiohttp holds (twice) for whoever reads; a cut loses them
_FIELD_LIMIT = 32 << 10  # signed URLs in Location are long
_REDIRECTED = frozenset((301, 302, 303, 307, 308))

Body = bytes | AsyncIterable[bytes]


class RateLimit(NamedTuple):
    """What a registry said last about how much it still lets us have."""

    limit: str  # '100;w=21600': so many in so many seconds
    remaining: str
    source: str

    def warning(self, host: str) -> str:
        """For the user, when less than a tenth is left; else empty."""
        limit, remaining = _leading(self.limit), _leading(self.remaining)
        if limit <= 0 or remaining < 0 or remaining * 10 >= limit:
            return ""
        hours = _leading(self.limit.partition("w=")[2]) / 3600
        span = f" in {hours:g} hours" if hours > 0 else ""
        return f"WARNING: {host} lets you pull {remaining} more of {limit} images{span}"


def _leading(text: str) -> int:
    digits = text.partition(";")[0].strip()[:9]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


class Request(NamedTuple):
    """One request before redirects; `document`: the whole answer has to come in its time."""

    method: str
    url: str
    host: Host
    headers: Mapping[str, str] = {}
    body: Body | None = None
    document: bool = True
    public: bool = False  # only to an address that everybody may reach


class Client:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.rate_limits: dict[str, RateLimit] = {}  # by authority
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._contexts: dict[tuple[str, int, bool], Any] = {}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    @asynccontextmanager
    async def send(
        self, request: Request, authorization: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status, after redirects. Raises Unreachable, RegistryError."""
        url = request.url
        host = request.host
        for _ in range(REDIRECTS + 1):
            headers = {"Accept-Encoding": "identity", **request.headers}
            if authorization is not None:
                headers["Authorization"] = authorization
            async with self._once(request, url, host, headers) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTED or location is None:
                    self._note_limits(request.host, response)
                    yield response
                    return
            target = urljoin(url, location)
            host = self._redirected(request, host, target)
            if not same_origin(target, request.host.origin):
                authorization = None
            url = target
        raise RegistryError(
            f'{request.method.capitalize()} "{shown(request.url)}": stopped after 10 redirects'
        )

    @asynccontextmanager
    async def _once(
        self, request: Request, url: str, host: Host, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        text = url if url == request.url else shown(url)
        try:
            port = urlsplit(url).port or (443 if host.scheme == "https" else 80)
            proxy = self.options.proxies.choose(host.scheme, host.hostname, port)
            context = await self._context(host) if host.scheme == "https" else True
            session = self._session(public=request.public and proxy is None)
            async with session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=request.body,
                allow_redirects=False,
                proxy=proxy,
                ssl=context,
                timeout=self._timeout(document=request.document),
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            raise failures.from_exception(request.method, text, error) from None

    def _redirected(self, request: Request, host: Host, target: str) -> Host:
        """How to speak to the target of a redirect. Raises RegistryError when we do not."""
        where = f'{request.method.capitalize()} "{shown(request.url)}"'
        if request.method not in ("GET", "HEAD"):
            raise RegistryError(f"{where}: redirects are not followed")
        try:
            return self.host_of(target, plain=host.scheme == "http")
        except InvalidParameter as error:
            raise RegistryError(f"{where}: redirect refused: {error}") from None

    def host_of(self, url: str, *, plain: bool = False) -> Host:
        """The host of a URL that a registry gave us. `plain`: whoever gave it did so in plain HTTP.

        Raises InvalidParameter for what is no URL, and for plain HTTP where that is not allowed.
        """
        parts = urlsplit(url)
        try:
            _ = parts.port
        except ValueError:
            raise InvalidParameter("not a URL") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise InvalidParameter("not a URL of a registry")
        allowed = allows_plain(parts.netloc, self.options)
        if parts.scheme == "http" and not (allowed or plain):
            raise InvalidParameter(f"plain HTTP to {parts.netloc} is not allowed")
        return Host(parts.scheme, parts.netloc, verify=not allowed)

    async def _context(self, host: Host) -> Any:
        folder = tls.certificates(host.authority, self.options.certs_dirs)
        # A folder that changes is read again; connections are kept by context, so it must not be made anew.
        changed = os.stat(folder).st_mtime_ns if folder is not None else 0
        verify = host.verify or (folder is not None and tls.has_authority(folder))
        key = (folder or "", changed, verify)
        if key not in self._contexts:
            self._contexts[key] = await asyncio.to_thread(tls.context, folder, verify=verify)
        return self._contexts[key]

    def _session(self, *, public: bool) -> aiohttp.ClientSession:
        if public not in self._sessions:
            resolver = PublicResolver() if public else None
            self._sessions[public] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, limit=64, keepalive_timeout=15),
                headers={"User-Agent": self.options.user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_AHEAD,
                max_line_size=_FIELD_LIMIT,
                max_field_size=_FIELD_LIMIT,
            )
        return self._sessions[public]

    def _timeout(self, *, document: bool) -> aiohttp.ClientTimeout:
        times = self.options.timeouts
        return aiohttp.ClientTimeout(
            total=times.document if document else None,
            sock_connect=times.connect,
            sock_read=times.silence,
        )

    def _note_limits(self, host: Host, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        if "RateLimit-Limit" in headers or "RateLimit-Remaining" in headers:
            names = ("RateLimit-Limit", "RateLimit-Remaining", "Docker-RateLimit-Source")
            values = [failures.clean(headers.get(name, ""))[:80] for name in names]
            self.rate_limits[host.authority] = RateLimit(*values)


class PublicResolver(AbstractResolver):
    """Refuses names that lead into private networks, at the moment of connecting."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(answer["host"]) for answer in found):
            raise OSError("it is in a private network")
        return found

    async def close(self) -> None:
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_global


async def is_local(authority: str) -> bool:
    """Whether a host is this machine or in a private network, by all that a resolver knows."""
    hostname = split_port(authority)[0]
    literal = literal_address(hostname)
    if literal is not None:
        return not is_public(str(literal))
    addresses = await look_up(hostname)
    return hostname == "localhost" or (
        bool(addresses) and not any(is_public(str(address)) for address in addresses)
    )


async def look_up(hostname: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a name; none when it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            hostname, None, type=socket.SOCK_STREAM
        )
    except OSError:
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


async def read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The body, or None when it is longer than `limit`."""
    data = bytearray()
    while piece := await response.content.readany():
        data += piece
        if len(data) > limit:
            return None
    return bytes(data)


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs are of one scheme, host and port."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def shown(url: str) -> str:
    """A URL for people: what comes behind `?` may be a signature."""
    return urlsplit(url)._replace(query="", fragment="").geturl()
