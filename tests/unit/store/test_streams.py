"""Streams on their way: gathered, sniffed, decompressed, and sent down a pipe that may break."""

from __future__ import annotations

import asyncio
import gzip
import os

import pytest

from sampan.errors import InvalidParameter
from sampan.store.streams import PipeWriter, decompressed, gather, read_blob, sniff
from sampan.store.threads import in_thread
from tests.stores import stream

DATA = os.urandom(100_000)


async def test_gather() -> None:
    """Pieces of at least the size, nothing lost, nothing empty."""
    pieces = [piece async for piece in gather(stream(DATA, 7), 1000)]
    assert b"".join(pieces) == DATA
    assert all(len(piece) >= 1000 for piece in pieces[:-1])
    assert [piece async for piece in gather(stream(b""))] == []


async def test_sniff_takes_nothing_away() -> None:
    """The compression, and the stream from its beginning."""
    for data, expected in ((gzip.compress(DATA), "gzip"), (DATA[:3], ""), (b"", "")):
        compression, rest = await sniff(stream(data, 1))
        assert compression == expected
        assert b"".join([chunk async for chunk in rest]) == data


async def test_decompressed() -> None:
    """Plain bytes; a broken stream is the caller's fault."""
    packed = gzip.compress(DATA)
    assert b"".join([piece async for piece in decompressed(stream(packed, 100))]) == DATA
    with pytest.raises(InvalidParameter, match="unexpected EOF"):
        async for _ in decompressed(stream(packed[:-1])):
            pass


async def test_a_pipe_whose_reader_is_gone_swallows() -> None:
    """The writer is told by `broken`, not by an exception: the worker's own answer says why."""
    pipe = PipeWriter()
    await pipe.write(b"abc")
    assert os.read(pipe.read_fd, 10) == b"abc"
    pipe.close_reader()
    await pipe.write(DATA)
    assert pipe.broken
    await pipe.write(DATA)
    pipe.close()
    pipe.close()


async def test_read_blob_closes_its_descriptor() -> None:
    """At the end, and when nobody wants the rest."""
    for take_all in (True, False):
        fd = os.open("/dev/zero" if not take_all else "/dev/null", os.O_RDONLY)
        pieces = read_blob(fd)
        async for _ in pieces:
            break
        await pieces.aclose()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


async def test_in_thread_passes_results_and_errors() -> None:
    """Like a plain call."""
    assert await in_thread(sum, [1, 2]) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
