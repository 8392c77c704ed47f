"""`POST /auth`: with dockerd's texts and statuses, recorded from 20.10."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sampan.distribution.client import Client
from sampan.distribution.credentials import Credentials
from sampan.distribution.failures import Unreachable
from sampan.distribution.login import log_in
from sampan.errors import SampanError, Unauthorized
from tests.fakes.registry import Registry
from tests.fakes.tokens import TokenServer


def user(registry: Registry, password: str = "secret", **more: str) -> Credentials:
    address = more.pop("address", registry.authority)
    return Credentials(username="bob", password=password, server_address=address, **more)


@pytest.fixture
async def basic() -> AsyncIterator[Registry]:
    async with Registry(users={"bob": "secret"}) as made:
        yield made


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    async with TokenServer({"bob": "secret"}) as made:
        yield made


@pytest.fixture
async def guarded(tokens: TokenServer) -> AsyncIterator[Registry]:
    async with Registry(tokens=tokens) as made:
        yield made


async def test_a_registry_that_asks_for_nothing(client: Client, registry: Registry) -> None:
    """Takes anybody, as dockerd says, too."""
    assert await log_in(client, user(registry, "any")) == ("Login Succeeded", "")


@pytest.mark.parametrize("form", ["{}", "http://{}", "https://{}/v1/"])
async def test_a_password(client: Client, basic: Registry, form: str) -> None:
    """Whatever form the address has."""
    address = form.format(basic.authority)
    assert await log_in(client, user(basic, address=address)) == ("Login Succeeded", "")
    with pytest.raises(SampanError) as caught:
        await log_in(client, user(basic, "wrong", address=address))
    assert str(caught.value) == (
        f"login attempt to http://{basic.authority}/v2/ failed with status: 401 Unauthorized"
    )
    assert caught.value.status == 500


async def test_a_token_server(client: Client, guarded: Registry, tokens: TokenServer) -> None:
    """Its identity token is the answer, and good for a login by itself."""
    found = await log_in(client, user(guarded))
    assert found == ("Login Succeeded", "refresh-bob")
    query = tokens.seen[0]["query"]
    assert (query["offline_token"], query["client_id"]) == (["true"], ["docker"])
    again = user(guarded, "", identity_token="refresh-bob")
    assert (await log_in(client, again)).status == "Login Succeeded"
    assert tokens.seen[-1]["method"] == "POST"
    assert "refresh-bob" not in repr(found)


async def test_a_token_server_refuses(client: Client, guarded: Registry) -> None:
    """401, which makes the client ask again."""
    with pytest.raises(Unauthorized) as caught:
        await log_in(client, user(guarded, "wrong"))
    assert str(caught.value) == (
        f'Get "http://{guarded.authority}/v2/": unauthorized: incorrect username or password'
    )


async def test_nobody_there(client: Client) -> None:
    """The same text as for a pull."""
    with pytest.raises(Unreachable) as caught:
        await log_in(client, Credentials(username="u", password="p", server_address="127.0.0.1:1"))
    text = 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'
    assert str(caught.value) == text
