"""Layers of an archive that is being loaded: unpacked from the moment they begin to arrive, several at once.

What a file of the archive is turns out when the whole archive has been read, so every large one is taken for a layer: a
worker fills a stage from it, as far as the file has got. The arrival never waits for a worker. What then belongs to no
wanted image is dropped and leaves the disk at once, and what is wanted is claimed by the first place in an image that
it has. Nothing is committed here; whoever leaves takes away what is not.

    async with Stages(store.content, store.snapshots, store.unpacker) as stages:
        stages.begin(name, ingest)             # a file has begun to arrive
        stages.want(ingest, place)             # all have arrived: this one is a layer
        await stages.drop_rest()
        staged = await stages.obtain(place, report)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from sampan.errors import InvalidParameter
from sampan.spec.digest import Digest, digest_from_hex, is_hex
from sampan.store.content import Content, Ingest
from sampan.store.snapshots import Snapshots, Staged
from sampan.store.streams import PipeWriter
from sampan.store.unpack import PROGRESS_INTERVAL, Unpacked, Unpacker

BLOBS = "blobs/sha256/"


class Place(NamedTuple):
    """Where in an image a layer belongs, by the image's config."""

    diff: Digest
    chain: Digest
    parent: Digest | None


class Filling:
    """A stage on its way, made of `ingest`."""

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        self.done = 0  # bytes that the worker has been given
        self.stage = ""  # from its beginning on
        self.task: asyncio.Task[Unpacked] | None = None


class Stages:
    def __init__(self, content: Content, snapshots: Snapshots, unpacker: Unpacker) -> None:
        self._content, self._snapshots, self._unpacker = content, snapshots, unpacker
        # Its own: a client that stops sending must hold up nobody else.
        self._slots = asyncio.Semaphore(os.cpu_count() or 1)
        self._early: dict[Ingest, Filling] = {}
        self._wanted: dict[Digest, Filling] = {}
        self._all: set[Filling] = set()  # whose stages may be there

    async def __aenter__(self) -> Stages:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end(list(self._all))

    def begin(self, name: str, ingest: Ingest) -> None:
        """A file begins to arrive; one whose name says that it is here already is left alone."""
        digits = name.removeprefix(BLOBS)
        if name.startswith(BLOBS) and is_hex(digits):
            digest = digest_from_hex(digits)
            if self._content.has(digest) or digest in self._snapshots.packed():
                return
        self._early[ingest] = self._start(ingest, base=False)

    def want(self, ingest: Ingest, place: Place) -> None:
        """The file, which has arrived, is the layer at this place, which is not there."""
        if place.chain not in self._wanted:
            early = self._early.pop(ingest, None)
            self._wanted[place.chain] = early or self._start(ingest, base=place.parent is None)

    async def drop(self, ingest: Ingest) -> None:
        """The file counts for nothing any more."""
        if (filling := self._early.pop(ingest, None)) is not None:
            await self._end([filling])

    async def drop_rest(self) -> None:
        """What nobody wants."""
        await self._end(list(self._early.values()))
        self._early.clear()

    async def obtain(self, place: Place, report: Callable[[int], None]) -> Staged:
        """A wanted layer, unpacked but not on the disk yet. `report` is told how far it is.

        Raises InvalidParameter when it is no layer, or not the one of this place; OSError.
        """
        filling = self._wanted[place.chain]
        unpacked = await self._wait(filling, report)
        if unpacked.whiteouts and place.parent is None:
            # It was not known that nothing is below; whiteouts mean something else there.
            await self._end([filling])
            filling = self._wanted[place.chain] = self._start(filling.ingest, base=True)
            unpacked = await self._wait(filling, report)
        if unpacked.diff_id != place.diff:
            raise InvalidParameter(
                f'invalid diffID for layer: expected "{place.diff}", got "{unpacked.diff_id}"'
            )
        return Staged(filling.stage, place.chain, place.diff, place.parent, unpacked.size)

    async def _wait(self, filling: Filling, report: Callable[[int], None]) -> Unpacked:
        assert filling.task is not None
        while not filling.task.done():
            if not (await asyncio.wait([filling.task], timeout=PROGRESS_INTERVAL))[0]:
                report(filling.done)
        return filling.task.result()

    def _start(self, ingest: Ingest, *, base: bool) -> Filling:
        filling = Filling(ingest)
        filling.task = asyncio.create_task(self._fill(filling, base=base))
        self._all.add(filling)
        return filling

    async def _end(self, fillings: list[Filling]) -> None:
        """However they end; their workers are gone then, and their stages, unless they were committed."""
        tasks = [filling.task for filling in fillings if filling.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for filling in fillings:
            if filling.stage:
                self._snapshots.discard(filling.stage)
            self._all.discard(filling)

    async def _fill(self, filling: Filling, *, base: bool) -> Unpacked:
        async with self._slots:
            filling.stage = self._snapshots.stage()
            pipe = PipeWriter()
            try:
                job = self._unpacker.job(pipe.read_fd, filling.stage, base=base, sync=False)
                async with job:
                    pipe.close_reader()
                    await _pump(filling, pipe)
                    pipe.close()
                    return await job.result()
            finally:
                pipe.close()


async def _pump(filling: Filling, pipe: PipeWriter) -> None:
    """The file as far as it has arrived, to its end."""
    ingest = filling.ingest
    fd = os.open(ingest.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while not pipe.broken and (ready := await ingest.more(filling.done)):
            filling.done += await pipe.splice(fd, filling.done, ready)
    finally:
        os.close(fd)
