"""Layers on their way: fetched, hashed and unpacked at once, each by whoever comes first.

An *arrival* is one blob: into the ingest folder, and through a pipe into a worker that fills a stage. It depends on
nothing but the descriptor, so it begins before the config is here. Whether the stage is what the config says (its
DiffID), and which chain it becomes, is up to each pull that holds the arrival. The stage serves the first chain that
claims it; another one (the same layer twice in an image, or over something else) is unpacked from the file.

Nothing is committed here: a pull puts all of its layers into one `Batch`. When the last pull lets go of an arrival,
the stage goes, the blob's file stays to be resumed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple, TypeVar

from sampan.distribution.fetch import Source, fetch
from sampan.distribution.flights import Flights, Work
from sampan.distribution.options import Options
from sampan.distribution.progress import Progress, amount, status
from sampan.errors import InvalidParameter, SampanError
from sampan.spec.digest import Digest, hex_of
from sampan.store.content import Blob
from sampan.store.partial import Mismatch, Partial
from sampan.store.snapshots import Staged
from sampan.store.store import Store
from sampan.store.streams import PipeWriter
from sampan.store.unpack import StageJob, Unpacked

T = TypeVar("T")

MISFIT = "layers from manifest don't match image configuration"


def short(digest: Digest) -> str:
    """The id by which a layer is known in progress messages."""
    return hex_of(digest)[:12]


class Place(NamedTuple):
    """Where in an image a layer belongs, by the image's config."""

    diff: Digest
    chain: Digest
    parent: Digest | None


class Arrival:
    """A whole and verified blob, and a stage that holds its content."""

    def __init__(self, partial: Partial, stage: str, unpacked: Unpacked, *, base: bool) -> None:
        self.partial, self.stage, self.unpacked = partial, stage, unpacked
        self._base = base
        self._chain: Digest | None = None

    def claim(self, place: Place) -> bool:
        """Whether the stage becomes this layer; only one chain can have it. What is below decides about
        whiteouts, so a stage for the bottom serves the bottom only."""
        if self._base != (place.parent is None):
            return False
        self._chain = self._chain or place.chain
        return self._chain == place.chain


class Obtained(NamedTuple):
    """`file` and `staged` are what is not in the store yet."""

    file: tuple[str, Blob] | None
    staged: Staged | None


class Layers:
    """Shared by all pulls of a daemon."""

    def __init__(self, store: Store, options: Options) -> None:
        self._store = store
        self._options = options
        self._slots = asyncio.Semaphore(options.max_downloads)
        self._arrivals: Flights[Arrival] = Flights(self._dispose)
        self._stages: Flights[tuple[str, Unpacked]] = Flights(lambda made: self._discard(made[0]))

    def reconfigure(self, options: Options) -> None:
        """For the layers that are asked for from now on."""
        self._options = options
        self._slots = asyncio.Semaphore(options.max_downloads)

    async def arrive(
        self, stack: AsyncExitStack, blob: Blob, source: Source, watch: Progress, *, base: bool
    ) -> Arrival:
        """Fetch and unpack, or wait for whoever does. `stack` holds the result."""

        async def work(report: Progress) -> Arrival:
            return await self._arrive(blob, source, report, base=base)

        return await _share(stack, self._arrivals, blob.digest, work, watch)

    async def place(
        self,
        stack: AsyncExitStack,
        blob: Blob,
        arrival: Arrival | None,
        place: Place,
        watch: Progress,
    ) -> Obtained:
        """The layer for its place in an image. Raises InvalidParameter when it does not belong there."""
        file = (arrival.partial.path, blob) if arrival is not None else None
        if arrival is not None:
            _check_diff(arrival.unpacked, place)
        if self._store.snapshots.has_layer(place.chain):
            return Obtained(file, None)
        if arrival is not None and arrival.claim(place):
            return Obtained(file, _staged(arrival.stage, arrival.unpacked, place))

        async def work(report: Progress) -> tuple[str, Unpacked]:
            return await self._unpack(
                lambda: self._open(blob, arrival), place, report, short(blob.digest)
            )

        stage, unpacked = await _share(stack, self._stages, place.chain, work, watch)
        _check_diff(unpacked, place)
        return Obtained(file, _staged(stage, unpacked, place))

    async def _arrive(self, blob: Blob, source: Source, report: Progress, *, base: bool) -> Arrival:
        if self._slots.locked():
            report(status("Waiting", short(blob.digest)))
        async with self._slots:
            partial = self._store.content.partial(blob)
            try:
                if partial.size:
                    # What a dead daemon or a lost disk left may be wrong: then once more, from the start.
                    try:
                        return await self._stream(partial, source, report, base=base)
                    except Mismatch:
                        partial = self._store.content.partial(blob)
                return await self._stream(partial, source, report, base=base)
            except (OSError, SampanError) as error:
                if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                    partial.drop()  # a full disk gets its space back
                partial.close()
                raise
            except BaseException:
                partial.close()
                raise

    async def _stream(
        self, partial: Partial, source: Source, report: Progress, *, base: bool
    ) -> Arrival:
        """Into the file and through the worker, to the end."""
        name = short(partial.blob.digest)
        async with self._stage() as stage, _pipe() as pipe:
            job = self._store.unpacker.job(pipe.read_fd, stage, base=base, sync=False)
            async with job:
                pipe.close_reader()
                async for piece in partial.recover():
                    await pipe.write(piece)
                if not partial.whole:
                    await fetch(source, partial, pipe, self._options, report, name)
                pipe.close()
                report(status("Verifying Checksum", name))
                partial.verify()
                report(status("Download complete", name))
                unpacked = await _result(job)
                report(amount("Extracting", name, partial.size, partial.size))
            return Arrival(partial, stage, unpacked, base=base)

    async def _unpack(
        self, open_blob: Callable[[], int], place: Place, report: Progress, name: str
    ) -> tuple[str, Unpacked]:
        """From a file that is here."""
        async with self._slots, self._stage() as stage:
            fd = open_blob()
            try:
                size = os.fstat(fd).st_size
                report(amount("Extracting", name, 0, size))
                base = place.parent is None
                async with self._store.unpacker.job(fd, stage, base=base, sync=False) as job:
                    unpacked = await _result(job)
            finally:
                os.close(fd)
            report(amount("Extracting", name, size, size))
            return stage, unpacked

    def _open(self, blob: Blob, arrival: Arrival | None) -> int:
        """The file of a blob: on its way, or committed meanwhile by another pull."""
        if arrival is not None:
            try:
                return os.open(arrival.partial.path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                pass
        return self._store.content.open(blob.digest)

    @asynccontextmanager
    async def _stage(self) -> AsyncIterator[str]:
        """A stage that is thrown away when something fails."""
        stage = self._store.snapshots.stage()
        try:
            yield stage
        except BaseException:
            self._discard(stage)
            raise

    def _discard(self, stage: str) -> None:
        self._store.snapshots.discard(stage)  # nothing happens when it was committed

    def _dispose(self, arrival: Arrival) -> None:
        arrival.partial.close()
        self._discard(arrival.stage)


@asynccontextmanager
async def _pipe() -> AsyncIterator[PipeWriter]:
    pipe = PipeWriter()
    try:
        yield pipe
    finally:
        pipe.close()


async def _share(
    stack: AsyncExitStack, flights: Flights[T], key: str, work: Work[T], watch: Progress
) -> T:
    """The result of a flight, which `stack` holds from then on. What fails for somebody else is tried anew:
    it may have been that one's registry, or password."""
    while True:
        async with AsyncExitStack() as attempt:
            held = await attempt.enter_async_context(flights.hold(key, work, watch))
            try:
                result = await held.result()
            except SampanError:
                if held.joined:
                    continue
                raise
            await stack.enter_async_context(attempt.pop_all())
            return result


async def _result(job: StageJob) -> Unpacked:
    try:
        return await job.result()
    except InvalidParameter as error:
        raise InvalidParameter(f"failed to register layer: {error}") from None
    except OSError as error:
        raise SampanError(f"failed to register layer: {error.strerror or error}") from error


def _staged(stage: str, unpacked: Unpacked, place: Place) -> Staged:
    return Staged(stage, place.chain, place.diff, place.parent, unpacked.size)


def _check_diff(unpacked: Unpacked, place: Place) -> None:
    if unpacked.diff_id != place.diff:
        raise InvalidParameter(MISFIT)
