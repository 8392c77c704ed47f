"""The tar of a layer that is kept as a folder, made again whenever somebody wants it.

A committed layer is stored once, as the folder that containers stand on. Its tar always comes out the same
(`pack.py`), and is compared with the digest that the image's config has for it; a difference is an error that comes
after the last byte, so whoever passes the bytes on must be able to take them back.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from sampan.errors import SampanError
from sampan.spec.digest import Digest
from sampan.store import jobs
from sampan.store.leases import Lease
from sampan.store.snapshots import Layer
from sampan.store.streams import PipeReader

if TYPE_CHECKING:
    from sampan.store.store import Store


async def packed(
    spawn: jobs.Spawn, folders: list[str], *, layer: bool
) -> AsyncGenerator[bytes, Any]:
    """Folders, topmost first, as a tar; the worker's answer is checked at the end. Raises OSError, SampanError.

    Closing it early ends the worker.
    """
    pipe = PipeReader()
    try:
        args: dict[str, Any] = {"folders": folders, "layer": layer, "sync": False}
        async with jobs.Job(spawn, "pack", args, [pipe.write_fd]) as job:
            pipe.close_writer()
            async for piece in pipe.pieces():
                yield piece
            await job.result()
    finally:
        pipe.close()


async def layer_tar(
    store: Store, layer: Layer, *, verify: bool = True
) -> AsyncGenerator[bytes, None]:
    """The tar of a layer that is kept as a folder. Raises SampanError when it is not what it was."""
    digest = hashlib.sha256()
    folders = [store.snapshots.layer_path(layer.chain)]
    async with aclosing(packed(store.spawn, folders, layer=True)) as pieces:
        async for piece in pieces:
            digest.update(piece)
            yield piece
    if verify and digest.hexdigest() != layer.diff.removeprefix("sha256:"):
        raise SampanError(f"layer {layer.diff} has been changed on disk")


async def keep_layer(store: Store, digest: Digest, lease: Lease) -> None:
    """Have a layer as a blob for as long as the lease holds. Raises OSError, SampanError."""
    lease.hold("blob", digest)
    layer = store.snapshots.packed().get(digest)
    if layer is not None and not store.content.has(digest):
        lease.hold_passing("blob", digest)
        # Two at once make it twice, and one of the two is dropped.
        await store.content.ingest(layer_tar(store, layer), lease, expected=digest)
