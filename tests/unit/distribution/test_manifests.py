"""A registry's answer is what it says it is, or it is refused; and platforms are chosen as containerd does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sampan.distribution import manifests
from sampan.distribution.manifests import NoMatch, acceptable, candidates, examine, runs
from sampan.distribution.remote import SIGNED_SCHEMA1, Answered
from sampan.errors import InvalidParameter, NotFound
from sampan.spec import image as spec
from sampan.spec.digest import digest_of, parse_digest
from sampan.spec.image import Descriptor
from sampan.spec.platform import Platform, parse
from sampan.spec.reference import parse as parse_reference
from tests.fakes.images import Document, make_config, make_image, make_index, plain_layer

IMAGE = make_image([plain_layer(1)])
OCI = make_image([plain_layer(1)], oci=True)
OTHER = digest_of(b"other")


def answered(document: Document, content_type: str | None = None, digest: str = "") -> Answered:
    kind = document.media_type if content_type is None else content_type
    return Answered(document.raw, kind, digest)


@pytest.mark.parametrize(
    "document",
    [IMAGE, OCI, make_index([(IMAGE, "linux/amd64")]), make_index([(OCI, "")], oci=True)],
)
def test_right_answers_are_taken(document: Document) -> None:
    """All four kinds, by tag and by digest, with and without a Content-Type."""
    for kind in (document.media_type, "", "application/json"):
        found = examine(answered(document, kind, document.digest), digest=document.digest)
        assert (found.raw, found.digest, found.media_type) == (
            document.raw,
            document.digest,
            document.media_type,
        )
        assert (found.index is None) != (found.manifest is None)


def test_oci_documents_need_not_name_their_kind() -> None:
    """mediaType is optional in OCI; the Content-Type says it then."""
    plain = OCI.changed(mediaType=None)
    assert examine(answered(plain, spec.OCI_MANIFEST)).manifest is not None


@pytest.mark.parametrize(
    ("found", "digest", "text"),
    [
        (answered(IMAGE), OTHER, f"manifest verification failed for digest {OTHER}"),
        (answered(IMAGE, digest=OTHER), None, f"manifest verification failed for digest {OTHER}"),
        (answered(IMAGE, spec.OCI_MANIFEST), None, f"mediaType in manifest should be '{spec.OCI_MANIFEST}' not '{spec.DOCKER_MANIFEST}'"),
        (answered(IMAGE, spec.DOCKER_INDEX), None, f"mediaType in manifest should be '{spec.DOCKER_INDEX}' not '{spec.DOCKER_MANIFEST}'"),
        (answered(IMAGE.changed(manifests=[])), None, "invalid manifest: ambiguous or not an image manifest"),
        (answered(IMAGE.changed(mediaType=spec.DOCKER_INDEX), spec.DOCKER_INDEX), None, "invalid index: ambiguous or not an image index"),
        (answered(IMAGE.changed(fsLayers=[])), None, "invalid manifest: ambiguous or not an image manifest"),
        (answered(OCI.changed(mediaType=None), ""), None, "unsupported manifest media type and no default available: "),
        (answered(IMAGE, "text/html"), None, f"mediaType in manifest should be 'text/html' not '{spec.DOCKER_MANIFEST}'"),
        (Answered(b"{", spec.OCI_MANIFEST, ""), None, "invalid manifest"),
        (Answered(b"[" * 100_000, spec.OCI_MANIFEST, ""), None, "invalid manifest"),
        (Answered(b'{"schemaVersion": 1}', SIGNED_SCHEMA1, ""), None, "schema 1 are not supported"),
        (Answered(b'{"schemaVersion": 1, "fsLayers": []}', "", ""), None, "schema 1 are not supported"),
    ],
)  # fmt: skip
def test_lies_are_refused(found: Answered, digest: Any, text: str) -> None:
    """Wrong bytes for a digest, two meanings in one document, a kind that is not that of the header (CVE-2021-41190)."""
    with pytest.raises(InvalidParameter) as caught:
        examine(found, digest=digest)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "size", "text"),
    [
        (spec.DOCKER_MANIFEST, 5, "bytes where the index says 5"),
        (spec.OCI_MANIFEST, len(IMAGE.raw), "mediaType in manifest should be"),
        (spec.DOCKER_INDEX, len(IMAGE.raw), "mediaType in manifest should be"),
    ],
)
def test_an_index_has_to_tell_the_truth(kind: str, size: int, text: str) -> None:
    """Size and kind of its entries."""
    descriptor = Descriptor(media_type=kind, digest=IMAGE.digest, size=size)
    with pytest.raises(InvalidParameter, match=text):
        examine(answered(IMAGE), digest=IMAGE.digest, descriptor=descriptor)


@pytest.mark.parametrize(
    ("config", "layer", "text"),
    [
        ("application/vnd.cncf.helm.config.v1+json", "", 'Encountered remote "application/vnd.cncf.helm.config.v1+json"(unknown) when fetching'),
        ("application/vnd.docker.plugin.v1+json", "", 'Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching'),
        ("", "application/vnd.in-toto+json", "unsupported layer media type 'application/vnd.in-toto+json'"),
    ],
)  # fmt: skip
def test_only_images_are_pulled(config: str, layer: str, text: str) -> None:
    """Charts, plugins and attestations are none."""
    document = IMAGE.document
    if config:
        document["config"]["mediaType"] = config
    if layer:
        document["layers"][0]["mediaType"] = layer
    with pytest.raises(InvalidParameter) as caught:
        examine(Answered(json.dumps(document).encode(), spec.DOCKER_MANIFEST, ""))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "digest",
    ["sha256:../../x", "sha256:", "sha256:" + "A" * 64, "sha512:" + "a" * 128, "sha256:" + "a" * 10_000, "x" * 64, "sha256:" + "a" * 63 + "\n"],
)  # fmt: skip
def test_texts_that_are_no_digests_are_refused(digest: str) -> None:
    """CVE-2024-3727 and its like: in config, layers, and entries of an index."""
    for document in (
        IMAGE.changed(config={**IMAGE.document["config"], "digest": digest}),
        IMAGE.changed(layers=[{**IMAGE.document["layers"][0], "digest": digest}]),
    ):
        with pytest.raises(InvalidParameter):
            examine(answered(document))
    index = make_index([(IMAGE, "linux/amd64")])
    entry = {**index.document["manifests"][0], "digest": digest}
    with pytest.raises(InvalidParameter):
        examine(answered(index.changed(manifests=[entry])))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("linux/amd64", "linux/amd64 linux/386"),
        ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
        ("linux/arm64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/arm/v6", "linux/arm/v6 linux/arm/v5"),
        ("linux/arm", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/s390x", "linux/s390x"),
        ("windows/amd64", "windows/amd64 windows/386"),
    ],
)
def test_a_platform_runs_its_lesser_siblings(wanted: str, expected: str) -> None:
    """The best first, as containerd's platforms.Only."""
    assert [str(platform) for platform in acceptable(parse(wanted))] == expected.split()


@pytest.mark.parametrize(
    ("wanted", "entries", "expected"),
    [
        ("linux/amd64", "linux/arm64 linux/amd64 linux/386", "1 2"),
        ("linux/amd64", "linux/386", "0"),
        ("linux/amd64", "linux/amd64/v2 linux/amd64", "1"),
        ("linux/amd64/v2", "linux/amd64 linux/amd64/v2", "1 0"),
        ("linux/arm64", "linux/arm/v7 linux/arm64/v8", "1 0"),
        ("linux/arm/v7", "linux/arm/v5 linux/arm linux/arm/v6", "1 2 0"),
        ("linux/amd64", "unknown/unknown linux/amd64", "1"),
        ("linux/amd64", "- linux/amd64", "1 0"),
        ("linux/amd64", "windows/amd64", ""),
        ("linux/arm64", "linux/amd64", ""),
    ],
)
def test_entries_of_an_index_are_ranked(wanted: str, entries: str, expected: str) -> None:
    """With Docker's text when there is none."""
    images = [make_image([plain_layer(n)]) for n in range(len(entries.split()))]
    index = make_index([(i, p.strip("-")) for i, p in zip(images, entries.split())])
    parsed = spec.parse_index(index.raw)
    if not expected:
        with pytest.raises(NoMatch) as caught:
            candidates(parsed, parse(wanted))
        assert (
            str(caught.value) == f"no matching manifest for {wanted} in the manifest list entries"
        )
        assert isinstance(caught.value, NotFound)
        return
    found = [descriptor.digest for descriptor in candidates(parsed, parse(wanted))]
    assert found == [images[int(number)].digest for number in expected.split()]


def test_attestations_are_passed_over() -> None:
    """Entries of other kinds are no images."""
    index = make_index([(IMAGE, "linux/amd64")])
    other = {**index.document["manifests"][0], "mediaType": "application/vnd.in-toto+json"}
    with pytest.raises(NoMatch):
        candidates(spec.parse_index(index.changed(manifests=[other]).raw), parse("linux/amd64"))


def test_unwritten_defaults_of_platforms_are_the_same() -> None:
    """Configs and indexes write `arm64`, `arm64/v8`, `x86_64`."""
    assert runs(Platform("linux", "arm64"), Platform("linux", "arm64", "v8"))
    assert runs(Platform("linux", "amd64"), Platform("Linux", "x86_64"))
    assert not runs(Platform("linux", "amd64"), Platform("linux", "arm64"))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (make_config([], "windows/amd64"), 'image operating system "windows" cannot be used on this platform: x:latest'),
        (make_config([OTHER, OTHER]), "layers from manifest don't match image configuration"),
        (make_config([]), "layers from manifest don't match image configuration"),
    ],
)  # fmt: skip
def test_a_config_has_to_fit_its_manifest(config: bytes, text: str) -> None:
    """As many layers, and Linux."""
    manifest = spec.parse_manifest(IMAGE.raw)
    with pytest.raises(InvalidParameter) as caught:
        manifests.check_config(spec.parse_config(config), manifest, parse_reference("x"))
    assert str(caught.value) == text
    manifests.check_config(spec.parse_config(IMAGE.config), manifest, parse_reference("x"))
    assert manifests.blobs_of(manifest)[0] == parse_digest(IMAGE.id)
