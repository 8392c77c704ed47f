"""One blob from a registry into a `Partial`: resumed, retried, from the next host when one gives up.

What has been written is never fetched again: after a cut the next request asks for the rest (Range). Tries are
counted anew when there was progress. A host that drips is a host that is silent.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence

from sampan.distribution.hosts import Endpoint
from sampan.distribution.options import Options
from sampan.distribution.progress import Meter, Progress, status
from sampan.distribution.registries import Registries
from sampan.distribution.remote import BlobStream, Remote, cut
from sampan.distribution.retry import Retry
from sampan.errors import SampanError
from sampan.store.partial import Mismatch, Partial
from sampan.store.room import FREE_RESERVE
from sampan.store.streams import PipeWriter

log = logging.getLogger(__name__)

GATHER = 1 << 19  # bytes for which a thread is bothered …
GATHER_TIME = 0.1  # … or seconds


class Source:
    """The hosts that may have the blobs of an image, the one that gave the manifest first."""

    def __init__(self, registries: Registries, endpoints: Sequence[Endpoint]) -> None:
        self._registries = registries
        self._endpoints = list(endpoints)

    async def remotes(self) -> AsyncIterator[Remote]:
        """Raises nothing; hosts that do not answer are passed over, unless it is the last one."""
        last = len(self._endpoints) - 1
        for number, endpoint in enumerate(self._endpoints):
            try:
                remote = await self._registries.remote(endpoint)
            except SampanError:
                if number == last:
                    raise
                continue
            yield remote


async def fetch(
    source: Source, partial: Partial, pipe: PipeWriter, options: Options, report: Progress, id: str
) -> None:
    """Raises SampanError of the last host; Mismatch when one sends more than the blob has."""
    check_space(partial)
    failure: SampanError | None = None
    async for remote in source.remotes():
        if failure is not None:
            log.warning("%s: %s; trying %s", partial.blob.digest, failure, remote.host.origin)
        try:
            await _fetch_from(remote, partial, pipe, options, report, id)
            return
        except Mismatch:
            raise
        except SampanError as error:
            failure = error
    assert failure is not None
    raise failure


async def _fetch_from(
    remote: Remote, partial: Partial, pipe: PipeWriter, options: Options, report: Progress, id: str
) -> None:
    blob = partial.blob
    retry = Retry(options)
    meter = Meter(report, "Downloading", id, blob.size)
    while not partial.whole:
        before = partial.size
        try:
            async with remote.open_blob(blob.digest, blob.size, before) as stream:
                await _receive(stream, partial, pipe, options, meter)
            if not partial.whole:
                raise cut(partial.size, blob.size)
        except Mismatch:
            raise
        except SampanError as error:
            if partial.size - before >= options.timeouts.drip_bytes:
                retry.reset()
            await _pause(retry, error, report, id)


async def _pause(retry: Retry, error: SampanError, report: Progress, id: str) -> None:
    delay = retry.after(error)
    log.info("%s; trying again in %.1f s", error, delay)
    if delay >= 1:
        report(status(f"Retrying in {round(delay)} second{'s' if round(delay) != 1 else ''}", id))
    await asyncio.sleep(delay)


async def _receive(
    stream: BlobStream, partial: Partial, pipe: PipeWriter, options: Options, meter: Meter
) -> None:
    """To the end of the answer. What has arrived before a failure is kept."""
    loop = asyncio.get_running_loop()
    times = options.timeouts
    gathered = Gathered(partial, pipe)
    waited, arrived, written = 0.0, 0, loop.time()
    try:
        while True:
            began = loop.time()
            piece = await stream.read()
            now = loop.time()
            if not piece:
                break
            gathered.add(piece)
            waited, arrived = waited + now - began, arrived + len(piece)
            if waited >= times.drip_window:
                if arrived < times.drip_bytes:
                    raise cut(gathered.end, partial.blob.size)
                waited, arrived = 0.0, 0
            if gathered.size >= GATHER or now - written >= GATHER_TIME:
                await gathered.flush()
                meter.show(partial.size)
                written = loop.time()
    except asyncio.CancelledError:
        await gathered.keep()
        raise
    except Mismatch:
        await gathered.settle()
        partial.drop()
        raise
    except Exception:
        await gathered.flush()
        await gathered.settle()
        raise
    await gathered.flush()
    await gathered.settle()
    meter.show(partial.size)


class Gathered:
    """Pieces on their way to disk and pipe: while a thread writes some, the next ones are read."""

    def __init__(self, partial: Partial, pipe: PipeWriter) -> None:
        self._partial, self._pipe = partial, pipe
        self._pieces: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        self.size = 0
        self.end = partial.size  # of the blob so far, all of it counted

    def add(self, piece: bytes) -> None:
        """Raises Mismatch when it is more than the blob has."""
        self.end += len(piece)
        if self.end > self._partial.blob.size:
            raise Mismatch(
                f"filesystem layer verification failed for digest {self._partial.blob.digest}: "
                "the registry sends more than the manifest says"
            )
        self._pieces.append(piece)
        self.size += len(piece)

    async def flush(self) -> None:
        """Begin to write, once what was begun before is written."""
        await self.settle()
        if self._pieces:
            self._writing = asyncio.create_task(self._partial.write(self._take(), self._pipe))

    async def settle(self) -> None:
        """Wait for what is being written."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            try:
                await writing
            except OSError:
                self._take()  # it has no place behind what is missing
                raise

    async def keep(self) -> None:
        """After a cancellation: to disk only, nobody reads from the pipe any more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
            self._writing = None
        if self._pieces:
            await self._partial.write(self._take(), None)

    def _take(self) -> list[bytes]:
        pieces, self._pieces, self.size = self._pieces, [], 0
        return pieces


def check_space(partial: Partial) -> None:
    """Raises SampanError when the rest of the blob has no room, before a byte of it is fetched."""
    space = os.statvfs(os.path.dirname(partial.path))
    missing = partial.blob.size - partial.size
    if missing + FREE_RESERVE > space.f_bavail * space.f_frsize:
        raise SampanError(f"no space left on device: a layer needs {missing} bytes")
