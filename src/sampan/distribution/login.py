"""`POST /auth`: whether a registry takes a user's password, or identity token."""

from __future__ import annotations

from typing import NamedTuple

from sampan.distribution.auth import Authorizer
from sampan.distribution.client import Client, Request
from sampan.distribution.credentials import Credentials, registry_of
from sampan.distribution.failures import AuthFailed
from sampan.distribution.hosts import Host, registry_authority
from sampan.distribution.registries import hosts_of
from sampan.distribution.session import connect, failure_of
from sampan.errors import SampanError, Unauthorized


class LoggedIn(NamedTuple):
    status: str
    identity_token: str  # to be kept instead of the password; often empty

    def __repr__(self) -> str:
        return f"LoggedIn({self.status!r}, …)"


async def log_in(client: Client, credentials: Credentials) -> LoggedIn:
    """Raises Unauthorized (a token server refused), SampanError with dockerd's texts."""
    authority = registry_authority(registry_of(credentials.server_address))
    authorizer = Authorizer(client, credentials, authority)
    session = await connect(client, authorizer, await hosts_of(client, authority), frozenset())
    host = session.host
    try:
        token = await authorizer.identity_token(host)
        authorization = await authorizer.header(host, frozenset())
    except AuthFailed as error:
        raise Unauthorized(f'Get "{host.url("")}": {error}') from None
    await _check(client, host, authorization)
    return LoggedIn("Login Succeeded", token)


async def _check(client: Client, host: Host, authorization: str | None) -> None:
    async with client.send(Request("GET", host.url(""), host), authorization) as response:
        if response.status >= 400:
            await failure_of(response)
            raise SampanError(
                f"login attempt to {host.url('')} failed with status: {response.status} "
                f"{response.reason or ''}".rstrip()
            )
