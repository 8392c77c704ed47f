"""Who the user is at a registry: the API's AuthConfig. Never shown, never logged."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sampan.errors import InvalidParameter
from sampan.spec.reference import DEFAULT_DOMAIN

_HUBS = frozenset((DEFAULT_DOMAIN, "index.docker.io", "registry-1.docker.io"))


@dataclass(frozen=True, repr=False)
class Credentials:
    """Empty fields are those that the client did not send."""

    username: str = ""
    password: str = ""
    server_address: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @classmethod
    def of(cls, auth: Mapping[str, Any]) -> Credentials:
        """From the decoded X-Registry-Auth, or the body of `POST /auth`. Raises InvalidParameter."""
        if auth.get("auth") and not auth.get("username"):
            auth = {**auth, **_decoded(auth["auth"])}
        keys = ("username", "password", "serveraddress", "identitytoken", "registrytoken")
        values = [auth.get(key) or "" for key in keys]
        if not all(isinstance(value, str) for value in values):
            raise InvalidParameter("invalid X-Registry-Auth header: every field is a text")
        return cls(*values)

    @property
    def has_password(self) -> bool:
        return bool(self.username or self.password)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def __repr__(self) -> str:
        return "Credentials(…)"


NOBODY = Credentials()


def registry_of(server_address: str) -> str:
    """The domain that a server address means: with or without scheme and path, empty for Docker Hub."""
    text = server_address if "//" in server_address else f"//{server_address}"
    domain = urlsplit(text).netloc.rpartition("@")[2]
    return DEFAULT_DOMAIN if not domain or domain in _HUBS else domain


def _decoded(auth: object) -> dict[str, str]:
    """`auth` of a config.json: user and password, joined and encoded."""
    try:
        text = base64.b64decode(str(auth), validate=True).decode()
    except ValueError:
        raise InvalidParameter("invalid X-Registry-Auth header: bad auth") from None
    user, _, password = text.partition(":")
    return {"username": user, "password": password.rstrip("\0")}
