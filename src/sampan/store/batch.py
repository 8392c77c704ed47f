"""Blobs and layers of an image that come into being together, with one sync of the file system for all of them.

    with Batch(content, snapshots, metadata) as batch:
        batch.add_blob(partial.path, partial.blob)        # any verified file of the ingest folder
        config = await batch.add_document(raw_config)
        batch.add_layer(Staged(stage, chain, diff, parent, size))     # bottom first
        image = await batch.commit(lambda: images.add(…))

Order of a commit: everything written → one `syncfs` → blobs and stages renamed → their folders fsynced → rows,
with whatever `record` writes, in one transaction. An image of sixty layers costs one flush instead of 120, and
is there as a whole or not at all; what a death in between leaves has no row and is swept.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from sampan.linux.libc import Int, Libc, check
from sampan.spec.digest import digest_of
from sampan.store.content import Content
from sampan.store.metadata import Metadata
from sampan.store.partial import Blob
from sampan.store.snapshots import Snapshots, Staged
from sampan.store.threads import in_thread

T = TypeVar("T")


class Batch:
    """Leaving it removes documents that were not committed; blobs and stages stay their owners'."""

    def __init__(self, content: Content, snapshots: Snapshots, metadata: Metadata) -> None:
        self._content, self._snapshots, self._metadata = content, snapshots, metadata
        self._blobs: list[tuple[str, Blob]] = []
        self._documents: list[str] = []
        self._layers: list[Staged] = []

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._documents:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass  # committed

    def add_blob(self, path: str, blob: Blob) -> None:
        """A file that holds exactly the blob."""
        self._blobs.append((path, blob))

    def add_layer(self, staged: Staged) -> None:
        """A stage, after that of its parent."""
        self._layers.append(staged)

    async def add_document(self, data: bytes) -> Blob:
        """A small blob: a config or a manifest."""
        blob = Blob(digest_of(data), len(data))
        if not self._content.is_whole(blob):
            path = self._content.new_path()
            self._documents.append(path)
            await in_thread(_write_file, path, data)
            self.add_blob(path, blob)
        return blob

    async def commit(self, record: Callable[[], T]) -> T:
        """Make everything durable, then `record` it. Raises OSError; then nothing is recorded."""
        if self._blobs or self._layers:
            await in_thread(self._sync)
        with self._metadata.transaction():
            self._content.place(self._blobs)
            self._snapshots.commit_all(self._layers)
            return record()

    def _sync(self) -> None:
        for path, _ in self._blobs:
            if os.path.exists(path):  # else another pull has made it a blob meanwhile
                os.chmod(path, 0o444)
        fd = os.open(self._content.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            check(Libc().function("syncfs", Int)(fd))
        finally:
            os.close(fd)


def _write_file(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as f:
        f.write(data)
