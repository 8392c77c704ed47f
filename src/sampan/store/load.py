"""`docker load`: images from an archive, as a stream.

Two forms, plain or compressed: the docker-archive (`manifest.json`, what `docker save` writes) and the OCI
layout (`index.json`); an archive that has both is read by its `manifest.json`, and keeps the manifests of its
index. Layers may come before the document that names them, so each file is taken in as it comes, under its
own digest (`archive.py`), and unpacked meanwhile (`stages.py`); nothing is written twice. When every DiffID is
right, all blobs, layers, images and names come into being in one `Batch`: an archive loads as a whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.errors import NotFound
from sampan.spec.digest import Digest, hex_of
from sampan.spec.image import chain_ids
from sampan.spec.platform import Platform, normalise
from sampan.spec.reference import Reference
from sampan.store import load_formats
from sampan.store.archive import Archive, read_archive
from sampan.store.batch import Batch
from sampan.store.content import Blob, Ingest
from sampan.store.decompress import MAGIC_SIZE, detect
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.load_formats import Described
from sampan.store.manifests import LayerBlob, encode_manifest, has_media_type, layer_blob, layers_of
from sampan.store.snapshots import Staged
from sampan.store.stages import Place, Stages
from sampan.store.streams import decompressed, read_blob, sniff

if TYPE_CHECKING:
    from sampan.store.store import Store

Progress = Callable[[dict[str, Any]], Any]


class Taken(NamedTuple):
    """An image of the archive with all that it is made of, nothing of it recorded yet."""

    described: Described
    config: Blob
    layers: list[LayerBlob]
    places: list[Place]


async def load(
    store: Store,
    chunks: AsyncIterable[bytes],
    progress: Progress,
    *,
    quiet: bool,
    platforms: Sequence[Platform],
) -> list[Image]:
    """See `Store.load`."""
    compression, chunks = await sniff(chunks)
    plain = decompressed(chunks) if compression else chunks
    stages = Stages(store.content, store.snapshots, store.unpacker)
    try:
        with store.leases.open() as lease, store.batch() as batch:
            async with (
                stages,
                read_archive(store.content, plain, lease, stages.begin, stages.drop) as archive,
            ):
                chosen = _chosen(load_formats.describe(archive), platforms)
                load = _Load(store, archive, stages, batch, lease, None if quiet else progress)
                images, messages = await load.run(chosen)
    except BaseException:
        store.collect()  # blobs that are here already, because they were packed anew or a batch broke off
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


@dataclass(frozen=True)
class _Load:
    """What is to become of an archive that has arrived."""

    store: Store
    archive: Archive
    stages: Stages
    batch: Batch
    lease: Lease
    progress: Progress | None

    async def run(self, chosen: Sequence[Described]) -> tuple[list[Image], list[str]]:
        taken = [await self._take(described) for described in chosen]
        await self.stages.drop_rest()
        staged: set[Digest] = set()
        for image in taken:
            for place, layer in zip(image.places, image.layers):
                if place.chain not in staged and not self.store.snapshots.has_layer(place.chain):
                    self.batch.add_layer(await self._obtain(place, layer.blob.size))
                staged.add(place.chain)
        manifests = [await self._document(_manifest(image)) for image in taken]
        return await self.batch.commit(lambda: self._record(taken, manifests))

    async def _take(self, described: Described) -> Taken:
        """The blobs of one image; its layers are asked for where they are missing."""
        config = await self._document(described.raw_config)
        diffs = [Digest(diff) for diff in described.config.rootfs.diff_ids]
        chain = chain_ids(diffs)
        places = [Place(*place) for place in zip(diffs, chain, [None, *chain])]
        layers = []
        for name, place in zip(described.layers, places):
            self.lease.hold("layer", place.chain)
            ingest, blob = await self.archive.file(name)
            layers.append(await self._layer(ingest, blob))
            if not self.store.snapshots.has_layer(place.chain):
                self.stages.want(ingest, place)
        return Taken(described, config, layers, places)

    async def _document(self, raw: bytes) -> Blob:
        blob = await self.batch.add_document(raw)
        self.lease.hold("blob", blob.digest)
        return blob

    async def _layer(self, ingest: Ingest, blob: Blob) -> LayerBlob:
        """A file as a layer's blob; what is in a compression without a media type goes in plain."""
        compression = detect(ingest.read(MAGIC_SIZE))
        if not has_media_type(compression):
            fd = os.open(ingest.path, os.O_RDONLY | os.O_CLOEXEC)
            blob = await self.store.content.ingest(decompressed(read_blob(fd)), self.lease)
            return layer_blob(blob, "")
        self.lease.hold("blob", blob.digest)
        self.batch.add_blob(ingest.path, blob)
        return layer_blob(blob, compression)

    async def _obtain(self, place: Place, size: int) -> Staged:
        def report(done: int) -> None:
            if self.progress is not None:
                detail = {"current": min(done, size), "total": size}
                short = hex_of(place.diff)[:12]
                self.progress({"status": "Loading layer", "progressDetail": detail, "id": short})

        staged = await self.stages.obtain(place, report)
        report(size)
        return staged

    def _record(
        self, taken: Sequence[Taken], manifests: Sequence[Blob]
    ) -> tuple[list[Image], list[str]]:
        """The rows of all images; returns the images, and what to tell the user."""
        images, messages = self.store.images, []
        for image, manifest in zip(taken, manifests):
            raw, config = image.described.raw_config, image.config.digest
            blobs = {config, manifest.digest, *(layer.blob.digest for layer in image.layers)}
            images.add(raw, config, manifest=manifest.digest, blobs=blobs)
            for reference in image.described.references:
                messages += _name(self.store, config, reference)
            if not image.described.references:
                messages.append(f"Loaded image ID: {config}\n")
        found = [images.get(image.config.digest) for image in taken]
        return [image for image in found if image is not None], messages


def _manifest(image: Taken) -> bytes:
    raw = image.described.raw_manifest
    blobs = [layer.blob for layer in image.layers]
    if raw is None or [layer.blob for layer in layers_of(raw)] != blobs:
        return encode_manifest(image.config, image.layers)  # it speaks of other blobs than came
    return raw


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
