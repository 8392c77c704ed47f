"""A blob is whole and verified, or it is not there."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.errors import InvalidParameter, NotFound, SampanError, TooLarge
from sampan.spec.digest import digest_of
from sampan.store import content as module
from sampan.store.content import Blob, Content
from sampan.store.leases import Lease, Leases
from tests.stores import stream

DATA = bytes(range(256)) * 9000
DIGEST = digest_of(DATA)
OTHER = digest_of(b"other")


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content(str(tmp_path / "content"))


@pytest.fixture
def lease() -> Lease:
    return Leases().open()


async def test_a_stream_becomes_a_read_only_blob(content: Content, lease: Lease) -> None:
    """Digest, size, mode, content; and the lease holds it from then on."""
    blob = await content.ingest(stream(DATA, 1000), lease, expected=DIGEST, size=len(DATA))
    assert blob == Blob(DIGEST, len(DATA))
    assert ("blob", DIGEST) in lease.items
    assert content.has(DIGEST)
    assert content.size(DIGEST) == len(DATA)
    assert content.digests() == [DIGEST]
    assert stat.S_IMODE(os.stat(content.path(DIGEST)).st_mode) == 0o444
    with open(content.open(DIGEST), "rb") as file:
        assert file.read() == DATA
    assert content.read(DIGEST) == DATA
    assert content.ingest_paths() == []


async def test_a_stream_that_is_something_else_leaves_nothing(
    content: Content, lease: Lease
) -> None:
    """Wrong digest, too short, too long, broken off: an error, and no file anywhere."""
    with pytest.raises(InvalidParameter, match="unexpected digest"):
        await content.ingest(stream(DATA), lease, expected=OTHER)
    for size in (len(DATA) - 1, len(DATA) + 1):
        with pytest.raises(InvalidParameter, match="unexpected size"):
            await content.ingest(stream(DATA), lease, size=size)

    async def broken() -> AsyncIterator[bytes]:
        yield DATA
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await content.ingest(broken(), lease)
    assert content.digests() == content.ingest_paths() == []


async def test_an_endless_stream_stops_at_its_size(content: Content, lease: Lease) -> None:
    """More than the descriptor says is not read to its end."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield DATA

    with pytest.raises(InvalidParameter, match="unexpected size"):
        await content.ingest(endless(), lease, size=10)


async def test_a_cancelled_ingest_waits_for_its_thread(
    content: Content, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the thread would write into a descriptor that is somebody else's by then."""
    writing, go_on = asyncio.Event(), __import__("threading").Event()
    loop = asyncio.get_running_loop()
    original = module.Ingest._write_pieces
    finished = []

    def slow(self: module.Ingest, pieces: list[bytes]) -> None:
        loop.call_soon_threadsafe(writing.set)
        go_on.wait(10)
        original(self, pieces)
        finished.append(True)

    monkeypatch.setattr(module.Ingest, "_write_pieces", slow)
    task = asyncio.create_task(content.ingest(stream(DATA), lease))
    await writing.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished == [True]
    assert content.ingest_paths() == []


async def test_a_truncated_blob_is_healed_by_the_next_write(content: Content, lease: Lease) -> None:
    """A file of the wrong size does not count as being there."""
    await content.put(DATA, lease)
    os.chmod(content.path(DIGEST), 0o600)
    os.truncate(content.path(DIGEST), 3)
    with pytest.raises(SampanError, match="damaged"):
        content.read(DIGEST)
    await content.put(DATA, lease)
    assert content.read(DIGEST) == DATA


async def test_writing_what_is_there_changes_nothing(content: Content, lease: Lease) -> None:
    """The first file stays, the second is dropped."""
    await content.put(DATA, lease)
    before = os.stat(content.path(DIGEST)).st_ino
    await content.put(DATA, lease)
    await content.ingest(stream(DATA), lease)
    assert os.stat(content.path(DIGEST)).st_ino == before
    assert content.ingest_paths() == []


async def test_reading_what_is_not_there_or_too_large(content: Content, lease: Lease) -> None:
    """NotFound and TooLarge, never a stray OSError."""
    for method in (content.open, content.size, content.read):
        with pytest.raises(NotFound, match="not found"):
            method(OTHER)
    await content.put(DATA, lease)
    with pytest.raises(TooLarge):
        content.read(DIGEST, limit=100)


async def test_a_full_disk_leaves_nothing(
    content: Content, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC while writing, EIO while syncing: the error goes up, the file goes away."""
    for name, function in (("write", os.write), ("fsync", os.fsync)):

        def fail(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, name, fail)
        with pytest.raises(OSError, match="No space left"):
            await content.ingest(stream(DATA), lease)
        monkeypatch.setattr(os, name, function)
        assert content.digests() == content.ingest_paths() == []
