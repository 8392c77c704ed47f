"""`docker load`: images from an archive, as a stream.

Two forms, plain or compressed: the docker-archive (`manifest.json`, what `docker save` writes) and the OCI
layout (`index.json`); an archive that has both is read by its `manifest.json`, and keeps the manifests of its
index. Layers may come before the document that names them, so each file is taken in as it comes, under its
own digest (`archive.py`); nothing is written twice. Layers are unpacked and their DiffIDs checked, then all
images and names are recorded in one transaction: an archive loads as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.errors import NotFound
from sampan.spec.digest import Digest, hex_of
from sampan.spec.image import ImageConfig, chain_ids
from sampan.spec.platform import Platform, normalise
from sampan.spec.reference import Reference
from sampan.store import load_formats
from sampan.store.archive import Archive, read_archive
from sampan.store.content import Blob
from sampan.store.decompress import MAGIC_SIZE, detect
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.load_formats import Described
from sampan.store.manifests import LayerBlob, encode_manifest, has_media_type, layer_blob, layers_of
from sampan.store.streams import decompressed, read_blob
from sampan.store.unpack import Source

if TYPE_CHECKING:
    from sampan.store.store import Store

Progress = Callable[[dict[str, Any]], Any]


class Loaded(NamedTuple):
    """An image whose blobs and layers are all here, still without a row."""

    id: Digest
    raw_config: bytes
    manifest: Digest
    blobs: set[Digest]
    references: Sequence[Reference]


async def load(
    store: Store,
    chunks: AsyncIterable[bytes],
    progress: Progress,
    *,
    quiet: bool,
    platforms: Sequence[Platform],
) -> list[Image]:
    """See `Store.load`."""
    try:
        with store.leases.open() as lease:
            async with read_archive(store.content, decompressed(chunks), lease) as archive:
                loaded = [
                    await _take(store, archive, described, lease, None if quiet else progress)
                    for described in _chosen(load_formats.describe(archive), platforms)
                ]
            images, messages = _record(store, loaded)
    except BaseException:
        store.collect()  # blobs and layers of the part that went well
        raise
    for message in messages:
        progress({"stream": message})
    return images


def _chosen(found: list[Described], platforms: Sequence[Platform]) -> list[Described]:
    """Those for one of `platforms`, if there are any. Raises NotFound."""
    fitting = [
        described
        for described in found
        if not platforms or any(wanted.runs(_platform(described)) for wanted in platforms)
    ]
    if found and not fitting:
        raise NotFound(f"no image of the archive is for {', '.join(map(str, platforms))}")
    return fitting


def _platform(described: Described) -> Platform:
    config = described.config
    return Platform(config.os or "linux", *normalise(config.architecture, config.variant))


async def _take(
    store: Store,
    archive: Archive,
    described: Described,
    lease: Lease,
    progress: Progress | None,
) -> Loaded:
    """Commit the blobs of one image and unpack its layers."""
    config = await store.content.put(described.raw_config, lease)
    layers = [await _layer(store, archive, name, lease) for name in described.layers]
    raw = described.raw_manifest
    if raw is None or [layer.blob for layer in layers_of(raw)] != [layer.blob for layer in layers]:
        raw = encode_manifest(config, layers)  # it speaks of other blobs than those that came
    manifest = await store.content.put(raw, lease)
    await _unpack(store, described.config, layers, lease, progress)
    digests = {config.digest, manifest.digest, *(layer.blob.digest for layer in layers)}
    return Loaded(
        config.digest, described.raw_config, manifest.digest, digests, described.references
    )


async def _layer(store: Store, archive: Archive, name: str, lease: Lease) -> LayerBlob:
    """Commit the file `name` as a layer; one in a compression without a media type goes in plain."""
    blob = await archive.commit(name)
    fd = store.content.open(blob.digest)
    with open(fd, "rb", buffering=0) as file:
        compression = detect(file.read(MAGIC_SIZE))
    if not has_media_type(compression):
        plain = decompressed(read_blob(store.content.open(blob.digest)))
        blob, compression = await store.content.ingest(plain, lease), ""
    return layer_blob(blob, compression)


async def _unpack(
    store: Store,
    config: ImageConfig,
    layers: list[LayerBlob],
    lease: Lease,
    progress: Progress | None,
) -> None:
    diffs = [Digest(diff) for diff in config.rootfs.diff_ids]
    chain = chain_ids(diffs)
    sizes = {top: layer.blob.size for top, layer in zip(chain, layers)}
    sources = [
        Source(_opener(store, layer.blob), diff, top, parent)
        for layer, diff, top, parent in zip(layers, diffs, chain, [None, *chain])
    ]

    def report(source: Source, done: int) -> None:
        if progress is not None:
            detail = {"current": min(done, sizes[source.chain]), "total": sizes[source.chain]}
            short = hex_of(source.diff)[:12]
            progress({"status": "Loading layer", "progressDetail": detail, "id": short})

    await store.unpacker.stack(sources, lease, report)


def _opener(store: Store, blob: Blob) -> Callable[[], int]:
    return lambda: store.content.open(blob.digest)


def _record(store: Store, loaded: list[Loaded]) -> tuple[list[Image], list[str]]:
    """All rows at once; returns the images, and what to tell the user."""
    messages: list[str] = []
    with store.metadata.transaction():
        for image in loaded:
            store.images.add(image.raw_config, image.id, manifest=image.manifest, blobs=image.blobs)
            for reference in image.references:
                messages += _name(store, image.id, reference)
            if not image.references:
                messages.append(f"Loaded image ID: {image.id}\n")
        images = [store.images.get(image.id) for image in loaded]
    return [image for image in images if image is not None], messages


def _name(store: Store, image_id: Digest, reference: Reference) -> list[str]:
    before = store.images.tag(image_id, reference)
    said = [f"Loaded image: {reference.familiar()}\n"]
    if before is not None:
        said.insert(
            0,
            f"The image {reference.familiar()} already exists, renaming the old one with ID "
            f"{before} to empty string\n",
        )
    return said
