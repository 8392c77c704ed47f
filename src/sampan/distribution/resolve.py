"""What a name means on a registry: here already, or the documents that lead to the manifest for a platform.

An index may lead to another one. How deep, and how many documents are looked at, is bounded: a registry could
otherwise keep us busy for ever (CVE-2026-53493).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sampan.distribution import manifests
from sampan.distribution.manifests import Document, NoMatch
from sampan.distribution.progress import Progress
from sampan.distribution.remote import Remote
from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of, parse_digest
from sampan.spec.image import Descriptor, ImageConfig, Manifest
from sampan.spec.platform import Platform
from sampan.spec.reference import Reference
from sampan.store.images import Image, Images

DEPTH = 3  # indexes within indexes
FETCHES = 8  # documents looked at for one image


class Found(NamedTuple):
    """What a registry has under a name."""

    remote: Remote
    digest: Digest  # of what the name means: a manifest or an index
    image: Image | None = None  # when it is here already
    path: Sequence[Document] = ()  # else: the documents to the manifest, which is the last


@dataclass(frozen=True)
class Lookup:
    images: Images
    reference: Reference
    platform: Platform
    progress: Progress

    async def find(self, remote: Remote) -> Found:
        """Raises RegistryError, AuthFailed, Unreachable, NoMatch, InvalidParameter."""
        reference = self.reference
        wanted = str(reference.digest or reference.tag)
        digest = await remote.head_manifest(wanted)
        if digest is not None:
            digest = reference.digest or digest
            image = self._here(digest)
            if image is not None:
                self._announce()
                return Found(remote, digest, image)
        answered = await remote.get_manifest(str(digest or wanted))
        document = manifests.examine(answered, digest=reference.digest or digest)
        self._announce()
        path = await Descent(remote, self.platform).follow(document)
        return Found(remote, document.digest, None, path)

    def _announce(self) -> None:
        reference = self.reference
        id = reference.familiar() if reference.digest is not None else str(reference.tag)
        self.progress({"status": f"Pulling from {reference.path}", "id": id})

    def _here(self, digest: Digest) -> Image | None:
        """The image that this repository was pulled as, when its platform is the wanted one."""
        image_id = self.images.find(self.reference.with_digest(digest))
        image = self.images.get(image_id) if image_id is not None else None
        if image is None or not manifests.runs(self.platform, platform_of(image.config)):
            return None
        return image


class Descent:
    """From an index to the manifest for a platform."""

    def __init__(self, remote: Remote, platform: Platform) -> None:
        self._remote, self._platform = remote, platform
        self._left = FETCHES

    async def follow(self, document: Document, depth: int = DEPTH) -> list[Document]:
        """`document` and what it leads to, the manifest last. Raises NoMatch, InvalidParameter."""
        if document.index is None:
            return [document]
        if depth == 0:
            raise InvalidParameter("invalid index: nested too deeply")
        for descriptor in manifests.candidates(document.index, self._platform):
            try:
                path = await self.follow(await self._get(descriptor), depth - 1)
            except NoMatch:
                continue
            if await self._suits(descriptor, path[-1]):
                return [document, *path]
        raise NoMatch(self._platform)

    async def _get(self, descriptor: Descriptor) -> Document:
        if self._left == 0:
            raise InvalidParameter("invalid index: it leads to too many manifests")
        self._left -= 1
        answered = await self._remote.get_manifest(descriptor.digest)
        digest = parse_digest(descriptor.digest)
        return manifests.examine(answered, digest=digest, descriptor=descriptor)

    async def _suits(self, descriptor: Descriptor, document: Document) -> bool:
        """Where the index does not say for what platform an entry is, its config does."""
        if descriptor.platform is not None or document.manifest is None:
            return True
        config = spec.parse_config(await get_config(self._remote, document.manifest))
        return manifests.runs(self._platform, platform_of(config))


async def get_config(remote: Remote, manifest: Manifest) -> bytes:
    """The config of a manifest, verified. Raises InvalidParameter, RegistryError, Unreachable."""
    descriptor = manifest.config
    digest = parse_digest(descriptor.digest)
    if descriptor.size > spec.DOCUMENT_LIMIT:
        raise InvalidParameter(f"image config is larger than {spec.DOCUMENT_LIMIT} bytes")
    raw = await remote.get_document(digest, descriptor.size)
    if len(raw) != descriptor.size or digest_of(raw) != digest:
        raise InvalidParameter(f"image config verification failed for digest {digest}")
    return raw


def platform_of(config: ImageConfig) -> Platform:
    return Platform(config.os or "linux", config.architecture, config.variant)
