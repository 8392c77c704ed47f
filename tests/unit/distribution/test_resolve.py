"""From a name to the manifest for a platform, through honest and lying indexes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from sampan.distribution.failures import RegistryError
from sampan.distribution.manifests import NoMatch
from sampan.distribution.progress import Message
from sampan.distribution.resolve import FETCHES, Found, Lookup
from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of
from sampan.spec.image import parse_config
from sampan.spec.platform import Platform, parse
from sampan.spec.reference import Reference
from tests.fakes.images import (
    Document,
    described,
    make_config,
    make_image,
    make_index,
    plain_layer,
)
from tests.fakes.registry import Registry, altered, answer

AMD = make_image([plain_layer(1)], platform="linux/amd64")
ARM = make_image([plain_layer(2)], platform="linux/arm64")
INDEX = make_index([(ARM, "linux/arm64"), (AMD, "linux/amd64")])


class Images:
    """What is here already."""

    def __init__(self, **known: Document) -> None:
        self._known = known

    def find(self, reference: Reference) -> str | None:
        return next(
            (key for key, image in self._known.items() if image.digest == reference.digest), None
        )

    def get(self, image_id: str) -> Any:
        document = self._known[image_id]

        class Image:
            id = image_id
            config = parse_config(document.config)

        return Image()


async def find(
    remote: Any,
    *,
    platform: str = "linux/amd64",
    tag: str | None = "1",
    digest: Digest | None = None,
    images: Images | None = None,
    progress: Any = lambda message: None,
) -> Found:
    reference = Reference("reg.test", "x", tag, digest)
    lookup = Lookup(images or Images(), reference, parse(platform), progress)  # type: ignore[arg-type]
    return await lookup.find(remote)


@pytest.mark.parametrize(
    ("platform", "image"), [("linux/amd64", AMD), ("linux/arm64", ARM), ("linux/amd64/v3", AMD)]
)
async def test_the_platform_is_chosen(
    registry: Registry, open_remote: Any, platform: str, image: Document
) -> None:
    """The digest is that of the index, as Docker shows it."""
    registry.add("x", "1", INDEX)
    found = await find(await open_remote(registry), platform=platform)
    assert found.digest == INDEX.digest
    assert [document.raw for document in found.path] == [INDEX.raw, image.raw]


async def test_a_single_manifest_is_for_whoever_asks(registry: Registry, open_remote: Any) -> None:
    """What the platform is, its config says later; dockerd warns then."""
    registry.add("x", "1", ARM)
    messages: list[Message] = []
    found = await find(await open_remote(registry), progress=messages.append)
    assert [document.raw for document in found.path] == [ARM.raw]
    assert messages == [{"status": "Pulling from x", "id": "1"}]


async def test_none_for_the_platform(registry: Registry, open_remote: Any) -> None:
    """After `Pulling from`, with dockerd's text."""
    registry.add("x", "1", make_index([(ARM, "linux/arm64")]))
    messages: list[Message] = []
    with pytest.raises(
        NoMatch, match="no matching manifest for linux/s390x in the manifest list entries"
    ):
        await find(await open_remote(registry), platform="linux/s390x", progress=messages.append)
    assert len(messages) == 1


async def test_what_is_here_is_not_fetched(registry: Registry, open_remote: Any) -> None:
    """One HEAD says it; unless the image that is here is for another platform."""
    registry.add("x", "1", INDEX)
    remote = await open_remote(registry)
    here = Images(amd=AMD)
    here.find = lambda reference: "amd" if reference.digest == INDEX.digest else None  # type: ignore[method-assign]
    found = await find(remote, images=here)
    assert found.image is not None
    assert [seen.method for seen in registry.seen[1:]] == ["HEAD"]
    found = await find(remote, images=here, platform="linux/arm64")
    assert found.image is None
    assert found.path[-1].raw == ARM.raw


async def test_a_digest_is_asked_for_even_if_it_is_here(
    registry: Registry, open_remote: Any
) -> None:
    """Another repository's image is no proof that this one has it (moby: TestImagePullStoredDigestForOtherRepo)."""
    remote = await open_remote(registry)
    with pytest.raises(RegistryError, match="manifest unknown"):
        await find(remote, tag=None, digest=AMD.digest, images=Images(amd=AMD))
    registry.add("x", "", AMD)
    messages: list[Message] = []
    found = await find(remote, tag="ignored", digest=AMD.digest, progress=messages.append)
    assert found.path[-1].raw == AMD.raw
    assert messages[0]["id"] == f"reg.test/x:ignored@{AMD.digest}"


async def test_indexes_within_indexes(registry: Registry, open_remote: Any) -> None:
    """Entries without a platform may be anything; configs decide."""
    inner = make_index([(ARM, ""), (AMD, "")], oci=True)
    outer = make_index([(make_index([(ARM, "linux/arm64")]), ""), (inner, "")], oci=True)
    registry.add("x", "1", outer)
    found = await find(await open_remote(registry))
    assert [document.raw for document in found.path] == [outer.raw, inner.raw, AMD.raw]
    with pytest.raises(NoMatch):
        await find(await open_remote(registry), platform="linux/riscv64")


async def test_nesting_has_an_end(registry: Registry, open_remote: Any) -> None:
    """CVE-2026-53493: depth, width, and both."""
    deep = make_index([(AMD, "linux/amd64")])
    for _ in range(3):
        deep = make_index([(deep, "linux/amd64")])
    registry.add("x", "1", deep)
    with pytest.raises(InvalidParameter, match="nested too deeply"):
        await find(await open_remote(registry))
    wide = make_index(
        [(make_image([plain_layer(n)], platform="linux/arm64"), "") for n in range(20)]
    )
    registry.add("x", "1", wide)
    with pytest.raises(InvalidParameter, match="it leads to too many manifests"):
        await find(await open_remote(registry))
    registry.seen.clear()
    fan = make_index([(make_index([(ARM, "linux/arm64")] * (n + 1)), "") for n in range(20)])
    registry.add("x", "1", fan)
    began = time.monotonic()
    with pytest.raises(InvalidParameter, match="it leads to too many manifests"):
        await find(await open_remote(registry))
    assert len(registry.requests("GET", "manifests")) == FETCHES + 1
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("count", [257, 10_000])
async def test_a_vast_index_is_refused(registry: Registry, open_remote: Any, count: int) -> None:
    """Quickly."""
    entry = described(AMD.raw, AMD.media_type)
    raw = json.dumps(
        {"schemaVersion": 2, "mediaType": spec.OCI_INDEX, "manifests": [entry] * count}
    )
    registry.add("x", "1", Document(raw.encode(), spec.OCI_INDEX))
    began = time.monotonic()
    with pytest.raises(InvalidParameter, match="more than 256 manifests"):
        await find(await open_remote(registry))
    assert time.monotonic() - began < 2


async def test_lies_about_children(registry: Registry, open_remote: Any) -> None:
    """Wrong bytes, wrong size, wrong kind of an index's child."""
    registry.add("x", "1", INDEX)
    registry.fault(
        "GET",
        f"manifests/{AMD.digest}",
        altered(lambda raw: raw + b" ", Docker_Content_Digest=""),
        times=1,
    )
    remote = await open_remote(registry)
    with pytest.raises(
        InvalidParameter, match=f"manifest verification failed for digest {AMD.digest}"
    ):
        await find(remote)
    entry = INDEX.document["manifests"][1]
    for change, text in (
        ({"size": 1}, "where the index says 1"),
        ({"mediaType": spec.OCI_MANIFEST}, "should be"),
    ):
        registry.add(
            "x", "1", Document(INDEX.changed(manifests=[{**entry, **change}]).raw, INDEX.media_type)
        )
        with pytest.raises(InvalidParameter, match=text):
            await find(remote)


async def test_lies_about_digests(registry: Registry, open_remote: Any) -> None:
    """A HEAD that names one digest and a GET that sends another."""
    registry.add("x", "1", AMD)
    registry.add("x", "", ARM)
    registry.fault("HEAD", "manifests/1", answer(200, Docker_Content_Digest=ARM.digest))
    remote = await open_remote(registry)
    assert (await find(remote)).path[-1].raw == ARM.raw
    registry.fault(
        "GET", f"manifests/{ARM.digest}", answer(200, AMD.raw, Content_Type=AMD.media_type)
    )
    with pytest.raises(
        InvalidParameter, match=f"manifest verification failed for digest {ARM.digest}"
    ):
        await find(remote)


async def test_a_config_that_is_not_its_digest(registry: Registry, open_remote: Any) -> None:
    """Also where it is only looked at for its platform."""
    lie = make_config([], "linux/amd64")
    registry.add("x", "1", make_index([(AMD, "")]))
    registry.blobs["x"][AMD.id] = lie
    remote = await open_remote(registry)
    with pytest.raises((InvalidParameter, RegistryError), match=r"verification failed|larger than"):
        await find(remote)
    registry.blobs["x"][AMD.id] = b"x" * len(AMD.config)
    with pytest.raises(
        InvalidParameter, match=f"image config verification failed for digest {AMD.id}"
    ):
        await find(remote)


def test_platforms_are_named_as_docker_does() -> None:
    """In the text of what was not found."""
    assert str(NoMatch(Platform("linux", "arm", "v7"))).startswith(
        "no matching manifest for linux/arm/v7 in"
    )
    assert digest_of(b"") != ""
