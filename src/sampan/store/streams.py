"""Streams of bytes on their way into the store: decompressed, or sent down a pipe, without blocking the loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator

from sampan.errors import InvalidParameter, ProtocolError
from sampan.store.decompress import MAGIC_SIZE, Decompressor, detect
from sampan.store.threads import in_thread

GATHER = 1 << 18  # bytes collected before a thread is bothered
PIPE_SIZE = 1 << 20


async def gather(chunks: AsyncIterable[bytes], size: int = GATHER) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least `size`, the last one excepted."""
    pieces: list[bytes] = []
    length = 0
    async for chunk in chunks:
        pieces.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(pieces)
            pieces, length = [], 0
    if pieces:
        yield b"".join(pieces)


async def sniff(chunks: AsyncIterable[bytes]) -> tuple[str, AsyncIterator[bytes]]:
    """The compression of a stream (`decompress.detect`), and the whole stream again."""
    iterator = aiter(chunks)
    head = b""
    while len(head) < MAGIC_SIZE:
        try:
            head += await anext(iterator)
        except StopAsyncIteration:
            break
    return detect(head), _chain(head, iterator)


async def _chain(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


async def decompressed(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The plain bytes of a stream of any compression. Raises InvalidParameter when it is broken."""
    decompressor = Decompressor()
    try:
        async for chunk in gather(chunks):
            async for piece in _pieces(decompressor.feed(chunk)):
                yield piece
        async for piece in _pieces(decompressor.close()):
            yield piece
    except ProtocolError as error:
        raise InvalidParameter(str(error)) from None


async def _pieces(iterator: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await in_thread(next, iterator, None)) is not None:
        yield piece


async def read_blob(fd: int, offset: int = 0) -> AsyncGenerator[bytes, None]:
    """The content of an open file from `offset` on; the file is closed at the end."""
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        while piece := await in_thread(os.read, fd, PIPE_SIZE):
            yield piece
    finally:
        os.close(fd)


def _enlarge(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except PermissionError:
        pass  # over the user's limit; the usual 64 KiB do as well


class PipeWriter:
    """The writing end of a pipe. After the reader has gone, what is written is dropped.

    A reader that is slow holds up the caller, but no thread: there are few of them.
    """

    def __init__(self) -> None:
        self.read_fd, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self.broken = False
        _enlarge(self._fd)

    async def write(self, data: bytes) -> None:
        await self.drain(await in_thread(self.push, [data]))

    async def pass_on(self, data: bytes) -> None:
        """As `write`, in the loop itself: what fits is copied at once, which is quicker than asking a thread."""
        rest = self.push([data])
        while rest:
            await self._writable()
            rest = self.push(rest)

    def push(self, pieces: Iterable[bytes | memoryview]) -> list[memoryview]:
        """Write as much as fits; what does not is returned."""
        rest = [memoryview(piece) for piece in pieces if piece]
        try:
            while rest and not self.broken:
                rest[0] = rest[0][os.write(self._fd, rest[0]) :]
                if not rest[0]:
                    del rest[0]
        except BlockingIOError:
            return rest
        except BrokenPipeError:
            self.broken = True
        return []

    async def drain(self, rest: list[memoryview]) -> None:
        """Write what `push` has left."""
        while rest:
            await self._writable()
            rest = await in_thread(self.push, rest)

    async def splice(self, fd: int, offset: int, size: int) -> int:
        """Some of `size` bytes of a file, by reference, without a copy. How many; 0 when the reader has gone."""
        while True:
            try:
                return await in_thread(self._splice, fd, offset, min(size, PIPE_SIZE))
            except BlockingIOError:
                await self._writable()
            except BrokenPipeError:
                self.broken = True
                return 0

    def _splice(self, fd: int, offset: int, size: int) -> int:
        return os.splice(fd, self._fd, size, offset_src=offset, flags=os.SPLICE_F_NONBLOCK)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._fd)

    @property
    def pending(self) -> int:
        """Bytes that are written and not yet read."""
        return int.from_bytes(fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)), sys.byteorder)

    def close_reader(self) -> None:
        """Ours of the reading end, once the worker has its own."""
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    def close(self) -> None:
        self.close_reader()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class PipeReader:
    """The reading end of a pipe that a worker fills through `write_fd`."""

    def __init__(self) -> None:
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        _enlarge(self._fd)

    async def pieces(self) -> AsyncIterator[bytes]:
        """What comes, until the last writer closes it. The worker waits while nobody asks."""
        while True:
            try:
                piece = os.read(self._fd, PIPE_SIZE)
            except BlockingIOError:
                await self._readable()
                continue
            if not piece:
                return
            yield piece

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)

    def close_writer(self) -> None:
        """Ours of the writing end, once the worker has its own."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        self.close_writer()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
