"""Blobs that arrive: nothing that has come is lost, nothing wrong is kept, what nobody resumes is swept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sampan.spec.digest import digest_of
from sampan.store.content import Blob
from sampan.store.garbage import PARTIAL_AGE
from sampan.store.partial import Mismatch
from sampan.store.store import Store
from sampan.store.streams import PipeWriter

DATA = b"0123456789" * 1000
BLOB = Blob(digest_of(DATA), len(DATA))


def parts(store: Store) -> list[str]:
    return os.listdir(Path(store.data_root) / "content" / "ingest")


async def test_it_is_resumed(store: Store) -> None:
    """The next one begins where the last one ended, and hashes what is there."""
    first = store.content.partial(BLOB)
    await first.write([DATA[:10], DATA[10:4000]])
    first.close()
    second = store.content.partial(BLOB)
    assert (second.size, second.whole) == (4000, False)
    assert b"".join([piece async for piece in second.recover()]) == DATA[:4000]
    await second.write([DATA[4000:]])
    second.verify()
    assert second.whole
    second.close()


@pytest.mark.parametrize("data", [DATA[:-1] + b"!", DATA[:-1]])
async def test_what_is_wrong_goes(store: Store, data: bytes) -> None:
    """Other bytes, or too few."""
    partial = store.content.partial(BLOB)
    await partial.write([data])
    with pytest.raises(Mismatch, match=f"verification failed for digest {BLOB.digest}"):
        partial.verify()
    assert parts(store) == []
    partial.close()


async def test_what_is_longer_than_the_blob_is_begun_anew(store: Store) -> None:
    """A file of another life."""
    partial = store.content.partial(Blob(BLOB.digest, 10))
    await partial.write([DATA[:10]])
    partial.close()
    assert store.content.partial(Blob(BLOB.digest, 5)).size == 0


async def test_the_pipe_gets_the_same_bytes(store: Store) -> None:
    """And whoever reads from it may be slow, or gone."""
    partial, pipe = store.content.partial(BLOB), PipeWriter()
    await partial.write([DATA], pipe)
    assert os.read(pipe.read_fd, 1 << 16) == DATA
    pipe.close_reader()
    await partial.write([b"more"], pipe)
    assert pipe.broken
    pipe.close()
    partial.drop()
    assert parts(store) == []


async def test_the_age_of_parts(store: Store) -> None:
    """A restart keeps them; a day without a byte is their end."""
    partial = store.content.partial(BLOB)
    await partial.write([DATA[:100]])
    partial.close()
    await store.start()
    (name,) = parts(store)
    path = Path(store.data_root) / "content" / "ingest" / name
    then = time.time() - PARTIAL_AGE + 60
    os.utime(path, (then, then))
    store.collect()
    assert parts(store) == [name]
    os.utime(path, (then - 120, then - 120))
    store.collect()
    assert parts(store) == []
