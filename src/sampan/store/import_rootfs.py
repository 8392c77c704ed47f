"""`docker import`: a root file system as a tar stream becomes an image of one layer.

The stream goes two ways at once: into a blob, and through a pipe to the worker that unpacks it. The bytes
stay as they came. gzip and zstd are layers of a registry already, and so is a plain tar
(`application/vnd.oci.image.layer.v1.tar`, digest and DiffID the same): to compress it would take longer
than all the rest and buy nothing before a push. Other compressions have no media type, so what comes
as xz or bzip2 is stored plain.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sampan.errors import InvalidParameter, SampanError
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import Digest
from sampan.spec.dockerfile import apply_changes
from sampan.spec.platform import Platform, host
from sampan.spec.platform import parse as parse_platform
from sampan.spec.reference import Reference, check_tag, parse
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.manifests import (
    LayerBlob,
    encode_config,
    encode_manifest,
    has_media_type,
    layer_blob,
)
from sampan.store.streams import PipeWriter, decompressed, gather, sniff
from sampan.store.unpack import Unpacked

if TYPE_CHECKING:
    from sampan.store.store import Store


class Layer(NamedTuple):
    """A layer received and unpacked to `stage`, nothing of it recorded yet."""

    content: LayerBlob
    unpacked: Unpacked


async def import_rootfs(
    store: Store,
    chunks: AsyncIterable[bytes],
    *,
    reference: str,
    changes: Sequence[str],
    message: str,
    platform: str,
) -> Image:
    """See `Store.import_rootfs`."""
    name = target_reference(reference, "") if reference else None
    wanted = _platform(platform)
    config = apply_changes(ContainerConfig(), changes)
    with store.leases.open() as lease, store.unpacker.stage() as stage:
        layer = await receive(store, chunks, stage, lease)
        raw = encode_config(
            config, [layer.unpacked.diff_id], platform=wanted, message=message, created=_now()
        )
        return await record(store, raw, layer, stage, lease, name=name)


async def receive(store: Store, chunks: AsyncIterable[bytes], stage: str, lease: Lease) -> Layer:
    """Store a layer's stream as a blob while a worker unpacks it to `stage`."""
    compression, chunks = await sniff(chunks)
    if not has_media_type(compression):
        compression, chunks = "", decompressed(chunks)
    pipe = PipeWriter()
    try:
        async with store.unpacker.job(pipe.read_fd, stage, base=True) as job:
            pipe.close_reader()
            async with store.content.writer(lease) as writer:
                async for chunk in gather(chunks):
                    await pipe.write(chunk)
                    if pipe.broken:
                        break  # the worker has its reason, and says it below
                    await writer.write(chunk)
                pipe.close()
                unpacked = await job.result()
                blob = await writer.commit()
    finally:
        pipe.close()
    return Layer(layer_blob(blob, compression), unpacked)


async def record(
    store: Store,
    raw_config: bytes,
    layer: Layer,
    stage: str,
    lease: Lease,
    *,
    name: Reference | None,
) -> Image:
    """Config, manifest, layer and name become an image, in one transaction."""
    config = await store.content.put(raw_config, lease)
    manifest = await store.content.put(encode_manifest(config, [layer.content]), lease)
    diff = layer.unpacked.diff_id
    with store.metadata.transaction():
        store.snapshots.commit(stage, chain=diff, diff=diff, parent=None, size=layer.unpacked.size)
        blobs: set[Digest] = {config.digest, manifest.digest, layer.content.blob.digest}
        image = store.images.add(raw_config, config.digest, manifest=manifest.digest, blobs=blobs)
        if name is not None:
            store.images.tag(image.id, name)
    return store.images.get(image.id) or image


def target_reference(repo: str, tag: str) -> Reference:
    """The name that `repo` and `tag` of a request make; `tag` wins over one in `repo`.

    Raises InvalidParameter with Docker's texts.
    """
    reference = parse(repo)
    if reference.digest is not None:
        raise InvalidParameter("cannot import digest reference")
    if reference.familiar_name == "sha256":
        raise InvalidParameter("refusing to create an ambiguous tag using digest algorithm as name")
    if tag:
        check_tag(tag)
        return reference.with_tag(tag)
    return reference


def _platform(text: str) -> Platform:
    if not text:
        return host()
    wanted = parse_platform(text)
    if wanted.os != "linux":
        raise SampanError("operating system is not supported")
    return wanted


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
