"""WWW-Authenticate headers, as registries and hostile hosts write them."""

from __future__ import annotations

import time

import pytest

from sampan.distribution.challenge import Challenge, parse

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull"'


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a b"'], [("basic", {"realm": "a b"})]),
        (["BASIC REALM=x"], [("basic", {"realm": "x"})]),
        ([HUB], [("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:library/x:pull"})]),
        (['Bearer realm="a", Basic realm="b"'], [("bearer", {"realm": "a"}), ("basic", {"realm": "b"})]),
        (['Bearer realm="a"', 'Basic realm="b"'], [("bearer", {"realm": "a"}), ("basic", {"realm": "b"})]),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (['Basic realm="a\\"b\\\\c"'], [("basic", {"realm": 'a"b\\c'})]),
        (['Bearer realm = "a" , service = b'], [("bearer", {"realm": "a", "service": "b"})]),
        (['Bearer realm="first",realm="second"'], [("bearer", {"realm": "first"})]),
        (['Bearer scope="repository:x:pull,push"'], [("bearer", {"scope": "repository:x:pull,push"})]),
        (['Bearer realm="open'], [("bearer", {})]),
        (["=== junk"], []),
    ],
)  # fmt: skip
def test_challenges_are_read(values: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    """One or several, in one header or in several, quoted or not."""
    assert parse(values) == [Challenge(*one) for one in expected]


@pytest.mark.parametrize(
    "text", ['"' * 10**6, "a=" * 10**6, "Bearer " * 10**5, 'x="\\' * 10**5, "," * 10**6]
)
def test_hostile_headers_take_no_time(text: str) -> None:
    """Megabytes of whatever confuses parsers."""
    began = time.monotonic()
    parse([f"Bearer {text}"])
    assert time.monotonic() - began < 1
