"""Whether a token server may see the user's password: the realm that a registry names is checked first.

The registry itself may be asked. Another host only over TLS, and not in a private network unless the registry
is there, too (CVE-2026-33540 and its like: a registry that names `http://169.254.169.254/` or an insider's host as
its realm). In plain HTTP only from a registry that is spoken to in plain HTTP, to a host where that is allowed.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from sampan.distribution.client import Client, is_local, same_origin
from sampan.distribution.failures import AuthFailed, clean
from sampan.distribution.hosts import Host, literal_address
from sampan.errors import InvalidParameter


class Realm(NamedTuple):
    url: str
    host: Host
    public: bool  # its address has to be one of the internet's


async def check_realm(client: Client, registry: Host, text: str) -> Realm:
    """Raises AuthFailed."""
    try:
        host = client.host_of(text)
    except InvalidParameter:
        if _is_url(text) and same_origin(text, registry.origin):
            return Realm(text, registry, public=False)
        raise _refused(text, "it is no URL of TLS") from None
    if same_origin(text, registry.origin):
        return Realm(text, registry, public=False)
    if host.scheme == "http" and registry.scheme != "http":
        raise _refused(text, "the registry uses TLS")
    local = await is_local(registry.authority)
    literal = literal_address(host.hostname)
    inside = host.hostname == "localhost" or (
        literal is not None and await is_local(host.authority)
    )
    if inside and not local:
        raise _refused(text, "it is in a private network, and the registry is not")
    return Realm(text, host, public=not local and literal is None)


def _is_url(text: str) -> bool:
    try:
        return "@" not in urlsplit(text).netloc and urlsplit(text).port != 0
    except ValueError:
        return False


def _refused(text: str, why: str) -> AuthFailed:
    return AuthFailed(f'token realm "{clean(text)[:200]}" refused: {why}')
