"""A token server, as registries with `Bearer` challenges have one beside them.

Tokens are JWTs when a key is given (docker-registry checks their signature; `openssl` makes it, since the standard
library has no RSA), and opaque words otherwise, which the registry in memory asks about. `users` may do
everything, nobody else may push, and repositories that begin with `secret` are for users only.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web


@dataclass
class TokenServer:
    users: dict[str, str]
    key: Path | None = None
    certificate: Path | None = None
    lifetime: int = 300
    refresh_tokens: dict[str, str] = field(default_factory=dict)  # token → user
    realm: str = ""  # what challenges say; its own address when empty
    issued: dict[str, tuple[float, set[str]]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    service: str = "registry.test"
    authority: str = ""

    async def __aenter__(self) -> TokenServer:
        app = web.Application()
        app.router.add_route("*", "/token", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.authority = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self.realm = self.realm or self.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{self.authority}/token"

    def challenge(self, scope: str, refused: bool) -> str:
        parts = [f'Bearer realm="{self.realm}"', f'service="{self.service}"']
        parts += [f'scope="{scope}"'] if scope else []
        parts += ['error="insufficient_scope"'] if refused and scope else []
        return ",".join(parts)

    def allows(self, token: str, scope: str) -> bool:
        """Whether an opaque token is good for a request."""
        expires, scopes = self.issued.get(token, (0.0, set()))
        return expires > time.monotonic() and (not scope or scope in scopes)

    def withdraw(self) -> None:
        """No token is good any more."""
        self.issued.clear()

    async def _handle(self, request: web.Request) -> web.Response:
        form = parse_qs((await request.read()).decode()) if request.method == "POST" else {}
        query = parse_qs(request.query_string) if request.method == "GET" else form
        given = request.headers.get("Authorization", "")
        self.seen.append({"method": request.method, "query": query, "authorization": given})
        user = self._user(given, query)
        if user is None:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        scopes = [word for text in query.get("scope", []) for word in text.split()]
        key = "token" if request.method == "GET" else "access_token"  # RFC 6749
        body: dict[str, Any] = {key: self._token(user, scopes), "expires_in": self.lifetime}
        if query.get("offline_token") == ["true"] and user:
            body["refresh_token"] = f"refresh-{user}"
            self.refresh_tokens[f"refresh-{user}"] = user
        return web.json_response(body)

    def _user(self, authorization: str, query: dict[str, list[str]]) -> str | None:
        """The name, empty for nobody, None when it is refused."""
        if "refresh_token" in query:
            return self.refresh_tokens.get(query["refresh_token"][0])
        if not authorization:
            return ""
        name, _, password = base64.b64decode(authorization[6:]).decode().partition(":")
        return name if self.users.get(name) == password else None

    def _token(self, user: str, scopes: list[str]) -> str:
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            wanted = [a for a in actions.split(",") if user or a == "pull"]
            if not user and name.startswith("secret"):
                wanted = []
            access.append({"type": kind, "name": name, "actions": wanted})
        token = self._sign(user, access) if self.key else f"token{len(self.seen)}"
        allowed = {f"{a['type']}:{a['name']}:{action}" for a in access for action in a["actions"]}
        self.issued[token] = (time.monotonic() + self.lifetime, allowed)
        return token

    def _sign(self, user: str, access: list[dict[str, Any]]) -> str:
        assert self.key is not None
        assert self.certificate is not None
        now = int(time.time())
        chain = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(chain).decode()]}
        claims = {
            **{"iss": "issuer", "sub": user, "aud": self.service, "jti": str(now)},
            **{"exp": now + self.lifetime, "nbf": now - 10, "iat": now, "access": access},
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
        return f"{text}.{_encoded(done.stdout)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
