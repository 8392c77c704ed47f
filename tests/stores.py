"""Making small stores for tests: layers and images without a worker, streams from bytes."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sampan.spec.digest import Digest, digest_of
from sampan.spec.image import chain_ids
from sampan.spec.reference import parse
from sampan.store.images import Image
from sampan.store.store import Store


async def stream(data: bytes, step: int = 1 << 16) -> AsyncIterator[bytes]:
    """`data` as a client would send it."""
    for start in range(0, len(data), step):
        yield data[start : start + step]


def add_layer(store: Store, diff: Digest, parent: Digest | None = None, size: int = 0) -> Digest:
    """A committed layer that holds one file named after its diff."""
    chain = diff
    if parent is not None:
        chain = Digest("sha256:" + digest_of(f"{parent} {diff}".encode())[7:])
    stage = store.snapshots.stage()
    with open(os.path.join(stage, "fs", diff[7:19]), "w") as file:
        file.write("x")
    store.snapshots.commit(stage, chain=chain, diff=diff, parent=parent, size=size)
    return chain


async def add_image(
    store: Store,
    *names: str,
    diffs: Sequence[str] = ("a",),
    config: dict[str, Any] | None = None,
    size: int = 10,
) -> Image:
    """An image whose layers are made of the words `diffs`; a blob stands for each layer."""
    digests = [digest_of(word.encode()) for word in diffs]
    document = {"os": "linux", "created": "2026-01-01T00:00:00Z", **(config or {})}
    document["rootfs"] = {"type": "layers", "diff_ids": digests}
    raw = json.dumps(document).encode()
    with store.leases.open() as lease:
        blobs = {(await store.content.put(word.encode(), lease)).digest for word in diffs}
        blob = await store.content.put(raw, lease)
        parent: Digest | None = None
        for diff, chain in zip(digests, chain_ids(digests)):
            if not store.snapshots.has_layer(chain):
                add_layer(store, diff, parent, size)
            parent = chain
        image = store.images.add(raw, blob.digest, manifest=None, blobs={blob.digest, *blobs})
    for name in names:
        store.images.tag(image.id, parse(name))
    found = store.images.get(image.id)
    assert found is not None
    return found
