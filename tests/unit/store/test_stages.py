"""Layers of an archive that is loaded: what turns out not to be wanted does not wait on the disk for the rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from sampan.spec.digest import digest_of
from sampan.store.archive import read_archive
from sampan.store.stages import Place, Stages
from sampan.store.store import Store
from tests.archives import archive, file

LARGE = archive(file("large", bytes(100_000)))
DIFF = digest_of(LARGE)


def staged(store: Store) -> list[str]:
    folder = Path(store.data_root, "snapshots")
    return [name for name in os.listdir(folder) if name.startswith("new-")]


async def until_staged(store: Store) -> None:
    for _ in range(5000):
        if staged(store):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("no stage was begun")


async def test_what_nobody_wants_goes_at_once(store: Store) -> None:
    """While what is wanted is still to be unpacked; and nothing is left at the end."""
    async with Stages(store.content, store.snapshots, store.unpacker) as stages:
        with store.leases.open() as lease:
            wanted, other = (store.content.writer(lease) for _ in range(2))
            for name, ingest in (("a", wanted), ("b", other)):
                stages.begin(name, ingest)
                await ingest.write(LARGE)
            await wanted.finish()
            stages.want(wanted, Place(DIFF, DIFF, None))
            await until_staged(store)
            await stages.drop_rest()
            assert len(staged(store)) <= 1
            await stages.obtain(Place(DIFF, DIFF, None), print)
            assert len(staged(store)) == 1
            wanted.abort()
            other.abort()
    assert staged(store) == []


async def test_files_of_one_name_are_staged_once(store: Store) -> None:
    """Else the disk alone would be a bound to them."""
    entries = [file("same", LARGE) for _ in range(8)]
    most = 0

    async def slowly() -> AsyncIterator[bytes]:
        nonlocal most
        for entry in entries:
            yield archive(entry)[:-1024]
            await until_staged(store)
            await asyncio.sleep(0.02)
            most = max(most, len(staged(store)))
        yield bytes(1024)

    async with Stages(store.content, store.snapshots, store.unpacker) as stages:
        with store.leases.open() as lease:
            async with read_archive(
                store.content, slowly(), lease, stages.begin, stages.drop
            ) as found:
                assert found.blob("same").digest == DIFF
    assert most == 1
    assert staged(store) == []
