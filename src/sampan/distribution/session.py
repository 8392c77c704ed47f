"""Requests to one registry in the name of one user: answers, or errors in Docker's words.

    remote = await connect(client, authorizer, endpoint)       # GET /v2/ on the first way that answers
    async with session.request(…) as response: …               # a success; everything else is raised

A 401 leads to at most one more try with what the registry asks for. Requests that change nothing are repeated
when the failure may pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from sampan.distribution import failures
from sampan.distribution.auth import Authorizer, Scopes
from sampan.distribution.client import Client, Request, read, same_origin
from sampan.distribution.failures import AuthFailed, RegistryError, Unreachable
from sampan.distribution.hosts import Host
from sampan.distribution.retry import Retry
from sampan.errors import SampanError


class Session:
    def __init__(self, client: Client, authorizer: Authorizer, host: Host, scopes: Scopes) -> None:
        self.client = client
        self.host = host
        self._authorizer = authorizer
        self.scopes = scopes

    @asynccontextmanager
    async def request(
        self, request: Request, *, scopes: Scopes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is a success. Raises RegistryError, Unreachable, AuthFailed (with URL, as Go has it)."""
        wanted = self.scopes if scopes is None else scopes
        for attempt in (1, 2):
            authorization = await self._header(request, wanted)
            async with self.client.send(request, authorization) as response:
                if 200 <= response.status < 300:
                    yield response
                    return
                # Only the registry's own answer is a challenge to us, not one behind a redirect.
                asks = response.status == 401 and self._is_own(response)
                error = await failure_of(response)
                if asks:
                    self._authorizer.learn(
                        self.host, response.headers.getall("WWW-Authenticate", [])
                    )
                    self._authorizer.refused(self.host, wanted)
            if attempt == 2 or not asks or not _repeatable(request):
                raise error
            if await self._header(request, wanted) == authorization:
                raise error  # the same again would be refused again

    def _is_own(self, response: aiohttp.ClientResponse) -> bool:
        return same_origin(str(response.url), self.host.origin)

    async def _header(self, request: Request, scopes: Scopes) -> str | None:
        try:
            return await self._authorizer.header(self.host, scopes)
        except AuthFailed as error:
            raise AuthFailed(
                error.reason, f'{request.method.capitalize()} "{request.url}"'
            ) from None

    async def document(
        self, request: Request, limit: int, *, scopes: Scopes | None = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """A whole answer, repeated when a failure may pass. Raises RegistryError when it is too long."""
        retry = Retry(self.client.options)
        while True:
            try:
                async with self.request(request, scopes=scopes) as response:
                    body = await read(response, limit)
                if body is None:
                    raise RegistryError(
                        f"the answer of {self.host.authority} is larger than {limit} bytes"
                    )
                return response, body
            except SampanError as error:
                if isinstance(error, Unreachable) and error.connecting:
                    raise
                await retry.wait(error)

    async def ping(self) -> None:
        """Say hello, and learn what the registry wants to see. Raises Unreachable."""
        request = Request("GET", self.host.url(""), self.host)
        async with self.client.send(request) as response:
            if response.status == 401 and self._is_own(response):
                self._authorizer.learn(self.host, response.headers.getall("WWW-Authenticate", []))


async def connect(
    client: Client, authorizer: Authorizer, hosts: tuple[Host, ...], scopes: Scopes
) -> Session:
    """A session with the first of a registry's hosts that answers. Raises Unreachable."""
    for host in hosts[:-1]:
        session = Session(client, authorizer, host, scopes)
        try:
            await session.ping()
        except Unreachable:
            continue
        return session
    session = Session(client, authorizer, hosts[-1], scopes)
    await session.ping()
    return session


def _repeatable(request: Request) -> bool:
    return request.body is None or isinstance(request.body, bytes)


async def failure_of(response: aiohttp.ClientResponse) -> RegistryError:
    """The error that an answer of 400 or more is."""
    body = await read(response, failures.ERROR_LIMIT)
    return failures.from_response(
        response.status,
        response.reason or "",
        response.headers.getall("WWW-Authenticate", []),
        body or b"",
        retry_after=response.headers.get("Retry-After", ""),
    )
