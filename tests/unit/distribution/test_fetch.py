"""A blob arrives whole or is resumed: cut, slow, lying, and dead registries."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.distribution import fetch as module
from sampan.distribution.client import READ_AHEAD, Client
from sampan.distribution.credentials import NOBODY
from sampan.distribution.failures import RegistryError, Unreachable
from sampan.distribution.fetch import Source, fetch
from sampan.distribution.options import Options
from sampan.distribution.progress import Message
from sampan.distribution.registries import Registries
from sampan.errors import SampanError
from sampan.spec.digest import digest_of
from sampan.spec.reference import Reference
from sampan.store.content import Blob, Content
from sampan.store.partial import Mismatch, Partial
from sampan.store.streams import PipeWriter
from tests.fakes.images import Document
from tests.fakes.registry import Registry, altered, answer, cut, held, redirected, streamed
from tests.unit.distribution.conftest import endpoint, options

DATA = os.urandom(3 << 20)
BLOB = Blob(digest_of(DATA), len(DATA))


class Fetching:
    """One fetch into a content store, with whatever comes out of the pipe."""

    def __init__(self, folder: Path, *registries: Registry, **more: Any) -> None:
        self.content = Content(str(folder))
        self.options: Options = options(**more)
        self.client = Client(self.options)
        self.registries = registries
        self.messages: list[Message] = []
        self.piped = b""

    async def run(self) -> Partial:
        partial = self.content.partial(BLOB)
        pipe = PipeWriter()
        reader = asyncio.create_task(self._read(os.dup(pipe.read_fd)))
        pipe.close_reader()
        known = Registries(self.client, Reference("reg.test", "x", "1"), NOBODY)
        source = Source(known, [endpoint(one) for one in self.registries])
        try:
            async for piece in partial.recover():
                await pipe.write(piece)
            await fetch(source, partial, pipe, self.options, self.messages.append, "abc")
        except BaseException:
            partial.close()
            raise
        finally:
            pipe.close()
            self.piped = await reader
            await self.client.close()
        return partial

    async def _read(self, fd: int) -> bytes:
        def everything() -> bytes:
            with open(fd, "rb") as file:
                return file.read()

        return await asyncio.to_thread(everything)

    async def good(self) -> None:
        """It arrives, in the file and through the pipe."""
        partial = await self.run()
        partial.verify()
        partial.close()
        assert Path(partial.path).read_bytes() == self.piped == DATA


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with Registry() as made:
        made.add("x", "1", Document(b"{}", "", {BLOB.digest: DATA}))
        yield made


async def test_a_blob_arrives(tmp_path: Path, registry: Registry) -> None:
    """Once, with progress from the beginning to the end."""
    fetching = Fetching(tmp_path, registry)
    await fetching.good()
    assert registry.served[BLOB.digest] == len(DATA)
    shown = [message["progressDetail"]["current"] for message in fetching.messages]
    assert shown == sorted(set(shown))
    assert shown[-1] == len(DATA)
    assert {message["status"] for message in fetching.messages} == {"Downloading"}


@pytest.mark.parametrize("after", [0, 1, 300_000, len(DATA) - 1])
async def test_a_cut_connection_is_resumed(tmp_path: Path, registry: Registry, after: int) -> None:
    """From where it was cut, but for what had not been read yet."""
    registry.fault("GET", "blobs", cut(after), times=1)
    await Fetching(tmp_path, registry).good()
    second = registry.requests("GET", "blobs")[1]
    start = int(second.range.removeprefix("bytes=").removesuffix("-") or 0)
    assert max(0, after - 2 * READ_AHEAD) <= start <= after


async def test_many_cuts_are_no_failure_while_there_is_progress(
    tmp_path: Path, registry: Registry
) -> None:
    """The count begins anew with it."""
    registry.fault("GET", "blobs", cut(10), times=3)
    registry.fault("GET", "blobs", cut(1 << 20), times=1)
    registry.fault("GET", "blobs", cut(10), times=3)
    await Fetching(tmp_path, registry).good()


async def test_cuts_without_progress_are_a_failure(tmp_path: Path, registry: Registry) -> None:
    """After five tries; what has arrived stays."""
    registry.fault("GET", "blobs", cut(10))
    fetching = Fetching(tmp_path, registry)
    with pytest.raises(Unreachable, match="unexpected EOF"):
        await fetching.run()
    assert len(registry.requests("GET", "blobs")) == 5
    partial = fetching.content.partial(BLOB)
    assert partial.size <= 50
    partial.close()


async def test_a_registry_without_ranges_sends_it_all_again(
    tmp_path: Path, registry: Registry
) -> None:
    """And the beginning is passed over."""
    registry.fault("GET", "blobs", cut(100_000), times=1)
    registry.fault("GET", "blobs", answer(200, DATA))
    await Fetching(tmp_path, registry).good()


async def test_the_rest_of_what_is_here_is_fetched(tmp_path: Path, registry: Registry) -> None:
    """After a daemon's death: the file is hashed, the pipe gets everything, the registry sends the rest."""
    Path(Content(str(tmp_path)).partial(BLOB).path).write_bytes(DATA[:1_234_567])
    await Fetching(tmp_path, registry).good()
    assert registry.requests("GET", "blobs")[0].range == "bytes=1234567-"
    assert registry.served[BLOB.digest] == len(DATA) - 1_234_567


async def test_busy_registries_are_waited_for(tmp_path: Path, registry: Registry) -> None:
    """429 with Retry-After, 500, 503; the user sees that it takes longer."""
    registry.fault("GET", "blobs", answer(429, Retry_After="1"), times=1)
    registry.fault("GET", "blobs", answer(500), times=1)
    fetching = Fetching(tmp_path, registry, retry_after=5)
    await fetching.good()
    retrying = [m["status"] for m in fetching.messages if m["status"].startswith("Retrying")]
    assert retrying in (["Retrying in 1 second"], ["Retrying in 2 seconds"])


async def test_the_next_host_is_asked_for_the_rest(tmp_path: Path, registry: Registry) -> None:
    """A mirror that loses its blob in the middle; and one that is not there at all."""
    async with Registry() as mirror:
        mirror.add("x", "1", Document(b"{}", "", {BLOB.digest: DATA}))
        mirror.fault("GET", "blobs", cut(900_000), times=1)
        mirror.fault("GET", "blobs", answer(404))
        await Fetching(tmp_path / "1", mirror, registry).good()
        (seen,) = registry.requests("GET", "blobs")
        assert 0 < int(seen.range.removeprefix("bytes=").removesuffix("-")) <= 900_000
    await Fetching(tmp_path / "2", mirror, registry).good()


async def test_no_host_has_it(tmp_path: Path, registry: Registry) -> None:
    """The last one's error is told."""
    registry.blobs.clear()
    with pytest.raises(RegistryError, match="blob unknown to registry"):
        await Fetching(tmp_path, registry).run()


async def test_an_endless_body_is_cut_off(tmp_path: Path, registry: Registry) -> None:
    """At the first byte too many; nothing of it stays."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield os.urandom(1 << 18)

    registry.fault("GET", "blobs", streamed(endless))
    fetching = Fetching(tmp_path, registry)
    with pytest.raises(Mismatch, match=f"verification failed for digest {BLOB.digest}"):
        await fetching.run()
    assert os.listdir(tmp_path / "ingest") == []


async def test_a_wrong_length_is_refused_at_once(tmp_path: Path, registry: Registry) -> None:
    """100 GiB where the manifest says three megabytes."""
    registry.fault("GET", "blobs", altered(lambda data: data + b"x"))
    with pytest.raises(RegistryError, match="bytes where the manifest says"):
        await Fetching(tmp_path, registry).run()
    assert len(registry.requests("GET", "blobs")) == 1


async def test_a_drip_is_silence(tmp_path: Path, registry: Registry) -> None:
    """A byte now and then keeps nobody for ever."""

    async def drip() -> AsyncIterator[bytes]:
        for byte in DATA:
            yield bytes([byte])
            await asyncio.sleep(0.005)

    registry.fault("GET", "blobs", streamed(drip))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="unexpected EOF after"):
        await Fetching(tmp_path, registry, drip_window=0.1, drip_bytes=1000, attempts=2).run()
    assert time.monotonic() - began < 5


async def test_credentials_do_not_follow_to_storage(tmp_path: Path, registry: Registry) -> None:
    """The usual redirect to a blob store, with Range and without a password."""
    async with Registry() as storage:
        storage.add("x", "1", Document(b"{}", "", {BLOB.digest: DATA}))
        registry.fault("GET", "blobs", redirected(storage.origin))
        Path(Content(str(tmp_path)).partial(BLOB).path).write_bytes(DATA[:1000])
        await Fetching(tmp_path, registry).good()
        (seen,) = storage.requests("GET", "blobs")
        assert (seen.authorization, seen.range) == ("", "bytes=1000-")


async def test_a_cancelled_fetch_keeps_what_has_come(tmp_path: Path, registry: Registry) -> None:
    """Every byte that arrived before Ctrl-C."""
    go_on, reached = asyncio.Event(), asyncio.Event()
    registry.fault("GET", "blobs", held(go_on, reached, before=700_000), times=1)
    fetching = Fetching(tmp_path, registry)
    task = asyncio.create_task(fetching.run())
    await reached.wait()
    path = Path(Content(str(tmp_path)).partial(BLOB).path)
    while path.stat().st_size < 600_000:  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert path.read_bytes() == DATA[: path.stat().st_size]
    await Fetching(tmp_path, registry).good()


async def test_a_blob_that_has_no_room_is_not_begun(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest may say 100 GiB."""
    monkeypatch.setattr(module, "FREE_RESERVE", 1 << 60)
    with pytest.raises(SampanError, match="no space left on device"):
        await Fetching(tmp_path, registry).run()
    assert registry.requests("GET", "blobs") == []
