"""A disk that fills up at any point of a load, an import, a commit or a push: an error that says so, and nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from sampan.errors import SampanError
from sampan.store import unpack
from sampan.store.disk import disk_told
from sampan.store.store import Store, open_store
from tests.archives import archive, directory, file
from tests.fakes.dying import commit_box, push
from tests.fakes.registry import Registry
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_load import NOTHING, docker_archive, leftovers
from tests.stores import stream

SIZE = 4 << 20
LARGE = archive(directory("large"), *(file(f"large/{n}", os.urandom(100_000)) for n in range(10)))


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of SIZE bytes."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    subprocess.run(command, check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
async def store(
    small: Path, spawner: ForkingSpawner, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    monkeypatch.setattr(unpack, "FREE_RESERVE", 4096)
    store = open_store(str(small / "data"), spawner)
    await store.start()
    yield store
    await store.close()


def fill(small: Path, left: int) -> Path:
    """Leave `left` bytes free."""
    ballast = small / "ballast"
    space = os.statvfs(small)
    with open(ballast, "wb") as out:
        out.write(bytes(max(space.f_bavail * space.f_frsize - left, 0)))
    return ballast


async def failure_of(act: Callable[[], Awaitable[None]]) -> SampanError | None:
    try:
        await act()
    except SampanError as error:
        return error
    return None


@pytest.mark.parametrize("action", ["load", "import", "commit"])
async def test_a_full_disk(store: Store, small: Path, action: str) -> None:
    """From no room at all to room for nearly everything; with room it succeeds, and the store is in order all along."""
    old = await store.import_rootfs(stream(archive(file("old", b"1"))), reference="old:1")
    store.snapshots.prepare("box", old.top)
    Path(store.snapshots.upper_path("box"), "new").write_bytes(os.urandom(300_000))
    await store.trash.empty()

    async def act() -> None:
        with disk_told():
            if action == "load":
                await store.load(stream(docker_archive(["new:1"], LARGE)), lambda message: None)
            elif action == "import":
                await store.import_rootfs(stream(LARGE), reference="new:1")
            else:
                await commit_box(store, "new:1", copy=True)

    failures = 0
    for left in (0, 20_000, 120_000, 250_000, 900_000, 1_300_000):
        ballast = fill(small, left)
        failure = await failure_of(act)
        if failure is not None:
            failures += 1
            assert "no space left on device" in str(failure).lower(), failure
            assert store.metadata.texts("SELECT name FROM names WHERE name LIKE '%new:1'") == []
        ballast.unlink()
        await store.trash.empty()
        assert leftovers(store) == NOTHING
        assert (await store.check()).problems == []
    assert failures >= 2
    await act()
    assert store.images.resolve("new:1").chain
    assert (await store.check()).problems == []


async def test_others_keep_some_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that would take the last of the disk is given up before it has, and gone."""
    from sampan.store import content

    monkeypatch.setattr(content, "LOOK_STEP", 1 << 16)
    with pytest.raises(OSError, match="No space left") as caught:
        await store.load(stream(docker_archive(["new:1"], LARGE)), lambda message: None)
    assert caught.value.errno == errno.ENOSPC
    assert leftovers(store) == NOTHING


@pytest.mark.parametrize("left", [0, 4096, 65536])
async def test_a_push_on_a_full_disk(store: Store, small: Path, left: int) -> None:
    """It needs no room for what it compresses; if its row cannot be written it says why, and leaves nothing."""
    async with Registry() as registry:
        name = f"{registry.authority}/made:1"
        await store.import_rootfs(stream(LARGE), reference=name)
        ballast = fill(small, left)
        failure = await failure_of(lambda: push(store, name))
        ballast.unlink()
        assert failure is None or "no space left" in str(failure).lower()
        assert leftovers(store) == NOTHING
        await push(store, name)
        assert (await store.check()).problems == []
        assert registry.requests("PUT", "/v2/made/manifests/1")
