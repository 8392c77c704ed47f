"""`docker logs`: which records, in which form, and following a container until it ends.

Bounded memory: one block of the file at a time, and nothing is read before the last was taken.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from sampan.engine import log_drivers, logfile
from sampan.engine.actor import Actor
from sampan.engine.logfile import LogFile
from sampan.engine.services import Services
from sampan.engine.wait import Waiter
from sampan.errors import InvalidParameter, NotFound, NotImplementedHere
from sampan.linux import inotify
from sampan.wire import stdcopy
from sampan.wire.jsonlog import Record

_STREAMS = {"stdout": stdcopy.STDOUT, "stderr": stdcopy.STDERR}


@dataclass(frozen=True, slots=True)
class LogOptions:
    stdout: bool = False
    stderr: bool = False
    since: int = 0  # nanoseconds since the epoch; see times.from_parameter
    until: int = 0
    timestamps: bool = False
    follow: bool = False
    tail: int = -1  # lines; -1: all
    details: bool = False


@dataclass(frozen=True, slots=True)
class LogStream:
    multiplexed: bool  # no terminal: the API frames the chunks
    chunks: AsyncIterator[tuple[int, bytes]]  # (1 stdout | 2 stderr, one record's bytes)


async def read_logs(services: Services, ref: str, options: LogOptions) -> LogStream:
    """Raises NotFound, InvalidParameter (neither stream), NotImplementedHere (the log driver keeps none)."""
    try:
        actor = services.containers.actor(ref)
    except NotFound:
        receipt = services.receipts.find(ref)
        if receipt is None:
            raise
        actor = Actor(receipt, lambda _: None)
    record = actor.record
    if not (options.stdout or options.stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    # What a removed container's receipt has kept of its log is named by the receipt.
    gone = services.containers.is_gone(record.id)
    path = record.log_path if gone else log_drivers.log_file(services.paths, record)
    if not path:
        raise NotImplementedHere("configured logging driver does not support reading")
    ended = None
    if options.follow and record.state.alive:
        # Registered before anything is read: whatever is written before the exit is read after it.
        ended = Waiter(actor)
    return LogStream(not record.tty, _chunks(path, options, ended))


async def _chunks(
    path: str, options: LogOptions, ended: Waiter | None
) -> AsyncGenerator[tuple[int, bytes], None]:
    selection = Selection(options)
    reader = Reader(path, ended)
    try:
        reader.open(options)
        async for records in reader.blocks():
            for item in records:
                chunk = selection.take(item)
                if chunk is not None:
                    yield chunk
                elif selection.over:
                    return
    finally:
        reader.close()


class Selection:
    """Which records are wanted, and as what."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._exact = bool(options.since or options.until)
        wanted = {"stdout": options.stdout, "stderr": options.stderr}
        self._streams = {name: number for name, number in _STREAMS.items() if wanted[name]}
        self.over = False

    def take(self, record: Record) -> tuple[int, bytes] | None:
        """The stream and the bytes; None when it is not wanted, or none that follows is (`over`)."""
        options = self._options
        if self._exact:
            try:
                moment = record.nanoseconds
            except ValueError:
                return None
            if options.until and moment > options.until:
                self.over = True
                return None
            if moment < options.since:
                return None
        stream = self._streams.get(record.stream)
        if stream is None:
            return None
        data = record.log
        if options.details:
            data = details_of(record) + b" " + data
        if options.timestamps:
            data = fixed_time(record.time).encode("ascii", "replace") + b" " + data
        return stream, data


def fixed_time(text: str) -> str:
    """RFC 3339 with nine digits of fraction, as dockerd prints it."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return f"{whole}.{fraction.ljust(9, '0')}Z"


def details_of(record: Record) -> bytes:
    """What the log driver's options have put into the line, as `key=value,…`."""
    found = record.attributes or {}
    pairs = (f"{quote_plus(key)}={quote_plus(found[key])}" for key in sorted(found))
    return ",".join(pairs).encode()


class Reader:
    """The blocks of a log from a place on, and with `ended` what is written until the container's exit."""

    def __init__(self, path: str, ended: Waiter | None) -> None:
        self._path = path
        self._ended = ended
        self._files: list[LogFile] = []
        self._watch = -1

    def open(self, options: LogOptions) -> None:
        if self._ended is not None:
            # Before the first read, so that no change after it is missed.
            self._watch = inotify.watch(os.path.dirname(self._path))
        self._files = logfile.open_all(self._path)
        if options.tail >= 0:
            self._files = logfile.seek_tail(self._files, options.tail)
        if options.since:
            self._skip_older(options.since)

    def _skip_older(self, since: int) -> None:
        while len(self._files) > 1 and logfile.is_older(self._files[0], since):
            self._files.pop(0).close()
        if self._files:
            kept = self._files[0].position
            logfile.seek_time(self._files[0], since)
            self._files[0].position = max(self._files[0].position, kept)

    async def blocks(self) -> AsyncIterator[Iterable[Record]]:
        while True:
            # Asked before reading: what the container wrote is in the file when its exit is told.
            over = self._ended is None or self._ended.ready
            while self._files:
                if self._files[0].packed:
                    await asyncio.to_thread(self._files[0].unpack)
                records = self._files[0].read()
                if records is not None:
                    yield records
                    await asyncio.sleep(0)  # other requests live too, if our client never blocks
                elif len(self._files) > 1 or self._rotated():
                    self._files.pop(0).close()
                else:
                    break
            if over:
                return
            await self._wait()
            if not self._files:
                self._files = logfile.open_all(self._path)

    def _rotated(self) -> bool:
        """At the end of the newest file we have: whether there is a newer one, which is opened then."""
        current = self._files[0]
        try:
            # A packed one is never the newest: the number of the inode that it had may be the newest's by now.
            if not current.changed and os.stat(self._path).st_ino == current.inode:
                return False
        except FileNotFoundError:
            return False
        if current.size > current.position:  # written to after our last read, and then renamed
            return False
        self._files += logfile.newer(self._path, current)
        return len(self._files) > 1

    async def _wait(self) -> None:
        """Until something is written, or the container ends."""
        assert self._ended is not None
        loop = asyncio.get_running_loop()
        changed: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            inotify.drain(self._watch)
            if not changed.done():
                changed.set_result(None)

        loop.add_reader(self._watch, ready)
        try:
            awaited: list[asyncio.Future[Any]] = [changed, self._ended.future]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._watch)
            changed.cancel()

    def close(self) -> None:
        while self._files:
            self._files.pop().close()
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1
        if self._ended is not None:
            self._ended.close()
