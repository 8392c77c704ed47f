"""Clients that do not wait long, and registries in memory for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from sampan.distribution.auth import Authorizer, authorizer
from sampan.distribution.client import Client
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.distribution.hosts import Endpoint, Host
from sampan.distribution.options import Options, Timeouts
from sampan.distribution.remote import Remote
from sampan.distribution.session import Session, connect
from tests.fakes.registry import Registry

QUICK = Timeouts(
    connect=5, document=5, silence=5, retry_base=0.001, retry_cap=0.01, retry_after=0.5
)
BOB = Credentials(username="bob", password="secret")


def options(**more: Any) -> Options:
    times = {k: more.pop(k) for k in list(more) if k in Timeouts.__dataclass_fields__}
    return Options(**{"timeouts": replace(QUICK, **times), "certs_dirs": (), **more})


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with Registry() as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client(options())
    yield made
    await made.close()


@pytest.fixture
def authorize(client: Client) -> Callable[..., Authorizer]:
    def make(registry: Registry, credentials: Credentials = NOBODY) -> Authorizer:
        return authorizer(client, credentials, registry.authority)

    return make


@pytest.fixture
def open_remote(client: Client) -> Callable[..., Any]:
    """A connected `Remote` for a repository of a registry."""

    async def make(
        registry: Registry,
        name: str = "x",
        *,
        credentials: Credentials = NOBODY,
        actions: str = "pull",
        with_client: Client = client,
    ) -> Remote:
        session = await open_session(with_client, registry, credentials, name, actions)
        return Remote(session, name)

    return make


async def open_session(
    client: Client, registry: Registry, credentials: Credentials, name: str, actions: str
) -> Session:
    host = Host(registry.origin.partition(":")[0], registry.authority, verify=False)
    scopes = frozenset((f"repository:{name}:{actions}",))
    return await connect(
        client, authorizer(client, credentials, registry.authority), (host,), scopes
    )


def endpoint(registry: Registry, name: str = "x", *, mirror: bool = False) -> Endpoint:
    return Endpoint((Host("http", registry.authority, verify=False, mirror=mirror),), name)
