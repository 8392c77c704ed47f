"""The API's AuthConfig, and that it is never shown."""

from __future__ import annotations

import base64

import pytest

from sampan.distribution.credentials import Credentials, registry_of
from sampan.errors import InvalidParameter


def test_every_field_is_read_and_none_is_shown() -> None:
    """From the decoded header; texts of exceptions and logs never have a secret."""
    made = Credentials.of(
        {
            **{"username": "u", "password": "hidden1", "serveraddress": "s", "email": "ignored"},
            **{"identitytoken": "hidden2", "registrytoken": "hidden3"},
        }
    )
    assert (made.username, made.password, made.server_address) == ("u", "hidden1", "s")
    assert (made.identity_token, made.registry_token) == ("hidden2", "hidden3")
    assert base64.b64decode(made.basic[6:]) == b"u:hidden1"
    assert "hidden" not in f"{made} {made!r} {[made]}"


def test_the_joined_form_is_read() -> None:
    """`auth` is user and password of a config.json."""
    joined = base64.b64encode(b"u:p:w\0").decode()
    made = Credentials.of({"auth": joined})
    assert (made.username, made.password) == ("u", "p:w")
    assert not Credentials.of({}).has_password


@pytest.mark.parametrize(
    "auth", [{"username": 1}, {"password": ["x"]}, {"auth": "%%%"}, {"auth": "/w=="}]
)
def test_nonsense_is_refused(auth: dict[str, object]) -> None:
    """Without a word of what was in it."""
    with pytest.raises(InvalidParameter, match="invalid X-Registry-Auth header"):
        Credentials.of(auth)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("quay.io", "quay.io"),
        ("https://reg.test:5000/v2/", "reg.test:5000"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_server_addresses_mean_domains(address: str, domain: str) -> None:
    """As clients write them into config.json."""
    assert registry_of(address) == domain
