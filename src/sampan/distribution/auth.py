"""From a challenge to an Authorization header: nothing, basic, or a token that a token server gives for it.

One `Authorizer` serves one operation of one user. It keeps, per origin, what that registry has asked for and the
tokens it got, renews them before they expire, and forgets one that is refused. A user's password goes to the
registry it is for (never to a mirror) and to the token server that this registry names, when `realm.py` agrees.
Sources: distribution's docs on token authentication (token and oauth2), RFC 6750, RFC 7617.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from sampan.distribution import challenge, failures
from sampan.distribution.challenge import Challenge
from sampan.distribution.client import Client, Request, read
from sampan.distribution.credentials import Credentials, registry_of
from sampan.distribution.failures import AuthFailed, RegistryError
from sampan.distribution.hosts import Host, registry_authority
from sampan.distribution.realm import check_realm
from sampan.distribution.retry import Retry
from sampan.errors import SampanError

TOKEN_LIMIT = 256 << 10  # bytes of a token server's answer
_LIFETIME = 60  # seconds, when it does not say
_MARGIN = 10  # seconds before its end that a token is renewed

Scopes = frozenset[str]  # 'repository:library/x:pull'


class Token(NamedTuple):
    value: str
    expires: float  # monotonic
    refresh: str = ""  # an identity token, when one was asked for

    def __repr__(self) -> str:
        return "Token(…)"


class Authorizer:
    def __init__(self, client: Client, credentials: Credentials, authority: str) -> None:
        """`authority` is the host that the credentials are for."""
        self._client = client
        self._credentials = credentials
        self._authority = authority
        self._challenges: dict[str, list[Challenge]] = {}
        self._tokens: dict[tuple[str, Scopes], Token] = {}
        self._locks: dict[tuple[str, Scopes], asyncio.Lock] = {}

    def learn(self, host: Host, authenticate: Iterable[str]) -> None:
        """A registry has answered 401, with these WWW-Authenticate headers."""
        self._challenges[host.origin] = challenge.parse(authenticate)

    async def header(self, host: Host, scopes: Scopes) -> str | None:
        """What to send to `host`. Raises AuthFailed when it wants something that we do not have."""
        user = self._user(host)
        if user.registry_token:
            return f"Bearer {user.registry_token}"
        challenges = self._challenges.get(host.origin, [])
        for asked in challenges:
            if asked.scheme == "bearer":
                return f"Bearer {(await self._token(host, asked, scopes)).value}"
        for asked in challenges:
            if asked.scheme == "basic":
                if not user.has_password:
                    raise AuthFailed("no basic auth credentials")
                return user.basic
        return None

    def refused(self, host: Host, scopes: Scopes) -> None:
        """The header was not good enough: a token may have been withdrawn."""
        self._tokens.pop((host.origin, scopes), None)

    async def identity_token(self, host: Host) -> str:
        """For a login: prove the credentials to the token server; what it gives to log in with later."""
        for asked in self._challenges.get(host.origin, ()):
            if asked.scheme == "bearer":
                token = await self._fetch(host, asked, frozenset(), offline=True)
                self._tokens[host.origin, frozenset()] = token
                return token.refresh
        return ""

    def _user(self, host: Host) -> Credentials:
        """Whoever the user is to this host: nobody, to a mirror or to any other registry."""
        if host.authority != self._authority:
            return Credentials()
        return self._credentials

    async def _token(self, host: Host, asked: Challenge, scopes: Scopes) -> Token:
        key = (host.origin, scopes)
        async with self._locks.setdefault(key, asyncio.Lock()):
            token = self._tokens.get(key)
            if token is None or token.expires < time.monotonic():
                token = self._tokens[key] = await self._fetch(host, asked, scopes)
            return token

    async def _fetch(
        self, host: Host, asked: Challenge, scopes: Scopes, *, offline: bool = False
    ) -> Token:
        realm = await check_realm(self._client, host, asked.get("realm"))
        user = self._user(host)
        wanted = sorted(scopes) or ([asked.get("scope")] if asked.get("scope") else [])
        if user.identity_token:
            form = _refresh_form(asked, wanted, user.identity_token)
            body = urlencode(form).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = Request("POST", realm.url, realm.host, headers, body, public=realm.public)
            return await self._ask(request, None)
        url = _token_url(realm.url, asked, wanted, user, offline=offline)
        request = Request("GET", url, realm.host, public=realm.public)
        return await self._ask(request, user.basic if user.has_password else None)

    async def _ask(self, request: Request, authorization: str | None) -> Token:
        retry = Retry(self._client.options)
        while True:
            try:
                return await self._ask_once(request, authorization)
            except SampanError as error:
                if isinstance(error, AuthFailed):
                    raise
                await retry.wait(error)

    async def _ask_once(self, request: Request, authorization: str | None) -> Token:
        async with self._client.send(request, authorization) as response:
            limit = TOKEN_LIMIT if response.status < 400 else failures.ERROR_LIMIT
            body = await read(response, limit)
            if response.status >= 400:
                authenticate = response.headers.getall("WWW-Authenticate", [])
                error = failures.from_response(
                    response.status,
                    response.reason or "",
                    authenticate,
                    body or b"",
                    retry_after=response.headers.get("Retry-After", ""),
                )
                if response.status in (401, 403):
                    raise AuthFailed(str(error))
                raise error
        if body is None:
            raise RegistryError("the token server's answer is too long")
        return _parse_token(body)


def authorizer(client: Client, credentials: Credentials, domain: str) -> Authorizer:
    """For the registry of a reference's domain; credentials that name another one are left out."""
    if credentials.server_address and registry_of(credentials.server_address) != domain:
        credentials = Credentials()
    return Authorizer(client, credentials, registry_authority(domain))


def _token_url(
    realm: str, asked: Challenge, scopes: list[str], user: Credentials, *, offline: bool
) -> str:
    parts = urlsplit(realm)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if user.username:
        query.append(("account", user.username))
    if offline:
        query += [("client_id", "docker"), ("offline_token", "true")]
    query += [("scope", scope) for scope in scopes]
    if asked.get("service"):
        query.append(("service", asked.get("service")))
    return parts._replace(query=urlencode(query), fragment="").geturl()


def _refresh_form(asked: Challenge, scopes: list[str], token: str) -> Mapping[str, str]:
    form = {
        "grant_type": "refresh_token",
        "service": asked.get("service"),
        "client_id": "docker",
        "refresh_token": token,
    }
    return {**form, "scope": " ".join(scopes)} if scopes else form


def _parse_token(body: bytes) -> Token:
    try:
        document: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise RegistryError("unable to decode token response") from None
    found = document if isinstance(document, dict) else {}
    value = found.get("token") or found.get("access_token")
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise RegistryError("authorization server did not include a token in the response")
    lifetime = found.get("expires_in")
    # As Docker: nothing under a minute, whatever the server says.
    seconds = max(lifetime, _LIFETIME) if isinstance(lifetime, int) else _LIFETIME
    refresh = found.get("refresh_token")
    return Token(
        value,
        time.monotonic() + min(seconds, 86400) - _MARGIN,
        refresh if isinstance(refresh, str) else "",
    )
