"""Proxies as Go's clients take them from the environment: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, in either case.

NO_PROXY is a list of `*`, addresses, CIDRs, names (which stand for what ends in them, too) and `.suffixes`, each
with an optional port. Loopback is never proxied. Source: golang.org/x/net/http/httpproxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from sampan.errors import InvalidParameter


class Proxies(NamedTuple):
    """URLs, or empty. May hold a password, so it is never shown."""

    http: str = ""
    https: str = ""
    no_proxy: str = ""

    def __repr__(self) -> str:
        return "Proxies(…)"

    def choose(self, scheme: str, host: str, port: int) -> str | None:
        """The proxy's URL for a request to `host`. Raises InvalidParameter for one that cannot be used."""
        proxy = self.https if scheme == "https" else self.http
        if not proxy or _excluded(self.no_proxy, host.strip("[]").lower(), port):
            return None
        url = proxy if "://" in proxy else f"http://{proxy}"
        if urlsplit(url).scheme not in ("http", "https"):
            raise InvalidParameter(f"unsupported proxy scheme {urlsplit(url).scheme[:20]!r}")
        return url


def from_environment(environment: Mapping[str, str]) -> Proxies:
    def get(name: str) -> str:
        return environment.get(name) or environment.get(name.lower()) or ""

    return Proxies(get("HTTP_PROXY"), get("HTTPS_PROXY"), get("NO_PROXY"))


def _excluded(no_proxy: str, host: str, port: int) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    words = (word.strip().lower() for word in no_proxy.split(","))
    return any(_matches(word, host, port, address) for word in words if word)


def _matches(
    word: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if word == "*":
        return True
    if "/" in word:
        try:
            return address is not None and address in ipaddress.ip_network(word, strict=False)
        except ValueError:
            return False
    name, wanted_port = _split_port(word)
    if wanted_port and wanted_port != str(port):
        return False
    if _address(name) is not None:
        return address == _address(name)
    if name.startswith("*."):
        name = name[1:]
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _split_port(word: str) -> tuple[str, str]:
    if word.startswith("["):
        name, _, rest = word[1:].partition("]")
        return name, rest.removeprefix(":")
    if word.count(":") == 1:
        name, _, port = word.partition(":")
        return name, port
    return word, ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
