"""The store: content, images, snapshots, volumes and the database, behind one door.

    store = open_store(data_root, spawn)         # blocking: creates what is missing, checks the database
    await store.start()                          # sweeps what a dead daemon left, builds `hello-world` in
    image = store.images.resolve("busybox")      # reads never wait
    mounts = store.snapshots.prepare(container_id, image.top)
    await store.close()

DATA-ROOT is drawn in docs/ARCHITECTURE.md. The caller holds the lock of DATA-ROOT. Everything runs in
the daemon's one loop; what is slow runs in threads (file content) or in worker roles (`worker.py`).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any

from sampan.errors import SampanError
from sampan.spec.digest import Digest
from sampan.spec.platform import Platform
from sampan.store import builtin, fsck, image_remove, import_rootfs, load
from sampan.store.batch import Batch
from sampan.store.content import Content
from sampan.store.fsck import Report
from sampan.store.garbage import Collected, Collector
from sampan.store.image_remove import Record, Uses
from sampan.store.images import Image, Images
from sampan.store.jobs import Spawn
from sampan.store.leases import Leases
from sampan.store.metadata import Metadata
from sampan.store.origins import Origins
from sampan.store.snapshots import Snapshots
from sampan.store.trash import Trash
from sampan.store.unpack import Unpacker
from sampan.store.volumes import Volumes

log = logging.getLogger(__name__)

Progress = Callable[[dict[str, Any]], Any]


class Store:
    """Made by `open_store`. Public parts: `content images snapshots volumes metadata leases origins`."""

    def __init__(self, data_root: str, spawn: Spawn) -> None:
        self.data_root = data_root
        _make_folder(data_root, 0o710)
        self.metadata = Metadata(os.path.join(data_root, "sampan.db"))
        self.leases = Leases()
        self.content = Content(os.path.join(data_root, "content"))
        self.trash = Trash(os.path.join(data_root, "trash"), spawn)
        self.snapshots = Snapshots(
            os.path.join(data_root, "snapshots"), self.metadata, self.trash, spawn
        )
        self.images = Images(self.metadata, self.content)
        self.volumes = Volumes(
            os.path.join(data_root, "volumes"), self.metadata, self.trash, spawn, self.snapshots
        )
        self.unpacker = Unpacker(self.snapshots, spawn)
        self.spawn = spawn
        self.origins = Origins(self.metadata)
        self._collector = Collector(
            self.metadata, self.content, self.snapshots, self.leases, self.trash, self.origins
        )

        self.leases.on_waste = self._collect_waste

    async def start(self) -> None:
        """Sweep what a dead daemon left, install the built-in image once, begin to empty the trash."""
        for image_id in [*self._collector.sweep(), *self.images.broken()]:
            log.error("image %s has lost its config or a layer and is forgotten", image_id)
            self.images.forget(image_id)
        self.volumes.sweep()
        self._collector.collect()
        self.trash.start()
        try:
            await builtin.install(self)
        except (OSError, SampanError) as error:  # a daemon without it is still a daemon
            log.error("the built-in image was not made: %s", error)

    async def close(self) -> None:
        await self.trash.close()
        self.metadata.close()

    def batch(self) -> Batch:
        return Batch(self.content, self.snapshots, self.metadata)

    async def load(
        self,
        chunks: AsyncIterable[bytes],
        progress: Progress,
        *,
        quiet: bool = False,
        platforms: Sequence[Platform] = (),
    ) -> list[Image]:
        """`docker load`: a docker-archive or an OCI layout, plain or compressed, as a stream.

        `progress` gets Docker's JSON messages; with `quiet` only the last ones
        (`{"stream": "Loaded image: x:latest\\n"}`). `platforms` are those wanted, all if there are none.
        Raises InvalidParameter for a bad archive, and then nothing of it is left.
        """
        return await load.load(self, chunks, progress, quiet=quiet, platforms=platforms)

    async def import_rootfs(
        self,
        chunks: AsyncIterable[bytes],
        *,
        reference: str = "",
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
        source: str = "-",
    ) -> Image:
        """`docker import`: a root file system as a tar stream becomes an image of one layer.

        `reference` is `repo[:tag]` or empty, `changes` are Dockerfile lines, `platform` is
        `os[/arch[/variant]]`. Raises InvalidParameter.
        """
        return await import_rootfs.import_rootfs(
            self,
            chunks,
            reference=reference,
            changes=changes,
            message=message or f"Imported from {source}",
            platform=platform,
        )

    def tag(self, ref: str, *, repo: str, tag: str = "") -> Image:
        """`docker tag`: the image `ref` is also called `repo[:tag]`. Raises NotFound, InvalidParameter."""
        reference = import_rootfs.target_reference(repo, tag)
        image = self.images.resolve(ref)
        self.images.tag(image.id, reference)
        return image

    def remove_image(
        self, ref: str, *, uses: Uses, force: bool = False, prune: bool = True
    ) -> list[Record]:
        """`docker rmi`: what was done, as `{"Untagged": name}` and `{"Deleted": digest}` in order.

        `uses` says which containers were made from which image (by image id). Raises NotFound, Conflict.
        With `prune` what it was committed from goes too, where it has no name and nothing else needs it.
        """
        plan = image_remove.plan(self.images, ref, uses, force=force)
        doomed = [plan.image] if plan.delete else []
        if plan.delete and prune:
            doomed += image_remove.parents(self.images, plan.image, uses)
        records: list[Record] = []
        with self.metadata.transaction():
            for reference in plan.untag:
                self.images.untag(reference.canonical())
                records.append({"Untagged": reference.familiar()})
            for image in doomed:
                self.images.forget(image.id)
        if doomed:
            layers = self.collect().layers
            for image in doomed:
                records.append({"Deleted": image.id})
                mine = [chain for chain in layers if chain in image.chain]
                layers = [chain for chain in layers if chain not in mine]
                records += [{"Deleted": chain} for chain in mine]
        return records

    def unreferenced(self) -> tuple[list[Digest], list[Digest]]:
        """Blobs and layers that `collect` would take away."""
        return self._collector.unreferenced()

    async def check(self, *, repair: bool = False) -> Report:
        """`fsck`: whether everything is whole; with `repair`, what can be done about it is done. Raises OSError."""
        return await fsck.check(self, repair=repair)

    def collect(self) -> Collected:
        """Take away what nothing refers to."""
        return self._collector.collect()

    def _collect_waste(self) -> None:
        try:
            self.collect()
        except (OSError, sqlite3.Error) as error:  # the next collection takes it
            log.warning("something useless was left behind: %s", error)


def open_store(data_root: str, spawn: Spawn) -> Store:
    """Blocking. Raises OSError, SampanError when the database is damaged or from a newer version."""
    return Store(data_root, spawn)


def _make_folder(path: str, mode: int) -> None:
    os.makedirs(path, mode, exist_ok=True)
    os.chmod(path, mode)
