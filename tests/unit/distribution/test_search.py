"""Searching: Docker Hub's API and any registry's, filters and limits, with dockerd's texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sampan.distribution.client import Client
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.distribution.search import SearchResult, Wanted, find, parse_filters, split_term
from sampan.errors import InvalidParameter, SampanError
from tests.fakes.registry import Registry, answer

RESULTS = [
    {
        "name": "busybox",
        "description": "small\x1b[1m\ntools",
        "star_count": 50,
        "is_official": True,
    },
    {"name": "me/busybox", "description": None, "star_count": 3, "is_automated": True},
    {"name": "other", "star_count": 0, "unknown": [1]},
]


@pytest.fixture
def searching(registry: Registry) -> Registry:
    results = [{k: v for k, v in result.items() if v is not None} for result in RESULTS]
    registry.fault("GET", "/v1/search", answer(200, json.dumps({"results": results}).encode()))
    return registry


async def search(
    client: Client, registry: Registry, credentials: Credentials = NOBODY, **more: Any
) -> list[SearchResult]:
    arguments = {"limit": 25, "filters": {}, **more}
    return await find(client, f"{registry.authority}/busy box", credentials, **arguments)


async def test_a_registry_answers(client: Client, searching: Registry) -> None:
    """Over TLS first; the host is on this machine, so then in plain HTTP. Texts cannot paint."""
    found = await search(client, searching)
    assert [result.name for result in found] == ["busybox", "me/busybox", "other"]
    assert found[0] == SearchResult(
        name="busybox", description="small [1m tools", star_count=50, is_official=True
    )
    assert searching.seen[0].path == "/v1/search?q=busy+box&n=25"


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"is-official": ["true"]}, ["busybox"]),
        ({"is-official": ["0"]}, ["me/busybox", "other"]),
        ({"is-automated": ["1"]}, ["me/busybox"]),
        ({"stars": ["3"]}, ["busybox", "me/busybox"]),
        ({"stars": ["3", "10"]}, ["busybox"]),
        ({"stars": ["3"], "is-official": ["false"]}, ["me/busybox"]),
    ],
)
async def test_filters(
    client: Client, searching: Registry, filters: Mapping[str, Sequence[str]], names: list[str]
) -> None:
    """On what came back."""
    found = await search(client, searching, filters=filters)
    assert [result.name for result in found] == names


async def test_a_limit_holds_whatever_comes(client: Client, searching: Registry) -> None:
    """And is sent."""
    assert len(await search(client, searching, limit=2)) == 2
    assert searching.seen[0].path.endswith("&n=2")


@pytest.mark.parametrize(
    ("filters", "text"),
    [
        ({"foo": ["x"]}, "Invalid filter 'foo'"),
        ({"is-official": ["x"]}, "Invalid filter 'is-official=[x]'"),
        ({"stars": ["x"]}, "Invalid filter 'stars=x'"),
        ({"stars": ["-1"]}, "Invalid filter 'stars=-1'"),
    ],
)
def test_bad_filters(filters: Mapping[str, Sequence[str]], text: str) -> None:
    """dockerd's texts."""
    with pytest.raises(InvalidParameter) as caught:
        parse_filters(filters)
    assert str(caught.value) == text
    assert parse_filters({}) == Wanted()


@pytest.mark.parametrize("limit", [-1, 101, 200])
async def test_bad_limits(client: Client, registry: Registry, limit: int) -> None:
    """0 is the default, 25."""
    with pytest.raises(InvalidParameter) as caught:
        await search(client, registry, limit=limit)
    assert str(caught.value) == f"Limit {limit} is outside the range of [1, 100]"


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, b"", "Unexpected status code 404"),
        (200, b"{", "error decoding registry search results"),
        (200, b'{"results": [{"name": 1}]}', "error decoding registry search results"),
        (200, b" " * (5 << 20), "the answer to the search is too long"),
    ],
)
async def test_bad_answers(
    client: Client, registry: Registry, status: int, body: bytes, text: str
) -> None:
    """The first is dockerd's."""
    registry.fault("GET", "/v1/search", answer(status, body))
    with pytest.raises(SampanError, match=text):
        await search(client, registry)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("busybox", ("docker.io", "busybox")),
        ("library/busybox", ("docker.io", "busybox")),
        ("me/x", ("docker.io", "me/x")),
        ("index.docker.io/x", ("docker.io", "x")),
        ("quay.io/a/b", ("quay.io", "a/b")),
        ("localhost/x", ("localhost", "x")),
        ("reg:5000/library/x", ("reg:5000", "library/x")),
        ("", ("docker.io", "")),
    ],
)
def test_terms(term: str, expected: tuple[str, str]) -> None:
    """A registry may come first."""
    assert split_term(term) == expected


async def test_a_password_is_for_its_registry(client: Client, searching: Registry) -> None:
    """And for no other."""
    for address, header in ((searching.authority, "Basic "), ("other.test", "")):
        searching.seen.clear()
        credentials = Credentials(username="u", password="p", server_address=address)
        await search(client, searching, credentials)
        assert searching.seen[0].authorization.startswith(header)
        assert bool(searching.seen[0].authorization) == bool(header)
    with pytest.raises(InvalidParameter, match="should not have a scheme"):
        await find(client, "https://x/y", NOBODY, limit=1, filters={})


async def test_nobody_there(client: Client) -> None:
    """Both ways are told, where plain HTTP is one of them."""
    with pytest.raises(SampanError) as caught:
        await find(client, "127.0.0.1:1/x", NOBODY, limit=1, filters={})
    text = str(caught.value)
    assert text.startswith('invalid registry endpoint "http://127.0.0.1:1/v1/". HTTPS attempt: Get')
    assert "connection refused. HTTP attempt: Get" in text
