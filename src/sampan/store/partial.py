"""A blob that arrives under its digest's name, and of which nothing is lost when it is interrupted.

    content/ingest/HEX.part     as much as has arrived; kept over a cancelled pull and a dead daemon

    partial = content.partial(Blob(digest, size))
    async for piece in partial.recover(): …      # what is here already, hashed
    await partial.write(pieces)                  # from byte `partial.size` on
    partial.verify()                             # whole, and what its digest says; else it is removed
    partial.close()                              # the file stays, whole or not

A `Batch` makes it a blob. What was written before a power loss may be wrong, so `verify` decides, and whoever
resumed starts over after a `Mismatch`. One writer at a time, which is the caller's affair.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sampan.errors import InvalidParameter
from sampan.spec.digest import PREFIX, Digest
from sampan.store.streams import PipeWriter
from sampan.store.threads import in_thread

PIECE = 1 << 20


class Blob(NamedTuple):
    digest: Digest
    size: int


class Mismatch(InvalidParameter):
    """The bytes that came are not those that the digest names."""


class Partial:
    def __init__(self, path: str, blob: Blob) -> None:
        self.path, self.blob = path, blob
        try:
            os.chmod(path, 0o600)  # it was on its way to become a blob
        except FileNotFoundError:
            pass
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._hash = hashlib.sha256()
        self.size = self._there()

    def _there(self) -> int:
        size = os.fstat(self._fd).st_size
        if size > self.blob.size:
            os.ftruncate(self._fd, 0)
            return 0
        return size

    @property
    def whole(self) -> bool:
        """As many bytes as it should have."""
        return self.size == self.blob.size

    async def recover(self) -> AsyncIterator[bytes]:
        """What was here before, from the first byte; once, and before anything is written."""
        end, at = self.size, 0
        while at < end:
            piece = await in_thread(self._read, at, min(PIECE, end - at))
            at += len(piece)
            yield piece

    async def write(self, pieces: Sequence[bytes], pipe: PipeWriter | None = None) -> None:
        """Append; the same bytes go down `pipe`, whose reader may hold this up."""
        rest = await in_thread(self._write, pieces, pipe)
        if pipe is not None:
            await pipe.drain(rest)

    def restart(self) -> None:
        """Forget what is here."""
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self.size = 0

    def verify(self) -> None:
        """Raises Mismatch, and then the file is gone."""
        found = Digest(PREFIX + self._hash.hexdigest())
        if (found, self.size) != self.blob:
            self.drop()
            raise Mismatch(f"filesystem layer verification failed for digest {self.blob.digest}")

    def drop(self) -> None:
        """Remove the file; the object is of no use afterwards."""
        if self._fd >= 0:
            os.unlink(self.path)
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self, at: int, size: int) -> bytes:
        piece = os.pread(self._fd, size, at)
        if not piece:
            raise OSError(f"{self.path} has become shorter")
        self._hash.update(piece)
        return piece

    def _write(self, pieces: Sequence[bytes], pipe: PipeWriter | None) -> list[memoryview]:
        for piece in pieces:
            self._hash.update(piece)
            view = memoryview(piece)
            while view:
                written = os.pwrite(self._fd, view, self.size)
                self.size += written
                view = view[written:]
        return pipe.push(pieces) if pipe is not None else []
