"""No room for one change of the disk or the database, whichever: an error that says so, and a store in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sampan.distribution.credentials import NOBODY
from sampan.distribution.distribution import Distribution
from sampan.spec.digest import Digest
from sampan.spec.reference import parse
from sampan.store.disk import disk_told
from sampan.store.store import Store, open_store
from tests.archives import archive, directory, file
from tests.fakes.dying import act, commit_box
from tests.fakes.full_disk import full_at
from tests.fakes.registry import Registry
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_full_disk import failure_of
from tests.kernel.test_load import LOWER, NOTHING, UPPER, docker_archive, leftovers
from tests.stores import stream
from tests.unit.distribution.conftest import options

OLD = archive(directory("old"), file("old/file", b"x" * 1000))


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


ACTIONS = ("load", "import", "commit", "commit-copy", "unshare", "tag", "rmi", "push")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("action", ACTIONS)
async def test_no_room_for_any_one_change(
    tmp_path: Path, spawner: ForkingSpawner, action: str
) -> None:
    """The command says so or has succeeded; the store is in order, nothing is lost, and it succeeds the next time."""
    source = tmp_path / "source"
    source.write_bytes(docker_archive(["new:1"], LOWER, UPPER) if action == "load" else LOWER)
    store = open_store(str(tmp_path / "data"), spawner)
    await store.start()
    old = await store.import_rootfs(stream(OLD), reference="old:1")
    async with Registry() as registry:
        at, failures, silent = 1, 0, 0
        while True:
            name = f"{registry.authority}/pushed:{at}"
            await set_up(store, action, old.top, name)
            with full_at(at) as disk:
                failure = await failure_of(partial(told, store, action, str(source), name))
            if not disk.failed:
                assert failure is None
                break
            if failure is not None:
                failures += 1
                assert "no space left on device" in str(failure).lower(), (disk.failed, failure)
            else:
                silent += 1
            if action == "rmi":
                store.collect()  # the image was gone by then
            await tidy(store, f"{at}: {disk.failed}")
            if action in ("commit", "commit-copy", "unshare"):
                written = Path(store.snapshots.upper_path("box"), "mine").read_bytes()
                assert written == b"precious", disk.failed
            await told(store, action, str(source), name)
            await tidy(store, "at last")
            await clear(store)
            at += 1 if at < 10 else 2
    assert failures > silent
    await store.close()


async def set_up(store: Store, action: str, top: Digest, name: str) -> None:
    if action in ("commit", "commit-copy", "unshare", "push"):
        store.snapshots.prepare("box", top)
        Path(store.snapshots.upper_path("box"), "mine").write_bytes(b"precious")
    if action == "unshare":
        await commit_box(store, "shared:1", copy=False)
    if action == "push":
        await commit_box(store, name, copy=False)
    if action == "rmi":
        await store.import_rootfs(stream(UPPER), reference="gone:1")


async def told(store: Store, action: str, source: str, name: str) -> None:
    with disk_told():
        if action == "tag":
            store.images.tag(store.images.resolve("old:1").id, parse("new:1"))
        elif action == "rmi":
            if any("gone:1" in image.repo_tags for image in store.images.list()):
                store.remove_image("gone:1", uses={})
            await store.trash.empty()
        elif action == "push":
            distribution = Distribution(store, options())
            try:
                await distribution.push(parse(name), NOBODY, lambda message: None)
            finally:
                await distribution.close()
        else:
            await act(store, action, source)


async def tidy(store: Store, failed: str) -> None:
    await store.trash.empty()
    assert leftovers(store) == NOTHING, failed
    assert (await store.check()).problems == [], failed
    assert store.images.resolve("old:1").chain


async def clear(store: Store) -> None:
    keys = store.snapshots.keys()
    for key in keys:
        store.snapshots.remove(key)
    for image in store.images.list():
        if "old:1" in image.repo_tags:
            for other in set(image.repo_tags) - {"old:1"}:
                store.remove_image(other, uses={})
        else:
            store.remove_image(image.id, uses={}, force=True)
    await tidy(store, "")
