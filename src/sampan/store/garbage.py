"""The collector: everything that nothing refers to may go.

Roots are images (their blobs and layers), active snapshots (their chain) and leases (what is in flight).
Marking and taking away happen in one step of the daemon's loop, without an `await`: rows first, then a
rename into the trash. So nobody can begin to use a thing between the mark and its removal.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from sampan.spec.digest import Digest
from sampan.store.content import Content
from sampan.store.leases import Leases
from sampan.store.metadata import Metadata
from sampan.store.origins import Origins
from sampan.store.snapshots import Snapshots
from sampan.store.trash import Trash

PARTIAL_AGE = 24 * 3600.0  # seconds


class Collected(NamedTuple):
    blobs: int
    layers: list[Digest]  # ChainIDs, each before its parent
    reclaimed: int  # bytes of blobs


class Collector:
    def __init__(
        self,
        metadata: Metadata,
        content: Content,
        snapshots: Snapshots,
        leases: Leases,
        trash: Trash,
        origins: Origins,
    ) -> None:
        self._metadata = metadata
        self._content = content
        self._snapshots = snapshots
        self._leases = leases
        self._trash = trash
        self._origins = origins

    def collect(self) -> Collected:
        """Take away every unreferenced layer and blob."""
        layers = self.collect_layers()
        for path in self._snapshots.strays():
            self._trash.discard(path)
        keep = self._kept_blobs()
        blobs = reclaimed = 0
        for digest in self._content.digests():
            if digest not in keep:
                reclaimed += self._content.size(digest)
                blobs += 1
                self._trash.discard(self._content.path(digest))
        with self._metadata.transaction():
            self._origins.forget_unused()
        self._drop_stale()
        return Collected(blobs, layers, reclaimed)

    def _kept_blobs(self) -> set[str]:
        keep = set(self._metadata.texts("SELECT digest FROM image_blobs"))
        keep -= set(self._snapshots.packed())  # made of their folders for somebody who has got them
        return keep | self._leases.held("blob")

    def unreferenced(self) -> tuple[list[Digest], list[Digest]]:
        """Blobs and layers that `collect` would take away."""
        keep = self._kept_blobs() | set(self._snapshots.packed())
        blobs = [digest for digest in self._content.digests() if digest not in keep]
        return blobs, self._snapshots.unused_layers(keep=self._leases.held("layer"))

    def _drop_stale(self) -> None:
        """Blobs that stopped arriving a day ago: nobody will resume them."""
        for path in self._content.stale_partials(time.time() - PARTIAL_AGE):
            self._trash.discard(path)

    def collect_layers(self) -> list[Digest]:
        """Take away every unreferenced layer, topmost first."""
        with self._metadata.transaction():
            removed = self._snapshots.remove_layers(
                self._snapshots.layers_top_first(), keep=self._leases.held("layer")
            )
        self._snapshots.discard_layers(removed)
        return removed

    def sweep(self) -> list[str]:
        """At start, before anything is in flight: what a dead daemon left half done.
        Returns the ids of images that had to be given up because a layer is missing."""
        for path in self._content.ingest_paths():
            self._trash.discard(path)
        missing = self._snapshots.sweep()
        sql = "SELECT DISTINCT image FROM image_layers WHERE chain = ?"
        return [image for chain in missing for image in self._metadata.texts(sql, chain)]
