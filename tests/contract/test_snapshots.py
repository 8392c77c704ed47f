"""The contract of snapshots, as `store/snapshots.py` has it in prose, for every implementation."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.spec.digest import digest_of
from sampan.spec.mount import Mount
from sampan.store.marks import ENVIRONMENT
from sampan.store.snapshots import Snapshots
from sampan.store.store import Store, open_store
from tests.fakes.spawn import ForkingSpawner
from tests.stores import add_layer

A, B, C = (digest_of(word) for word in (b"a", b"b", b"c"))


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture(params=["overlay"])
async def store(tmp_path: Path, spawner: ForkingSpawner) -> AsyncIterator[Store]:
    """The store that owns the implementation under test."""
    store = open_store(str(tmp_path / "data"), spawner)
    yield store
    await store.close()


@pytest.fixture
def snapshots(store: Store) -> Snapshots:
    return store.snapshots


def lowers(mount: Mount) -> list[str]:
    """The lower folders of an overlay, topmost first."""
    return [option[9:] for option in mount.options if option.startswith("lowerdir=")]


def option(mount: Mount, name: str) -> str:
    return next(text.partition("=")[2] for text in mount.options if text.startswith(f"{name}="))


def test_a_stage_becomes_a_layer_or_nothing(store: Store, snapshots: Snapshots) -> None:
    """Committed, it is found under its ChainID; discarded, it never was."""
    stage = snapshots.stage()
    Path(stage, "fs", "file").write_text("x")
    assert not snapshots.has_layer(A)
    snapshots.commit(stage, chain=A, diff=A, parent=None, size=1)
    assert snapshots.has_layer(A)
    assert Path(snapshots.layer_path(A), "file").read_text() == "x"
    assert not os.path.exists(stage)
    stage = snapshots.stage()
    snapshots.discard(stage)
    assert not os.path.exists(stage)
    again = snapshots.stage()
    snapshots.commit(again, chain=A, diff=A, parent=None, size=1)
    assert Path(snapshots.layer_path(A), "file").read_text() == "x"
    assert not os.path.exists(again)


def test_a_writable_layer_over_a_stack(store: Store, snapshots: Snapshots) -> None:
    """An overlay of all layers, topmost first, and a place to write that starts with nothing but its mark, 0755."""
    low = add_layer(store, A)
    high = add_layer(store, B, low)
    (mount,) = snapshots.prepare("container", high)
    assert (mount.type, mount.source, mount.destination) == ("overlay", "overlay", "")
    assert lowers(mount) == [snapshots.layer_path(high), snapshots.layer_path(low)]
    upper, work = option(mount, "upperdir"), option(mount, "workdir")
    assert upper == snapshots.upper_path("container")
    assert (os.listdir(upper), os.listdir(work)) == ([ENVIRONMENT], [])
    assert os.stat(upper).st_mode & 0o777 == 0o755
    assert os.stat(upper).st_dev == os.stat(work).st_dev
    assert snapshots.mounts("container") == [mount]
    assert snapshots.parent("container") == high
    assert snapshots.keys() == ["container"]


def test_a_writable_layer_over_nothing(snapshots: Snapshots) -> None:
    """No overlay is needed: the folder itself is the root."""
    (mount,) = snapshots.prepare("container")
    assert (mount.type, mount.options) == ("bind", ("rbind", "rw"))
    assert mount.source == snapshots.upper_path("container")
    assert snapshots.parent("container") is None


def test_the_mark(store: Store, snapshots: Snapshots) -> None:
    """An empty file, but not where a layer says something about it, be it that it is deleted."""
    snapshots.prepare("plain", add_layer(store, A))
    mark = os.stat(os.path.join(snapshots.upper_path("plain"), ENVIRONMENT))
    assert (mark.st_size, mark.st_mode & 0o7777) == (0, 0o755)
    own = add_layer(store, B)
    os.symlink("nowhere", os.path.join(snapshots.layer_path(own), ENVIRONMENT))
    snapshots.prepare("own", add_layer(store, C, own))
    assert os.listdir(snapshots.upper_path("own")) == []


def test_the_list_of_mounts(store: Store, snapshots: Snapshots) -> None:
    """/etc/mtab is a link in a folder that is the image's; not where the image has one, or no folder for it."""
    folder = add_layer(store, A)
    etc = os.path.join(snapshots.layer_path(folder), "etc")
    os.mkdir(etc)
    os.chmod(etc, 0o751)
    os.chown(etc, 7, 8)
    snapshots.prepare("one", add_layer(store, B, folder))
    upper = snapshots.upper_path("one")
    assert os.readlink(os.path.join(upper, "etc/mtab")) == "/proc/mounts"
    found = os.stat(os.path.join(upper, "etc"))
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o751, 7, 8)
    os.symlink("nowhere", os.path.join(etc, "mtab"))
    snapshots.prepare("own", folder)
    assert os.listdir(snapshots.upper_path("own")) == [ENVIRONMENT]
    os.unlink(os.path.join(etc, "mtab"))
    os.rmdir(etc)
    os.symlink("/outside", etc)
    snapshots.prepare("link", folder)
    assert os.listdir(snapshots.upper_path("link")) == [ENVIRONMENT]


def test_read_only_views(store: Store, snapshots: Snapshots) -> None:
    """Nothing, one layer and several, none of them writable."""
    low = add_layer(store, A)
    high = add_layer(store, B, low)
    (empty,) = snapshots.read_only_mounts(None)
    assert empty.type == "tmpfs"
    (single,) = snapshots.read_only_mounts(low)
    assert (single.type, single.source) == ("bind", snapshots.layer_path(low))
    (several,) = snapshots.read_only_mounts(high)
    assert lowers(several) == snapshots.layer_paths(high)
    for mount in (empty, single, several):
        assert "ro" in mount.options
        assert not any(text.startswith("upperdir") for text in mount.options)


async def test_keys_are_used_once_and_removed_for_good(store: Store, snapshots: Snapshots) -> None:
    """A second prepare is a conflict; after a removal the key is free and the content is gone."""
    snapshots.prepare("container")
    Path(snapshots.upper_path("container"), "file").write_text("x")
    with pytest.raises(Conflict):
        snapshots.prepare("container")
    snapshots.remove("container")
    snapshots.remove("container")
    assert snapshots.keys() == []
    snapshots.prepare("container")
    assert os.listdir(snapshots.upper_path("container")) == [ENVIRONMENT]
    await store.trash.empty()


def test_what_is_not_there(snapshots: Snapshots) -> None:
    """Unknown keys and parents are NotFound, and a failed prepare leaves nothing."""
    for act in (snapshots.mounts, snapshots.parent):
        with pytest.raises(NotFound):
            act("nosuch")
    with pytest.raises(NotFound):
        snapshots.prepare("container", C)
    with pytest.raises(NotFound):
        snapshots.read_only_mounts(C)
    assert snapshots.keys() == []
    assert snapshots.sweep() == []


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "new-x", "-x", "A", "a\0", "a\n", "../x"])
def test_keys_that_are_no_names(snapshots: Snapshots, key: str) -> None:
    """A key becomes a folder, and must not become another one."""
    for act in (snapshots.prepare, snapshots.remove, snapshots.upper_path):
        with pytest.raises(InvalidParameter):
            act(key)


async def test_usage_counts_what_the_container_wrote(store: Store, snapshots: Snapshots) -> None:
    """Bytes and inodes above the image, hard links once; an unknown key is NotFound."""
    snapshots.prepare("container", add_layer(store, A))
    upper = Path(snapshots.upper_path("container"))
    (upper / "d").mkdir()
    (upper / "d" / "f").write_bytes(b"12345")
    os.link(upper / "d" / "f", upper / "g")
    assert (await snapshots.usage("container"))[:2] == (5, 3), "d/f, d and the mark"
    with pytest.raises(NotFound):
        await snapshots.usage("nosuch")


def test_a_layer_that_something_stands_on_stays(store: Store, snapshots: Snapshots) -> None:
    """Below another layer, below a container, or kept by the caller."""
    low = add_layer(store, A)
    high = add_layer(store, B, low)
    snapshots.prepare("container", high)
    assert snapshots.layers_top_first() == [high, low]
    assert snapshots.remove_layers([high, low], keep=set()) == []
    snapshots.remove("container")
    assert snapshots.remove_layers([high, low], keep={high}) == []
    removed = snapshots.remove_layers([high, low], keep=set())
    assert removed == [high, low]
    snapshots.discard_layers(removed)
    assert not os.path.exists(snapshots.layer_path(low))
