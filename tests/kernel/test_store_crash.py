"""kill -9 at any change on disk: after the next start everything is whole or gone, and the work can be done again.

The daemon's process kills itself at its N-th call that changes the disk or the database, for every N until
the work gets through; its workers are left behind as they would be. Then a new daemon starts on the same folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.store.store import Store, open_store
from tests.archives import archive, directory, file
from tests.fakes.dying import commit_box
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_load import LOWER, NOTHING, UPPER, docker_archive, leftovers
from tests.stores import stream

PROJECT = Path(__file__).parents[2]
OLD = archive(directory("old"), file("old/file", b"x" * 1000))


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


def die(root: Path, action: str, at: int, source: Path) -> bool:
    """Whether it died; False when it got through."""
    command = [sys.executable, "-m", "tests.fakes.dying", str(root), action, str(at), str(source)]
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


async def restart(root: Path, spawner: ForkingSpawner) -> Store:
    store = open_store(str(root), spawner)
    await store.start()
    await store.trash.empty()
    return store


def check(store: Store, *, parts: bool = False) -> None:
    """Nothing but what rows name, and every image can be read and mounted. `parts` of blobs may be there."""
    left = leftovers(store)
    if parts:
        left["ingests"] = [name for name in left["ingests"] if not name.endswith(".part")]
    assert left == NOTHING
    assert os.listdir(os.path.join(store.data_root, "trash")) == []
    for image in store.images.list():
        assert len(store.snapshots.layer_paths(image.top)) == len(image.chain)
        for folder in store.snapshots.layer_paths(image.top):
            assert os.listdir(folder)
        assert image.manifest is None or store.content.read(image.manifest)
    assert store.metadata.texts("PRAGMA integrity_check") == ["ok"]
    names = {volume.name for volume in store.volumes.list()}
    assert set(os.listdir(os.path.join(store.data_root, "volumes"))) == names


@pytest.mark.parametrize("action", ["commit", "commit-copy", "unshare"])
@pytest.mark.timeout(300)
async def test_every_point_of_death_around_a_commit(
    tmp_path: Path, spawner: ForkingSpawner, action: str
) -> None:
    """What the container wrote is never lost, the image is whole or not there, and the next commit succeeds."""
    root = tmp_path / "data"
    store = await restart(root, spawner)
    old = await store.import_rootfs(stream(OLD), reference="old:1")
    store.snapshots.prepare("box", old.top)
    wrote = Path(store.snapshots.upper_path("box"))
    (wrote / "mine").write_bytes(b"precious" * 1000)
    if action == "unshare":
        await commit_box(store, "new:1", copy=False)
    await store.close()
    deaths, at = 0, 1
    while await asyncio.to_thread(die, root, action, at, tmp_path):
        deaths += 1
        store = await restart(root, spawner)
        check(store)
        assert (await store.check()).problems == []
        found = Path(store.snapshots.upper_path("box"), "mine").read_bytes()
        assert found == b"precious" * 1000
        made = await commit_box(store, "again:1", copy=False)
        assert len(made.chain) == 2
        if action != "unshare":
            await store.snapshots.unshare("box")
            for image in store.images.list():
                if "old:1" not in image.repo_tags:
                    store.remove_image(image.id, uses={}, force=True)
        await store.close()
        at += 1 if at < 8 else 4
    assert deaths >= 5


@pytest.mark.parametrize("action", ["load", "import", "rmi", "prune", "tag", "volume", "snapshot"])
@pytest.mark.timeout(300)
async def test_every_point_of_death(tmp_path: Path, spawner: ForkingSpawner, action: str) -> None:
    """The old image stays what it was unless it was being removed; a repetition succeeds."""
    source = tmp_path / "source"
    source.write_bytes(docker_archive(["new:1"], LOWER, UPPER) if action == "load" else LOWER)
    root = tmp_path / "data"
    store = await restart(root, spawner)
    old = await store.import_rootfs(stream(OLD), reference="old:1")
    if action == "prune":
        await store.load(stream(docker_archive(["two:1"], LOWER, UPPER)), lambda message: None)
    await store.close()
    deaths = dirty = 0
    at = 1
    while await asyncio.to_thread(die, root, action, at, source):
        deaths += 1
        store = open_store(str(root), spawner)
        dirty += leftovers(store) != NOTHING or bool(os.listdir(root / "trash"))
        await store.close()
        store = await restart(root, spawner)
        check(store)
        tags = [image.repo_tags for image in store.images.list() if image.names]
        if action in ("rmi", "prune") and ["old:1"] not in tags:
            again = await store.import_rootfs(stream(OLD), reference="old:1")
            assert again.chain == old.chain
        else:
            assert store.images.resolve("old:1").id != ""
        if ["new:1"] in tags:
            store.remove_image("new:1", uses={})
        if action == "prune":
            await store.load(stream(docker_archive(["two:1"], LOWER, UPPER)), lambda message: None)
        if store.volumes.find("vol"):
            await store.volumes.remove("vol")
        keys = store.snapshots.keys()
        for key in keys:
            store.snapshots.remove(key)
        await store.close()
        at += 1 if at < 12 else 3
    assert deaths >= (2 if action == "tag" else 5)
    assert dirty or action in ("tag", "volume"), (
        "no death left anything, so the sweep was not tested"
    )
    store = await restart(root, spawner)
    check(store)
    assert (await store.check()).problems == []
    await store.close()
