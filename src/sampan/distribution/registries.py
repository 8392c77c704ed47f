"""Which registries a reference leads to, and a `Remote` for its repository there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sampan.distribution import hosts
from sampan.distribution.auth import Scopes, authorizer
from sampan.distribution.client import Client, look_up
from sampan.distribution.credentials import Credentials
from sampan.distribution.hosts import Endpoint, Host
from sampan.distribution.remote import Remote
from sampan.distribution.session import connect
from sampan.errors import SampanError
from sampan.spec.reference import Reference

log = logging.getLogger(__name__)

T = TypeVar("T")


class Registries:
    """For one operation on one reference, in one user's name."""

    def __init__(self, client: Client, reference: Reference, credentials: Credentials) -> None:
        self._client = client
        self._reference = reference
        self._authorizer = authorizer(client, credentials, reference.domain)
        self._remotes: dict[Endpoint, Remote] = {}

    async def endpoints(self, *, mirrors: bool) -> list[Endpoint]:
        addresses = await addresses_of(
            self._client, hosts.registry_authority(self._reference.domain)
        )
        return hosts.endpoints(self._reference, self._client.options, addresses, mirrors=mirrors)

    async def remote(self, endpoint: Endpoint, actions: str = "pull") -> Remote:
        """Raises Unreachable."""
        if endpoint not in self._remotes:
            scopes: Scopes = frozenset((f"repository:{endpoint.repository}:{actions}",))
            session = await connect(self._client, self._authorizer, endpoint.hosts, scopes)
            self._remotes[endpoint] = Remote(session, endpoint.repository)
        return self._remotes[endpoint]

    async def first(self, work: Callable[[Remote], Awaitable[T]]) -> tuple[Endpoint, T]:
        """What `work` makes of the first registry where it succeeds: mirrors, then the registry itself,
        whose error is raised when there is none."""
        *mirrors, own = await self.endpoints(mirrors=True)
        for endpoint in mirrors:
            try:
                return endpoint, await work(await self.remote(endpoint))
            except SampanError as error:
                log.warning("mirror %s: %s", endpoint.hosts[0].origin, error)
        return own, await work(await self.remote(own))


async def addresses_of(client: Client, authority: str) -> list[hosts.Address]:
    """The addresses of a registry, when anything depends on them."""
    if not hosts.needs_lookup(authority, client.options):
        return []
    return await look_up(hosts.split_port(authority)[0])


async def hosts_of(client: Client, authority: str) -> tuple[Host, ...]:
    """The ways to speak to a registry."""
    return hosts.hosts_of(authority, client.options, await addresses_of(client, authority))
