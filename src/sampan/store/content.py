"""Blobs by digest: a blob is whole, verified and read-only, or it is not there.

    content/blobs/sha256/HEX    0444
    content/ingest/RANDOM       being written; whatever is here at start is swept
    content/ingest/HEX.part     arriving from a registry; kept for a day (`partial.py`)

Order of a commit: written → fsync → size and digest checked → 0444 → renamed → folder fsynced. Rows that
name a blob are written after that by the caller. A blob that is there already is not written again; the
new bytes are dropped. Slow calls (write, fsync) run in threads, hashing with them, a piece at a time.
Out of scope: who refers to a blob (`metadata.py`), and removal of the unreferenced (`garbage.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterable, Iterable

from sampan.errors import InvalidParameter, NotFound, SampanError, TooLarge
from sampan.spec.digest import PREFIX, Digest, digest_of, hex_of
from sampan.store.leases import Lease
from sampan.store.partial import Blob, Partial
from sampan.store.room import FREE_RESERVE, LOOK_STEP, check_room
from sampan.store.threads import in_thread

__all__ = ["Blob", "Content", "Ingest", "Partial", "sync_directory"]

PIECE = 1 << 20  # bytes gathered before a thread is bothered
PARTIAL = ".part"


class Content:
    def __init__(self, root: str) -> None:
        self._blobs = os.path.join(root, "blobs", "sha256")
        self._ingest = os.path.join(root, "ingest")
        for path in (root, os.path.join(root, "blobs"), self._blobs, self._ingest):
            os.makedirs(path, 0o700, exist_ok=True)  # one by one: the mode is the last one's only

    def path(self, digest: Digest) -> str:
        """Where the blob is, when it is."""
        return os.path.join(self._blobs, hex_of(digest))

    def has(self, digest: Digest) -> bool:
        return os.path.exists(self.path(digest))

    def is_whole(self, blob: Blob) -> bool:
        """Whether it is here with the right size; a truncated one is written again."""
        try:
            return os.stat(self.path(blob.digest)).st_size == blob.size
        except FileNotFoundError:
            return False

    def size(self, digest: Digest) -> int:
        """In bytes. Raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"content {digest}: not found") from None

    def disk(self, digest: Digest) -> int:
        """Bytes of the disk that it takes; 0 when it is not here."""
        try:
            return os.stat(self.path(digest)).st_blocks * 512
        except FileNotFoundError:
            return 0

    def open(self, digest: Digest) -> int:
        """A descriptor for reading, the caller's. Raises NotFound."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"content {digest}: not found") from None

    def read(self, digest: Digest, *, limit: int = 4 << 20) -> bytes:
        """A small blob, verified again. Raises NotFound, TooLarge, SampanError when it is damaged."""
        fd = self.open(digest)
        with open(fd, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"content {digest} is larger than {limit} bytes")
        if digest_of(data) != digest:
            raise SampanError(f"content {digest} is damaged on disk")
        return data

    def digests(self) -> list[Digest]:
        """Every blob that is here."""
        return [Digest(PREFIX + name) for name in os.listdir(self._blobs)]

    def ingest_paths(self) -> list[str]:
        """Whatever is being written, or was when a daemon died; without what can be resumed."""
        with os.scandir(self._ingest) as entries:
            return [entry.path for entry in entries if not _is_partial(entry)]

    def stale_partials(self, before: float) -> list[str]:
        """What arrived in part and has not grown since `before`, seconds of the epoch."""
        with os.scandir(self._ingest) as entries:
            partials = filter(_is_partial, entries)
            return [entry.path for entry in partials if entry.stat().st_mtime < before]

    @property
    def folder(self) -> str:
        """A folder of the file system that holds everything."""
        return self._ingest

    def new_path(self) -> str:
        """A fresh name in the ingest folder."""
        return os.path.join(self._ingest, os.urandom(12).hex())

    def partial(self, blob: Blob) -> Partial:
        """The blob as far as it has arrived."""
        return Partial(os.path.join(self._ingest, hex_of(blob.digest) + PARTIAL), blob)

    def place(self, files: Iterable[tuple[str, Blob]]) -> None:
        """Make verified and synced files of the ingest folder blobs, unless they are already."""
        placed = False
        for path, blob in files:
            if self.is_whole(blob):
                if os.path.exists(path):
                    os.unlink(path)
                continue
            os.rename(path, self.path(blob.digest))
            placed = True
        if placed:
            sync_directory(self._blobs)

    def writer(self, lease: Lease) -> Ingest:
        """A new blob; `lease` will hold it until something refers to it."""
        return Ingest(self, self.new_path(), lease)

    async def ingest(
        self,
        chunks: AsyncIterable[bytes],
        lease: Lease,
        *,
        expected: Digest | None = None,
        size: int | None = None,
    ) -> Blob:
        """Store a stream. Raises InvalidParameter when it is not `expected` or not of `size` bytes."""
        async with self.writer(lease) as writer:
            async for chunk in chunks:
                await writer.write(chunk)
                if size is not None and writer.size > size:
                    break
            return await writer.commit(expected=expected, size=size)

    async def put(self, data: bytes, lease: Lease) -> Blob:
        """Store a small blob."""
        digest = digest_of(data)
        lease.hold("blob", digest)
        if self.is_whole(Blob(digest, len(data))):
            return Blob(digest, len(data))
        async with self.writer(lease) as writer:
            await writer.write(data)
            return await writer.commit(expected=digest)


class Ingest:
    """A blob being written. `async with`: whatever was not committed is removed at the end."""

    def __init__(self, content: Content, path: str, lease: Lease) -> None:
        self._content = content
        self._path = path
        self._lease = lease
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._until_look = LOOK_STEP
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._open = True
        self._flushed = 0
        self._finished = False
        self._grown = asyncio.Event()
        self.size = 0

    async def __aenter__(self) -> Ingest:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.abort()

    async def write(self, data: bytes) -> None:
        self._pending.append(bytes(data))
        self._pending_size += len(data)
        self.size += len(data)
        if self._pending_size >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Everything written so far is in the file (not yet on the disk)."""
        if self._pending:
            pieces, self._pending, self._pending_size = self._pending, [], 0
            await in_thread(self._write_pieces, pieces)
            self._flushed = self.size
            self._grown.set()

    async def finish(self) -> Blob:
        """Everything is written: its digest and size. Costs no descriptor until it is committed."""
        await self.flush()
        self._close()
        self._finished = True
        self._grown.set()
        return Blob(Digest(PREFIX + self._hash.hexdigest()), self.size)

    @property
    def path(self) -> str:
        """The file as long as it is neither committed nor aborted. A `Batch` may take it."""
        return self._path

    async def more(self, offset: int) -> int:
        """How many bytes are in the file after `offset`, as soon as there are any; 0 at its end. For one reader."""
        while self._flushed <= offset and not self._finished:
            self._grown.clear()
            await self._grown.wait()
        return self._flushed - offset

    def read(self, limit: int) -> bytes:
        """The beginning of what has been flushed, at most `limit` bytes."""
        with open(self._path, "rb") as file:
            return file.read(limit)

    async def commit(self, *, expected: Digest | None = None, size: int | None = None) -> Blob:
        """Make it a blob. Raises InvalidParameter when it is not `expected` or not of `size` bytes."""
        blob = await self.finish()
        if size is not None and blob.size != size:
            raise InvalidParameter(f"unexpected size {blob.size}, expected {size}")
        if expected is not None and blob.digest != expected:
            raise InvalidParameter(f"unexpected digest {blob.digest}, expected {expected}")
        self._lease.hold("blob", blob.digest)
        if not self._content.is_whole(blob):
            await in_thread(self._settle, self._content.path(blob.digest))
            self._open = False
        self.abort()
        return blob

    def abort(self) -> None:
        """Remove what was not committed; harmless after a commit."""
        self._close()
        if self._open:
            self._open = False
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass  # a batch has taken it

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write_pieces(self, pieces: list[bytes]) -> None:
        data = memoryview(b"".join(pieces) if len(pieces) > 1 else pieces[0])
        self._until_look -= len(data)
        if self._until_look < 0:
            self._until_look = LOOK_STEP
            check_room(self._fd, FREE_RESERVE)
        self._hash.update(data)
        while data:
            data = data[os.write(self._fd, data) :]

    def _settle(self, destination: str) -> None:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            os.fchmod(fd, 0o444)
        finally:
            os.close(fd)
        os.rename(self._path, destination)
        sync_directory(os.path.dirname(destination))


def _is_partial(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(PARTIAL)


def sync_directory(path: str) -> None:
    """Make renames and creations in `path` survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
