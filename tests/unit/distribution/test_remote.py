"""A repository read: manifests, blobs in part, tags page by page; and what a registry may do wrong there."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.distribution.failures import RegistryError
from sampan.distribution.remote import with_query
from sampan.spec import image as spec
from sampan.spec.digest import digest_of
from tests.fakes.images import make_image, plain_layer
from tests.fakes.registry import Registry, altered, answer, cut

IMAGE = make_image([plain_layer(1, 100_000)])
BLOB = IMAGE.layers[0]
DIGEST = digest_of(BLOB)


@pytest.fixture
async def remote(registry: Registry, open_remote: Any) -> Any:
    registry.add("a/b", "1", IMAGE)
    return await open_remote(registry, "a/b")


async def read_blob(remote: Any, offset: int = 0, size: int = len(BLOB)) -> bytes:
    pieces = []
    async with remote.open_blob(DIGEST, size, offset) as stream:
        while piece := await stream.read():
            pieces.append(piece)
    return b"".join(pieces)


async def test_manifests_by_tag_and_digest(registry: Registry, remote: Any) -> None:
    """HEAD for what a tag means, GET for the bytes; both say what is understood."""
    assert await remote.head_manifest("1") == IMAGE.digest
    for name in ("1", IMAGE.digest):
        found = await remote.get_manifest(name)
        assert (found.raw, found.content_type, found.digest) == (
            IMAGE.raw,
            spec.DOCKER_MANIFEST,
            IMAGE.digest,
        )
    for kind in (*spec.MANIFESTS, *spec.INDEXES):
        assert kind in registry.seen[-1].headers["Accept"]


async def test_what_is_not_there(remote: Any) -> None:
    """HEAD leaves the explanation to GET."""
    assert await remote.head_manifest("nope") is None
    with pytest.raises(RegistryError, match=r"^manifest unknown: manifest unknown$"):
        await remote.get_manifest("nope")
    assert not await remote.has_blob(digest_of(b"nope"))
    assert await remote.has_blob(DIGEST)


@pytest.mark.parametrize("digest", ["", "sha256:x", "sha512:" + "a" * 128, "sha256:" + "A" * 64])
async def test_a_digest_in_a_header_is_checked(
    registry: Registry, remote: Any, digest: str
) -> None:
    """What is none counts as not said."""
    registry.fault("HEAD", "manifests", answer(200, Docker_Content_Digest=digest))
    assert await remote.head_manifest("1") is None


async def test_busy_registries_are_asked_again(registry: Registry, remote: Any) -> None:
    """429 and 5xx, and cut connections; at most five times."""
    for fault in (answer(429, Retry_After="0"), answer(500), answer(503), cut(10)):
        registry.fault("GET", "manifests", fault, times=1)
    assert (await remote.get_manifest("1")).raw == IMAGE.raw
    assert len(registry.requests("GET", "manifests")) == 5
    registry.fault("GET", "manifests", answer(502))
    with pytest.raises(RegistryError) as caught:
        await remote.get_manifest("1")
    assert str(caught.value) == "received unexpected HTTP status: 502 Bad Gateway"
    assert len(registry.requests("GET", "manifests")) == 10


async def test_a_registry_may_not_ask_for_years(registry: Registry, remote: Any) -> None:
    """Retry-After: 1e9 seconds is an error at once, with the registry's reason."""
    body = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}'
    registry.fault("GET", "manifests", answer(429, body, Retry_After="1000000000"))
    with pytest.raises(RegistryError) as caught:
        await remote.get_manifest("1")
    assert str(caught.value) == "toomanyrequests: You have reached your pull rate limit."
    assert len(registry.requests("GET", "manifests")) == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_odd_success_is_no_success(registry: Registry, remote: Any, status: int) -> None:
    """Only 200 and 206 have a blob."""
    registry.fault("GET", "blobs", answer(status))
    with pytest.raises(RegistryError):
        assert await read_blob(remote) == BLOB
        raise RegistryError(
            "empty"
        )  # 204 has no bytes; whoever fetches sees that something is missing


async def test_a_manifest_that_is_too_long_is_refused(registry: Registry, remote: Any) -> None:
    """4 MiB, as registries have it."""
    registry.fault("GET", "manifests", altered(lambda raw: raw + b" " * (5 << 20)))
    with pytest.raises(RegistryError, match="is larger than 4194304 bytes"):
        await remote.get_manifest("1")


async def test_blobs_whole_and_in_part(registry: Registry, remote: Any) -> None:
    """From an offset, by Range."""
    assert await read_blob(remote) == BLOB
    assert registry.seen[-1].range == ""
    assert await read_blob(remote, 40_000) == BLOB[40_000:]
    assert registry.seen[-1].range == "bytes=40000-"


async def test_a_registry_without_ranges(registry: Registry, remote: Any) -> None:
    """Sends all of it; what is here already is passed over."""
    registry.fault("GET", "blobs", answer(200, BLOB))
    assert await read_blob(remote, 40_000) == BLOB[40_000:]


@pytest.mark.parametrize(
    ("content_range", "expected"),
    [
        (f"bytes 30000-{len(BLOB) - 1}/{len(BLOB)}", BLOB[40_000:]),
        (f"bytes 40000-{len(BLOB) - 1}/*", BLOB[40_000:]),
        (f"bytes 50000-{len(BLOB) - 1}/{len(BLOB)}", None),
        (f"bytes 40000-{len(BLOB) - 1}/7", None),
        ("bytes junk", None),
        ("", None),
    ],
)
async def test_ranges_have_to_be_what_was_asked_for(
    registry: Registry, remote: Any, content_range: str, expected: bytes | None
) -> None:
    """Or to contain it."""
    start = 30_000 if "30000" in content_range else 40_000
    registry.fault("GET", "blobs", answer(206, BLOB[start:], Content_Range=content_range))
    if expected is not None:
        assert await read_blob(remote, 40_000) == expected
    else:
        with pytest.raises(RegistryError, match="another range"):
            await read_blob(remote, 40_000)


async def test_a_length_that_is_not_the_blobs_is_refused(registry: Registry, remote: Any) -> None:
    """Before a byte of it is read."""
    registry.fault("GET", "blobs", answer(200, BLOB + b"x"))
    with pytest.raises(RegistryError, match=f"has {len(BLOB) + 1} bytes where the manifest says"):
        await read_blob(remote)


async def test_tags_page_by_page(registry: Registry, remote: Any) -> None:
    """Link headers are followed on the same host."""
    link = '</v2/a/b/tags/list?last=b>; rel="next"'
    registry.fault("GET", "tags/list?last=b", answer(200, b'{"tags": ["c"]}'))
    registry.fault("GET", "tags/list", answer(200, b'{"tags": ["a", "b"]}', Link=link))
    assert await remote.tags() == ["a", "b", "c"]
    registry.fault("GET", "a/b", answer(200, b'{"tags": null}'))


@pytest.mark.parametrize(
    ("body", "link", "text"),
    [
        (b"{", "", "list of tags is malformed"),
        (b"[]", "", "list of tags is malformed"),
        (b'{"tags": [1]}', "", "list of tags is malformed"),
        (b'{"tags": ["../x"]}', "", "list of tags is malformed"),
        (b'{"tags": ["a"]}', '<http://evil.test/>; rel="next"', "is on another host"),
        (b'{"tags": ["a"]}', '</v2/a/b/tags/list>; rel="next"', "has too many tags"),
    ],
)
async def test_bad_lists_of_tags(
    registry: Registry, remote: Any, body: bytes, link: str, text: str
) -> None:
    """Nonsense, other hosts, circles."""
    registry.fault("GET", "tags/list", answer(200, body, **({"Link": link} if link else {})))
    with pytest.raises(RegistryError, match=text):
        await remote.tags()


def test_parameters_are_added_behind_what_is_signed() -> None:
    """A registry's own query stays as it is, byte for byte."""
    url = with_query("http://x/y?_state=a%3Db%2F", digest="sha256:ab")
    assert url == "http://x/y?_state=a%3Db%2F&digest=sha256%3Aab"
    assert with_query("http://x/y", digest="d") == "http://x/y?digest=d"
