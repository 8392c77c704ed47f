"""What nothing refers to goes; what an image, a container or a lease refers to stays."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from sampan.spec.digest import digest_of
from sampan.store.store import Store, open_store
from tests.fakes.spawn import ForkingSpawner
from tests.stores import add_image, add_layer


async def test_leases_keep_what_is_in_flight(store: Store) -> None:
    """A blob and a stack of layers that no image has yet."""
    with store.leases.open() as lease:
        blob = await store.content.put(b"blob", lease)
        lower = add_layer(store, digest_of(b"lower"))
        upper = add_layer(store, digest_of(b"upper"), lower)
        lease.hold("layer", upper)
        assert store.collect() == (0, [], 0)
    collected = store.collect()
    assert (collected.blobs, collected.reclaimed) == (1, blob.size)
    assert collected.layers == [upper, lower]
    assert not store.content.has(blob.digest)
    await store.trash.empty()
    assert os.listdir(os.path.join(store.data_root, "snapshots")) == []
    assert os.listdir(os.path.join(store.data_root, "trash")) == []


@pytest.mark.parametrize("fails", [True, False])
async def test_what_a_failure_held_goes_with_it(store: Store, fails: bool) -> None:
    """A blob and a folder that got no row are gone at once; else they wait for a collection. Others' leases count."""
    stray = Path(store.data_root, "snapshots", "a" * 64)
    with store.leases.open() as other:
        kept = await store.content.put(b"other's", other)
        with suppress(OSError), store.leases.open() as lease:
            blob = await store.content.put(b"blob", lease)
            stray.mkdir()
            if fails:
                raise OSError
        assert store.content.has(blob.digest) is not fails
        assert stray.exists() is not fails
        assert store.content.has(kept.digest)


async def test_what_was_made_for_a_lease_alone_goes_with_it(store: Store) -> None:
    """Also when all went well."""
    with store.leases.open() as lease:
        blob = await store.content.put(b"blob", lease)
        lease.hold_passing("blob", blob.digest)
    assert not store.content.has(blob.digest)


async def test_start_sweeps_what_a_dead_daemon_left(
    tmp_path: Path, spawner: ForkingSpawner
) -> None:
    """Ingests, stages, folders without rows, trash; rows without folders are forgotten, others stay."""
    root = tmp_path / "data"
    store = open_store(str(root), spawner)
    image = await add_image(store, "x", diffs=["a", "b"])
    lost = await add_image(store, "lost", diffs=["a", "c"])
    store.snapshots.prepare("container", image.top)
    store.snapshots.prepare("gone", image.top)
    volume = store.volumes.create("vol")
    store.metadata.close()
    (root / "content" / "ingest" / "half").write_bytes(b"half")
    (root / "snapshots" / "new-abc" / "fs").mkdir(parents=True)
    (root / "snapshots" / ("e" * 64) / "fs").mkdir(parents=True)
    (root / "trash" / "old" / "deep").mkdir(parents=True)
    (root / "volumes" / "stray" / "_data").mkdir(parents=True)
    for name in ("gone", lost.chain[1][7:]):
        (root / "snapshots" / name).rename(tmp_path / name)

    store = open_store(str(root), spawner)
    store.metadata.values.put("builtin.hello-world", b"1")
    await store.start()
    await store.trash.empty()
    assert [found.repo_tags for found in store.images.list()] == [["x:latest"]]
    assert store.snapshots.keys() == ["container"]
    assert len(store.snapshots.mounts("container")) == 1
    assert store.volumes.list() == [volume]
    assert os.listdir(root / "volumes") == ["vol"]
    assert os.listdir(root / "content" / "ingest") == os.listdir(root / "trash") == []
    expected = {"container", *(chain[7:] for chain in image.chain)}
    assert set(os.listdir(root / "snapshots")) == expected
    await store.close()


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated"])
async def test_an_image_whose_config_is_damaged_is_given_up(
    tmp_path: Path, spawner: ForkingSpawner, damage: str
) -> None:
    """The daemon starts, says so, and lists the rest."""
    store = open_store(str(tmp_path / "data"), spawner)
    store.metadata.values.put("builtin.hello-world", b"1")
    kept = await add_image(store, "kept")
    bad = await add_image(store, "bad", diffs=["b"])
    path = store.content.path(bad.id)
    os.chmod(path, 0o600)
    if damage == "missing":
        os.unlink(path)
    else:
        with open(path, "r+b") as file:
            file.truncate(10) if damage == "truncated" else file.write(b"X")
    await store.close()
    store = open_store(str(tmp_path / "data"), spawner)
    await store.start()
    assert [image.id for image in store.images.list()] == [kept.id]
    assert not store.content.has(bad.id)
    await store.close()


async def test_modes_keep_everybody_else_out(store: Store) -> None:
    """setuid programs of layers are out of reach of the host's users (CVE-2021-41091)."""
    modes = {".": 0o710, "content": 0o700, "snapshots": 0o700, "volumes": 0o700, "trash": 0o700}
    for name, mode in modes.items():
        found = os.stat(os.path.join(store.data_root, name)).st_mode & 0o777
        assert found == mode, name
