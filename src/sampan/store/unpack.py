"""From a blob to a layer: the daemon's side of the "unpack" worker.

The worker reads a stream of any compression, applies the tar to a staging folder and answers the digest of
what it read, uncompressed (the DiffID). Only when that is the expected one does the stage become a layer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sampan.errors import InvalidParameter
from sampan.spec.digest import Digest, parse_digest
from sampan.store import jobs
from sampan.store.leases import Lease
from sampan.store.room import FREE_RESERVE
from sampan.store.snapshots import Snapshots

PROGRESS_INTERVAL = 0.1  # seconds


class Unpacked(NamedTuple):
    diff_id: Digest
    size: int  # bytes of file content
    entries: int


class Source(NamedTuple):
    """A layer to be made from a stored blob."""

    open: Callable[[], int]  # a new descriptor of the blob
    diff: Digest
    chain: Digest
    parent: Digest | None


Progress = Callable[[Source, int], None]  # how many bytes of the blob are done


class Unpacker:
    def __init__(self, snapshots: Snapshots, spawn: jobs.Spawn) -> None:
        self._snapshots = snapshots
        self._spawn = spawn
        self._locks: dict[str, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)

    def job(self, source_fd: int, stage: str, *, base: bool, sync: bool = True) -> StageJob:
        """The worker that fills `stage` from `source_fd`, a file or the reading end of a pipe.

        `base`: nothing is below this layer, so that its whiteouts mean nothing. Without `sync` the
        caller sees to it that everything is on the disk before the stage is committed.
        """
        return StageJob(self._spawn, source_fd, stage, base=base, sync=sync)

    async def stack(
        self, sources: Sequence[Source], lease: Lease, progress: Progress | None = None
    ) -> None:
        """Make the layers of an image that are not there yet, bottom first; several at a time.

        Two callers at once unpack a layer once. Raises InvalidParameter when a tar is bad or is not the
        DiffID it should be, OSError; of the layer that failed nothing is left.
        """
        ready: asyncio.Future[None] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for source in sources:
                    lease.hold("layer", source.chain)
                    below, ready = ready, asyncio.get_running_loop().create_future()
                    group.create_task(self._layer(source, below, ready, progress))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _layer(
        self,
        source: Source,
        below: asyncio.Future[None] | None,
        ready: asyncio.Future[None],
        progress: Progress | None,
    ) -> None:
        """One layer of a stack: `below` is done when the layer under it is there."""
        with self._lock(source.chain) as lock:
            async with lock:
                if not self._snapshots.has_layer(source.chain):
                    with self.stage() as stage:
                        async with self._slots:
                            unpacked = await self._unpack(source, stage, progress)
                        if below is not None:
                            await below
                        self._snapshots.commit(
                            stage,
                            chain=source.chain,
                            diff=source.diff,
                            parent=source.parent,
                            size=unpacked.size,
                        )
                ready.set_result(None)

    @contextmanager
    def stage(self) -> Iterator[str]:
        """A staging folder, which is thrown away unless it was committed."""
        stage = self._snapshots.stage()
        try:
            yield stage
        finally:
            self._snapshots.discard(stage)

    async def _unpack(self, source: Source, stage: str, progress: Progress | None) -> Unpacked:
        fd = source.open()
        try:
            async with self.job(fd, stage, base=source.parent is None) as job:
                result = asyncio.ensure_future(job.result())
                try:
                    while not result.done():
                        await asyncio.wait([result], timeout=PROGRESS_INTERVAL)
                        if progress is not None:
                            # The worker has the same open file, so this is where it is reading.
                            progress(source, os.lseek(fd, 0, os.SEEK_CUR))
                    unpacked = result.result()
                finally:
                    result.cancel()
        finally:
            os.close(fd)
        if unpacked.diff_id != source.diff:
            raise InvalidParameter(
                f'invalid diffID for layer: expected "{source.diff}", got "{unpacked.diff_id}"'
            )
        return unpacked

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

    def __init__(
        self, spawn: jobs.Spawn, source_fd: int, stage: str, *, base: bool, sync: bool
    ) -> None:
        self._folder = os.open(
            os.path.join(stage, "fs"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        args = {"reserve": FREE_RESERVE, "base": base, "sync": sync}
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
