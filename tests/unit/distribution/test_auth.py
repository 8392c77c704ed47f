"""Passwords and tokens: asked for, given to whom they belong, renewed, and shown to nobody."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sampan.distribution import auth
from sampan.distribution.auth import authorizer
from sampan.distribution.client import Client, Request
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.distribution.failures import AuthFailed, RegistryError
from sampan.distribution.hosts import Host
from sampan.distribution.remote import Remote
from sampan.distribution.session import connect
from tests.fakes.images import make_image, plain_layer
from tests.fakes.registry import Registry, answer, redirected
from tests.fakes.tokens import TokenServer
from tests.unit.distribution.conftest import BOB, options

IMAGE = make_image([plain_layer(1)])
WRONG = Credentials(username="bob", password="wrong-secret")


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    async with TokenServer({"bob": "secret"}) as made:
        yield made


@pytest.fixture
async def guarded(tokens: TokenServer) -> AsyncIterator[Registry]:
    """Asks for tokens."""
    async with Registry(tokens=tokens) as made:
        made.add("x", "1", IMAGE)
        made.add("secret", "1", IMAGE)
        yield made


@pytest.fixture
async def basic() -> AsyncIterator[Registry]:
    """Asks for a password."""
    async with Registry(users={"bob": "secret"}) as made:
        made.add("x", "1", IMAGE)
        yield made


async def test_nobody_needs_no_password(registry: Registry, open_remote: Any) -> None:
    """And gives none, even when there is one."""
    registry.add("x", "1", IMAGE)
    remote = await open_remote(registry, credentials=BOB)
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert [seen.authorization for seen in registry.seen] == ["", ""]


async def test_a_password_is_given_when_asked_for(basic: Registry, open_remote: Any) -> None:
    """Known from the greeting on: one request, not two."""
    remote = await open_remote(basic, credentials=BOB)
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert [seen.status for seen in basic.seen] == [401, 200]


@pytest.mark.parametrize(
    ("credentials", "kind", "text"),
    [
        (NOBODY, AuthFailed, 'Get "{url}": no basic auth credentials'),
        (WRONG, RegistryError, "unauthorized: authentication required"),
    ],
)
async def test_a_wrong_password_is_said(
    basic: Registry, open_remote: Any, credentials: Credentials, kind: Any, text: str
) -> None:
    """In dockerd's words; it is tried once."""
    remote = await open_remote(basic, credentials=credentials)
    with pytest.raises(kind) as caught:
        await remote.get_manifest("1")
    assert str(caught.value) == text.format(url=remote.url("manifests/1"))
    assert len(basic.requests("GET", "manifests")) == (1 if credentials is WRONG else 0)


async def test_a_token_is_fetched_and_used_again(
    guarded: Registry, tokens: TokenServer, open_remote: Any
) -> None:
    """One for a scope; the password goes to the token server, never to the registry."""
    remote = await open_remote(guarded, credentials=BOB)
    for _ in range(3):
        await remote.get_manifest("1")
    assert len(tokens.seen) == 1
    assert tokens.seen[0]["query"] == {
        **{"account": ["bob"], "scope": ["repository:x:pull"], "service": ["registry.test"]}
    }
    assert tokens.seen[0]["authorization"] == BOB.basic
    assert {seen.authorization.partition(" ")[0] for seen in guarded.seen} == {"", "Bearer"}


async def test_nobody_gets_a_token_too(
    guarded: Registry, tokens: TokenServer, open_remote: Any
) -> None:
    """For what everybody may read; what not, is refused as Docker Hub does."""
    remote = await open_remote(guarded)
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert tokens.seen[0]["authorization"] == ""
    secret = await open_remote(guarded, "secret")
    with pytest.raises(RegistryError) as caught:
        await secret.head_manifest("1")
    assert str(caught.value) == "denied: requested access to the resource is denied"
    assert caught.value.code == "DENIED"


async def test_a_token_server_may_refuse(guarded: Registry, open_remote: Any) -> None:
    """dockerd's text, with method and URL of what was wanted."""
    remote = await open_remote(guarded, credentials=WRONG)
    with pytest.raises(AuthFailed) as caught:
        await remote.head_manifest("1")
    url = remote.url("manifests/1")
    assert str(caught.value) == f'Head "{url}": unauthorized: incorrect username or password'
    assert caught.value.reason == "unauthorized: incorrect username or password"


async def test_a_withdrawn_token_is_fetched_anew(
    guarded: Registry, tokens: TokenServer, open_remote: Any
) -> None:
    """In the middle of a pull."""
    remote = await open_remote(guarded, credentials=BOB)
    await remote.get_manifest("1")
    tokens.withdraw()
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert len(tokens.seen) == 2


async def test_a_token_that_runs_out_is_renewed_before(
    guarded: Registry, tokens: TokenServer, open_remote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a long pull sees no refusal."""
    remote = await open_remote(guarded, credentials=BOB)
    await remote.get_manifest("1")
    later = auth.time.monotonic() + tokens.lifetime - 5
    monkeypatch.setattr(auth.time, "monotonic", lambda: later)
    await remote.get_manifest("1")
    assert len(tokens.seen) == 2
    assert [seen.status for seen in guarded.seen] == [401, 200, 200]


async def test_an_endless_circle_of_tokens_ends(
    guarded: Registry, tokens: TokenServer, open_remote: Any
) -> None:
    """A registry that takes no token is asked twice."""
    guarded.fault("GET", "manifests", answer(401, WWW_Authenticate=tokens.challenge("x", False)))
    remote = await open_remote(guarded, credentials=BOB)
    with pytest.raises(RegistryError, match="unauthorized"):
        await remote.get_manifest("1")
    assert len(guarded.requests("GET", "manifests")) == 2
    assert len(tokens.seen) == 2


async def test_identity_and_registry_tokens(
    guarded: Registry, tokens: TokenServer, open_remote: Any
) -> None:
    """An identity token is exchanged (OAuth2); a registry token is sent as it is."""
    tokens.refresh_tokens["identity"] = "bob"
    remote = await open_remote(guarded, credentials=Credentials(identity_token="identity"))
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    form = tokens.seen[0]["query"]
    assert form["grant_type"] == ["refresh_token"]
    assert (form["refresh_token"], form["scope"]) == (["identity"], ["repository:x:pull"])
    given = next(iter(tokens.issued))
    remote = await open_remote(guarded, credentials=Credentials(registry_token=given))
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert len(tokens.seen) == 1


async def test_credentials_are_for_one_registry(basic: Registry, client: Client) -> None:
    """Those that name another one are not used; a mirror never sees any."""
    other = replace(BOB, server_address="other.test")
    for made in (
        authorizer(client, other, basic.authority),
        authorizer(client, BOB, "other.test"),
    ):
        host = Host("http", basic.authority, verify=False, mirror=True)
        session = await connect(client, made, (host,), frozenset())
        with pytest.raises(AuthFailed, match="no basic auth credentials"):
            await Remote(session, "x").get_manifest("1")
    assert {seen.authorization for seen in basic.seen} == {""}


async def test_a_redirect_goes_without_a_password(basic: Registry, open_remote: Any) -> None:
    """To another origin; and what that one asks for is not answered."""
    async with Registry(users={"bob": "secret"}) as other:
        other.add("x", "1", IMAGE)
        basic.fault("GET", "manifests", redirected(other.origin))
        remote = await open_remote(basic, credentials=BOB)
        with pytest.raises(RegistryError, match="unauthorized"):
            await remote.get_manifest("1")
        assert [seen.authorization for seen in other.seen] == [""]
    assert basic.requests("GET", "manifests")[0].authorization == BOB.basic


async def test_a_realm_elsewhere_sees_nothing(registry: Registry, open_remote: Any) -> None:
    """A registry over plain HTTP on loopback that names a host in the world in plain HTTP."""
    realm = 'Bearer realm="http://evil.test/token",service="x"'
    registry.fault("GET", "/v2/", answer(401, WWW_Authenticate=realm))
    remote = await open_remote(registry, credentials=BOB)
    with pytest.raises(AuthFailed, match=r'token realm "http://evil.test/token" refused'):
        await remote.get_manifest("1")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no json", "unable to decode token response"),
        (b"{}", "authorization server did not include a token in the response"),
        (b'{"token": 1}', "did not include a token"),
        (b'{"token": "a\\nb: c"}', "did not include a token"),
        (b"[" * 1000, "unable to decode token response"),
        (b'{"token": "' + b"x" * 300_000 + b'"}', "the token server's answer is too long"),
    ],
)
async def test_nonsense_of_a_token_server(
    registry: Registry, open_remote: Any, body: bytes, text: str
) -> None:
    """No token, no header out of one, no memory for a long one."""
    challenge = f'Bearer realm="http://{registry.authority}/token"'
    registry.fault("GET", "/token", answer(200, body))
    registry.fault("GET", "/v2/", answer(401, WWW_Authenticate=challenge))
    remote = await open_remote(registry)
    with pytest.raises(RegistryError, match=text):
        await remote.get_manifest("1")


async def test_a_token_server_that_is_busy_is_asked_again(
    guarded: Registry, open_remote: Any, registry: Registry, tokens: TokenServer
) -> None:
    """As often as anybody else."""
    tokens.realm = f"http://{registry.authority}/token"
    registry.fault("GET", "/token", answer(503), times=2)
    registry.fault("GET", "/token", answer(200, b'{"token": "given"}'))
    tokens.issued["given"] = (float("inf"), {"repository:x:pull"})
    remote = await open_remote(guarded)
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert len(registry.seen) == 3


async def test_secrets_are_not_shown(
    guarded: Registry, tokens: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in logs, nor in the text of anything on the way."""
    caplog.set_level(logging.DEBUG)
    client = Client(options())
    made = authorizer(client, WRONG, guarded.authority)
    host = Host("http", guarded.authority, verify=False)
    session = await connect(client, made, (host,), frozenset(("repository:x:pull",)))
    with pytest.raises(AuthFailed) as caught:
        async with session.request(Request("GET", host.url("x/manifests/1"), host)):
            pass
    await client.close()
    token = auth._parse_token(json.dumps({"token": "hidden", "refresh_token": "hidden"}).encode())
    shown = f"{caplog.text} {caught.value!r} {made!r} {vars(made)} {session!r} {token!r}"
    assert "hidden" not in shown
    assert "wrong-secret" not in shown
    assert WRONG.basic[6:] not in shown
