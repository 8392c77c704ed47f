"""The index that an image came with: whether everything of it is here, so that a push may send it as it is.

An image is for one platform, and keeps the documents that led to it. When each of an index's manifests was pulled
(`pull --platform`, one after another, or an index of one), a push sends all of them and the index. Source of the
rule: moby, daemon/containerd/image_push.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sampan.errors import SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, parse_digest
from sampan.spec.image import Descriptor, Index, Manifest
from sampan.store.content import Blob, Content
from sampan.store.images import Image
from sampan.store.store import Store
from sampan.store.threads import in_thread

DEPTH_LIMIT = 4


class Listed(NamedTuple):
    """A document of an index that is here. `manifest` is there unless it is an index itself."""

    digest: Digest
    media_type: str
    raw: bytes
    manifest: Manifest | None = None

    def described(self) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.raw)}


async def index_of(store: Store, image: Image) -> Listed | None:
    """The outermost index that led to an image; one that names of the image have wins over others."""
    return await in_thread(_outermost, store.content, image, store.images.blobs(image.id))


def _outermost(content: Content, image: Image, blobs: Iterable[Digest]) -> Listed | None:
    found = {index.digest: index for index in _candidates(content, image, blobs)}
    inner = {digest for index in found.values() for digest in _below(index)}
    outer = sorted(found.keys() - inner)
    named = [digest for digest in outer if any(name.endswith(f"@{digest}") for name in image.names)]
    return found[(named or outer)[0]] if outer else None


def _candidates(content: Content, image: Image, blobs: Iterable[Digest]) -> Iterator[Listed]:
    own = _own(content, image)
    for digest in blobs:
        if digest in own:
            continue
        try:
            if content.size(digest) > spec.DOCUMENT_LIMIT:
                continue
            raw = content.read(digest)
            index = spec.parse_index(raw)
        except SampanError:
            continue  # not here, or of a manifest that the image had before
        yield Listed(digest, index.media_type or spec.OCI_INDEX, raw)


def _own(content: Content, image: Image) -> set[Digest]:
    """What is no index, and need not be read for it: the manifest and what it names."""
    if image.manifest is None:
        return {image.id}
    try:
        manifest = spec.parse_manifest(content.read(image.manifest))
        named = {parse_digest(d.digest) for d in (manifest.config, *manifest.layers)}
    except SampanError:
        named = set()
    return {image.id, image.manifest, *named}


def _below(index: Listed) -> list[Digest]:
    return [parse_digest(d.digest) for d in spec.parse_index(index.raw).manifests]


async def whole(store: Store, index: Listed) -> list[Listed] | None:
    """Everything of an index, each document before those that name it; None when something is not here."""
    return await in_thread(_whole, store.content, index)


def _whole(content: Content, index: Listed) -> list[Listed] | None:
    found: dict[Digest, Listed] = {}
    parsed = spec.parse_index(index.raw)
    return [*found.values(), index] if _gather(content, parsed, found, 1) else None


def _gather(content: Content, index: Index, found: dict[Digest, Listed], depth: int) -> bool:
    return depth <= DEPTH_LIMIT and all(
        _take(content, descriptor, found, depth) for descriptor in index.manifests
    )


def _take(
    content: Content, descriptor: Descriptor, found: dict[Digest, Listed], depth: int
) -> bool:
    digest = parse_digest(descriptor.digest)
    if digest in found:
        return True
    if not content.is_whole(Blob(digest, descriptor.size)):
        return False
    try:
        raw = content.read(digest)
        if descriptor.media_type in spec.INDEXES:
            if not _gather(content, spec.parse_index(raw), found, depth + 1):
                return False
            found[digest] = Listed(digest, descriptor.media_type, raw)
            return True
        manifest = spec.parse_manifest(raw)
    except SampanError:
        return False
    blobs = [Blob(parse_digest(d.digest), d.size) for d in (manifest.config, *manifest.layers)]
    found[digest] = Listed(digest, descriptor.media_type, raw, manifest)
    return all(map(content.is_whole, blobs))
