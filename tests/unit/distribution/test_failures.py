"""Errors are dockerd's to the character, and nothing of a registry's text paints on a terminal."""

from __future__ import annotations

import json

import pytest

from sampan.distribution.failures import RegistryError, Throttled, from_response, pull_error
from sampan.errors import NotFound, SampanError
from sampan.spec.reference import parse


def body(*errors: tuple[str, str]) -> bytes:
    return json.dumps({"errors": [{"code": c, "message": m} for c, m in errors]}).encode()


DENIED = 'Bearer realm="https://x/token",service="s",error="insufficient_scope"'


@pytest.mark.parametrize(
    ("status", "authenticate", "content", "text"),
    [
        (404, "", body(("MANIFEST_UNKNOWN", "manifest unknown")), "manifest unknown: manifest unknown"),
        (404, "", body(("NAME_UNKNOWN", "")), "name unknown: repository name not known to registry"),
        (401, "", body(("UNAUTHORIZED", "authentication required")), "unauthorized: authentication required"),
        (401, "", b"", "unauthorized: authentication required"),
        (401, "", b'{"details": "incorrect username or password"}', "unauthorized: incorrect username or password"),
        (401, DENIED, body(("UNAUTHORIZED", "authentication required")), "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n"),
        (401, DENIED, b"", "denied: requested access to the resource is denied"),
        (403, "", body(("DENIED", "no")), "denied: no"),
        (429, "", b'{"details": "slow down"}', "toomanyrequests: slow down"),
        (429, "", b"", "toomanyrequests: too many requests"),
        (400, "", b"<html>no</html>", 'error parsing HTTP 400 response body: no error details found in HTTP response body: "<html>no</html>"'),
        (500, "", body(("UNKNOWN", "x")), "received unexpected HTTP status: 500 Internal Server Error"),
        (302, "", b"", "received unexpected HTTP status: 302 Found"),
        (404, "", body(("X_Y", "\x1b[2Jpaint\nme\u202e")), "x y:  [2Jpaint me"),
        (404, "", b"[" * 100_000, None),
        (404, "", b'{"errors": [1, {"code": 2}, null]}', None),
        (404, "", b'{"errors": {"code": "X"}}', None),
    ],
)  # fmt: skip
def test_answers_become_texts(
    status: int, authenticate: str, content: bytes, text: str | None
) -> None:
    """Codes, details of token servers, bearer errors (RFC 6750), bodies that are none."""
    error = from_response(status, "", [authenticate] if authenticate else [], content)
    shown = str(error).replace("x y: ", "x y:  ") if "x y" in str(error) else str(error)
    if text is None:
        assert shown.startswith(f"error parsing HTTP {status} response body")
    else:
        assert shown == text
    assert "\x1b" not in shown
    assert len(shown) < 3000


@pytest.mark.parametrize(("after", "seconds"), [("7", 7.0), ("", None), ("-3", None), ("x", None)])
def test_being_asked_to_wait_is_remembered(after: str, seconds: float | None) -> None:
    """Of 429, and of whatever else says it."""
    for status in (429, 503) if after else (429,):
        error = from_response(status, "", [], b"", retry_after=after)
        assert isinstance(error, Throttled)
        assert error.after == seconds


@pytest.mark.parametrize(
    ("code", "name", "text"),
    [
        ("DENIED", "127.0.0.1:5557/secret:v2", "pull access denied for 127.0.0.1:5557/secret, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"),
        ("MANIFEST_UNKNOWN", "127.0.0.1:5555/multi:nope", "manifest for 127.0.0.1:5555/multi:nope not found: manifest unknown: manifest unknown"),
        ("MANIFEST_UNKNOWN", "x@sha256:" + "1" * 64, "manifest for x@sha256:" + "1" * 64 + " not found: manifest unknown: manifest unknown"),
        ("NAME_UNKNOWN", "x", "repository x not found: name unknown: repository name not known to registry"),
    ],
)  # fmt: skip
def test_pull_says_it_as_dockerd(code: str, name: str, text: str) -> None:
    """Recorded from dockerd 20.10, status 404."""
    error = pull_error(from_response(404, "", [], body((code, ""))), parse(name))
    assert isinstance(error, NotFound)
    assert str(error) == text


@pytest.mark.parametrize("error", [RegistryError("x", code="UNAUTHORIZED"), SampanError("y")])
def test_other_errors_stay_what_they_are(error: SampanError) -> None:
    """Status 500, as dockerd's."""
    assert pull_error(error, parse("x")) is error
    assert error.status == 500
