"""`docker save`: images as one archive that is a docker-archive and an OCI layout at once, as a stream.

    manifest.json  index.json  oci-layout  blobs/sha256/HEX…

Blobs go out as they are: a layer that was pulled compressed stays so, and with it every digest of the image, through
load and push. The documents come first, so that whoever reads the stream knows what every blob is. The same images
make the same bytes. Layers that are kept as folders are packed on the way (`rebuild.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.errors import NotFound, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, hex_of, is_hex_prefix, parse_digest
from sampan.spec.reference import Reference, parse
from sampan.store.content import Blob
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.load_formats import IMAGE_NAME, REF_NAME
from sampan.store.rebuild import layer_tar
from sampan.store.streams import read_blob
from sampan.wire import tar

if TYPE_CHECKING:
    from sampan.store.store import Store

_FOLDER = "blobs/sha256/"
_LAYOUT = spec.encode({"imageLayoutVersion": "1.0.0"})


class Saved(NamedTuple):
    """An image of an archive, and the names it has there."""

    image: Image
    references: Sequence[Reference]


def choose(store: Store, names: Sequence[str]) -> list[Saved]:
    """What `names` mean: an id stands for an image without names, a repository for all of its tags.

    Raises NotFound, InvalidParameter with dockerd's texts."""
    found: dict[Digest, list[Reference]] = {}
    for name in names:
        for image, reference in _meaning(store, name):
            known = found.setdefault(image.id, [])
            if reference is not None and reference not in known:
                known.append(reference)
    return [Saved(store.images.resolve(image_id), known) for image_id, known in found.items()]


def _meaning(store: Store, name: str) -> list[tuple[Image, Reference | None]]:
    digits = name.removeprefix("sha256:")
    if is_hex_prefix(digits):
        try:
            image = store.images.resolve(name)
        except NotFound:
            pass
        else:
            if hex_of(image.id).startswith(digits):
                return [(image, None)]
    reference = parse(name, default_tag=None)
    if reference.tag is None and reference.digest is None:
        tagged = _tagged(store, reference.name)
        if tagged:
            return tagged
    try:
        image = store.images.resolve(name)
    except NotFound:
        raise NotFound("reference does not exist") from None
    return [(image, reference if reference.digest is None and reference.tag else None)]


def _tagged(store: Store, repository: str) -> list[tuple[Image, Reference | None]]:
    """Every tag of a repository, in order."""
    found = [
        (image, reference)
        for image in store.images.list()
        for reference in map(parse, image.names)
        if reference.name == repository and reference.digest is None
    ]
    return [*sorted(found, key=lambda pair: pair[1].tag or "")]


async def save(store: Store, chosen: Sequence[Saved], lease: Lease) -> AsyncGenerator[bytes, None]:
    """The archive; `lease` keeps what is in it. Raises OSError, SampanError: then what was sent is no archive."""
    plan = _Plan(store)
    for saved in chosen:
        plan.add(saved)
    for digest in plan.blobs:
        lease.hold("blob", digest)
    plan.check()
    yield plan.documents()
    for blob in plan.blobs.values():
        yield _header(_FOLDER + hex_of(blob.digest), blob.size)
        async with aclosing(plan.content(blob)) as pieces:
            async for piece in pieces:
                yield piece
        yield tar.padding(blob.size)
    yield tar.END_OF_ARCHIVE


class _Plan:
    """Everything that is known before the first blob is sent."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packed = store.snapshots.packed()
        self._entries: list[dict[str, Any]] = []
        self._descriptors: list[dict[str, Any]] = []
        self.blobs: dict[Digest, Blob] = {}

    def add(self, saved: Saved) -> None:
        image = saved.image
        if image.manifest is None:
            raise SampanError(f"image {image.id} has no manifest")
        raw = self._store.content.read(image.manifest)
        manifest = spec.parse_manifest(raw)
        self._descriptors += [
            _described(image.manifest, len(raw), manifest.media_type, reference)
            for reference in saved.references or (None,)
        ]
        self._entries.append(
            {
                "Config": _FOLDER + hex_of(image.id),
                "RepoTags": [reference.familiar() for reference in saved.references],
                "Layers": [_FOLDER + hex_of(Digest(layer.digest)) for layer in manifest.layers],
            }
        )
        self._want(Blob(image.manifest, len(raw)))
        for descriptor in (manifest.config, *manifest.layers):
            self._want(Blob(parse_digest(descriptor.digest), descriptor.size))

    def _want(self, blob: Blob) -> None:
        self.blobs.setdefault(blob.digest, blob)

    def check(self) -> None:
        """Raises SampanError when a blob has been lost, before anything is sent."""
        for blob in self.blobs.values():
            if not self._store.content.is_whole(blob) and blob.digest not in self._packed:
                raise SampanError(f"content {blob.digest} is missing; pull or load the image again")

    def documents(self) -> bytes:
        index = {
            "schemaVersion": 2,
            "mediaType": spec.OCI_INDEX,
            "manifests": self._descriptors,
        }
        files = (
            ("manifest.json", spec.encode(self._entries)),
            ("index.json", spec.encode(index)),
            ("oci-layout", _LAYOUT),
        )
        pieces = []
        for name, data in files:
            pieces += [_header(name, len(data)), data, tar.padding(len(data))]
        for folder in (b"blobs/", _FOLDER.encode()):
            pieces.append(tar.encode_header(tar.Header(folder, tar.DIRECTORY, mode=0o755)))
        return b"".join(pieces)

    async def content(self, blob: Blob) -> AsyncGenerator[bytes, None]:
        """Exactly what the blob is, compared on the way."""
        if self._store.content.is_whole(blob):
            source = read_blob(self._store.content.open(blob.digest))
        else:
            source = layer_tar(self._store, self._packed[blob.digest])
        sent = 0
        async with aclosing(source) as pieces:
            async for piece in pieces:
                sent += len(piece)
                yield piece
        if sent != blob.size:
            raise SampanError(f"content {blob.digest} has {sent} bytes instead of {blob.size}")


def _described(
    digest: Digest, size: int, media_type: str, reference: Reference | None
) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "mediaType": media_type or spec.OCI_MANIFEST,
        "digest": digest,
        "size": size,
    }
    if reference is not None:
        descriptor["annotations"] = {IMAGE_NAME: reference.canonical(), REF_NAME: reference.tag}
    return descriptor


def _header(name: str, size: int) -> bytes:
    return tar.encode_header(tar.Header(name.encode(), tar.FILE, size=size, mode=0o644))
