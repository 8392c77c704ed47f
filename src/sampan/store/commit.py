"""`docker commit`: what a container wrote becomes the topmost layer of a new image.

Two steps, because the container is held still during the first only:

    written = await commit.take(store, key, lease)             # it does not run: the folder itself, renamed
    written = await commit.take_copy(store, key, stage)        # it runs: a copy (a clone where the disk can)
    image = await commit.record(store, written, base, raw_config, …)

The layer is kept as a folder; its tar is made whenever somebody wants it (`rebuild.py`), so a commit reads what was
written once, for the digest, and writes nothing where the folder could be renamed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.spec.digest import Digest, parse_digest
from sampan.spec.image import chain_ids
from sampan.spec.reference import Reference
from sampan.store import jobs
from sampan.store.content import Blob
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.manifests import LayerBlob, encode_manifest, layer_blob, layers_of
from sampan.store.snapshots import Staged

if TYPE_CHECKING:
    from sampan.store.store import Store


class Written(NamedTuple):
    """What a container wrote, packed: the layer it is to become, and whether it is one already."""

    staged: Staged | None  # None: nothing was written
    there: bool

    @property
    def diff(self) -> Digest | None:
        return self.staged.diff if self.staged is not None else None


async def take(store: Store, key: str, lease: Lease) -> Written:
    """The folder of a container that does not run, and will not before this returns. Raises NotFound, OSError."""
    parent = store.snapshots.parent(key)
    shared = store.snapshots.shared(key)
    if shared is not None:
        lease.hold("layer", shared)
        layer = store.snapshots.layer(shared)
        assert layer is not None
        return Written(Staged("", *layer), there=True)
    folder = store.snapshots.upper_path(key)
    staged = await _pack(store, "", folder, parent)
    if staged is None:
        return Written(None, there=True)
    lease.hold("layer", staged.chain)
    if not store.snapshots.has_layer(staged.chain):
        store.snapshots.adopt(key, staged)
    return Written(staged, there=True)


async def take_copy(store: Store, key: str, stage: str, lease: Lease) -> Written:
    """The copy of a running container's folder that is in `stage`. Raises OSError, InvalidParameter."""
    folder = os.path.join(stage, "fs")
    parent = store.snapshots.parent(key)
    staged = await _pack(store, stage, folder, parent, sync=False)  # `record` syncs
    if staged is None:
        return Written(None, there=True)
    lease.hold("layer", staged.chain)
    return Written(staged, there=False)


async def _pack(
    store: Store, stage: str, folder: str, parent: Digest | None, *, sync: bool = True
) -> Staged | None:
    """Digested, and with `sync` on the disk; None when the folder is as good as empty."""
    args: dict[str, Any] = {
        "folders": [folder],
        "lower": store.snapshots.layer_paths(parent),
        "layer": True,
        "sync": sync,
    }
    answer = await jobs.run(store.spawn, "pack", args, [])
    if not answer["entries"]:
        return None
    diff = parse_digest(answer["diff_id"])
    chain = chain_ids([parent, diff])[-1] if parent else diff
    return Staged(stage, chain, diff, parent, answer["content"], answer["size"])


async def record(
    store: Store,
    written: Written,
    base: Image | None,
    raw_config: bytes,
    lease: Lease,
    *,
    name: Reference | None,
) -> Image:
    """Layer, config, manifest and name become an image, in one transaction."""
    layers = _below(store, base)
    if written.staged is not None:
        blob = Blob(written.staged.diff, written.staged.packed)
        layers.append(layer_blob(blob, ""))
    with store.batch() as batch:
        config = await batch.add_document(raw_config)
        manifest = await batch.add_document(encode_manifest(config, layers))
        lease.hold("blob", config.digest)
        lease.hold("blob", manifest.digest)
        if written.staged is not None and not written.there:
            batch.add_layer(written.staged)
        digests = {config.digest, manifest.digest, *(layer.blob.digest for layer in layers)}

        def add() -> Image:
            if written.staged is not None:
                store.snapshots.set_packed(written.staged.chain, written.staged.packed)
            image = store.images.add(
                raw_config,
                config.digest,
                manifest=manifest.digest,
                blobs=digests,
                parent=base.id if base else "",
            )
            if name is not None:
                store.images.tag(image.id, name)
            return image

        image = await batch.commit(add)
    return store.images.get(image.id) or image


def _below(store: Store, base: Image | None) -> list[LayerBlob]:
    if base is None or base.manifest is None:
        return []
    return layers_of(store.content.read(base.manifest))
