"""From a blob to a layer: the daemon's side of the "unpack" worker.

The worker reads a stream of any compression, applies the tar to a staging folder and answers the digest of
what it read, uncompressed (the DiffID). Only when that is the expected one does the stage become a layer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sampan.errors import InvalidParameter
from sampan.spec.digest import Digest, parse_digest
from sampan.store import jobs
from sampan.store.leases import Lease
from sampan.store.snapshots import Snapshots

PROGRESS_INTERVAL = 0.1  # seconds
FREE_RESERVE = 64 << 20  # bytes that an archive may not take from the file system


class Unpacked(NamedTuple):
    diff_id: Digest
    size: int  # bytes of file content
    entries: int


class Unpacker:
    def __init__(self, snapshots: Snapshots, spawn: jobs.Spawn) -> None:
        self._snapshots = snapshots
        self._spawn = spawn
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    def job(self, source_fd: int, stage: str) -> StageJob:
        """The worker that fills `stage` from `source_fd`, a file or the reading end of a pipe."""
        return StageJob(self._spawn, source_fd, stage)

    async def layer(
        self,
        source_fd: int,
        *,
        diff: Digest,
        parent: Digest | None,
        chain: Digest,
        lease: Lease,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Make the layer `chain` unless it is there. Two callers at once unpack it once.

        `progress` is told how many bytes of the source are done. Raises InvalidParameter when the tar is
        bad or is not `diff`, OSError; nothing is left then.
        """
        lease.hold("layer", chain)
        with self._lock(chain) as lock:
            async with lock, self._slots:
                if self._snapshots.has_layer(chain):
                    return
                with self.stage() as stage:
                    unpacked = await self._unpack(source_fd, stage, progress)
                    if unpacked.diff_id != diff:
                        raise InvalidParameter(
                            f'invalid diffID for layer: expected "{diff}", got "{unpacked.diff_id}"'
                        )
                    self._snapshots.commit(
                        stage, chain=chain, diff=diff, parent=parent, size=unpacked.size
                    )

    @contextmanager
    def stage(self) -> Iterator[str]:
        """A staging folder, which is thrown away unless it was committed."""
        stage = self._snapshots.stage()
        try:
            yield stage
        finally:
            self._snapshots.discard(stage)

    async def _unpack(
        self, source_fd: int, stage: str, progress: Callable[[int], None] | None
    ) -> Unpacked:
        async with self.job(source_fd, stage) as job:
            result = asyncio.ensure_future(job.result())
            try:
                while not result.done():
                    await asyncio.wait([result], timeout=PROGRESS_INTERVAL)
                    if progress is not None:
                        # The worker has the same open file, so this is where it is reading.
                        progress(os.lseek(source_fd, 0, os.SEEK_CUR))
                return result.result()
            finally:
                result.cancel()

    @contextmanager
    def _lock(self, chain: str) -> Iterator[asyncio.Lock]:
        lock = self._locks.setdefault(chain, asyncio.Lock())
        try:
            yield lock
        finally:
            if not lock.locked():
                self._locks.pop(chain, None)


class StageJob:
    """`async with` around the time the worker lives; `result()` is its answer."""

    def __init__(self, spawn: jobs.Spawn, source_fd: int, stage: str) -> None:
        self._folder = os.open(os.path.join(stage, "fs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        args = {"reserve": FREE_RESERVE}
        self._job = jobs.Job(spawn, "unpack", args, [source_fd, self._folder])

    async def __aenter__(self) -> StageJob:
        try:
            await self._job.__aenter__()
        finally:
            os.close(self._folder)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._job.__aexit__()

    async def result(self) -> Unpacked:
        """Raises InvalidParameter for a bad stream, OSError, SampanError."""
        answer = await self._job.result()
        return Unpacked(parse_digest(answer["diff_id"]), answer["size"], answer["entries"])
