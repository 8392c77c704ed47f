"""From a blob to a layer: the daemon's side of the "unpack" worker.

The worker reads a stream of any compression, applies the tar to a staging folder and answers the digest of
what it read, uncompressed (the DiffID). Only when that is the expected one does the stage become a layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sampan.spec.digest import Digest, parse_digest
from sampan.store import jobs
from sampan.store.room import FREE_RESERVE
from sampan.store.snapshots import Snapshots

PROGRESS_INTERVAL = 0.1  # seconds


class Unpacked(NamedTuple):
    diff_id: Digest
    size: int  # bytes of file content
    entries: int
    whiteouts: int = 0  # how many there are; at the bottom they mean nothing


class Unpacker:
    def __init__(self, snapshots: Snapshots, spawn: jobs.Spawn) -> None:
        self._snapshots = snapshots
        self._spawn = spawn

    def job(self, source_fd: int, stage: str, *, base: bool, sync: bool = True) -> StageJob:
        """The worker that fills `stage` from `source_fd`, a file or the reading end of a pipe.

        `base`: nothing is below this layer, so that its whiteouts mean nothing. Without `sync` the
        caller sees to it that everything is on the disk before the stage is committed.
        """
        return StageJob(self._spawn, source_fd, stage, base=base, sync=sync)

    @contextmanager
    def stage(self) -> Iterator[str]:
        """A staging folder, which is thrown away unless it was committed."""
        stage = self._snapshots.stage()
        try:
            yield stage
        finally:
            self._snapshots.discard(stage)


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
        return Unpacked(
            parse_digest(answer["diff_id"]), answer["size"], answer["entries"], answer["whiteouts"]
        )
