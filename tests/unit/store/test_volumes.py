"""Volumes are made, found, listed and removed, with Docker's grammar of names and its texts."""

from __future__ import annotations

import os

import pytest

from sampan.errors import InvalidParameter, NotFound
from sampan.store.store import Store

CHARACTERS = (
    'includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
    "allowed. If you intended to pass a host directory, use absolute path"
)


async def test_a_named_volume(store: Store) -> None:
    """Made once: a second create returns the first, labels and all."""
    volume = store.volumes.create("vol", labels={"a": "b"})
    assert store.volumes.create("vol", labels={"a": "c"}) == volume
    assert (volume.name, volume.labels, volume.anonymous) == ("vol", {"a": "b"}, False)
    point = store.volumes.mountpoint("vol")
    assert point == os.path.join(store.data_root, "volumes", "vol", "_data")
    assert os.stat(point).st_mode & 0o777 == 0o755
    assert store.volumes.get("vol") == volume
    assert store.volumes.list() == [volume]


async def test_an_anonymous_volume(store: Store) -> None:
    """64 hex digits of a name, and known as anonymous."""
    first, second = store.volumes.create(), store.volumes.create(driver="local")
    assert first.anonymous
    assert len(first.name) == 64
    assert first.name != second.name


async def test_removal(store: Store) -> None:
    """Row and folder go; what was in it is deleted."""
    store.volumes.create("vol")
    with open(os.path.join(store.volumes.mountpoint("vol"), "file"), "w") as file:
        file.write("x")
    await store.volumes.remove("vol")
    await store.trash.empty()
    assert os.listdir(os.path.join(store.data_root, "volumes")) == []
    assert os.listdir(os.path.join(store.data_root, "trash")) == []
    with pytest.raises(NotFound, match="get vol: no such volume"):
        store.volumes.get("vol")
    with pytest.raises(NotFound, match="get vol: no such volume"):
        await store.volumes.remove("vol")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "a",
            "create a: volume name is too short, names should be at least two alphanumeric "
            "characters",
        ),
        *((name, f'create {name}: "{name}" {CHARACTERS}') for name in ("x y", "-ab", "a/b", "..")),
        (".new-x", f'create .new-x: ".new-x" {CHARACTERS}'),
        ("ab\n", f'create ab\n: "ab\n" {CHARACTERS}'),
        ("a" * 300, f"create {'a' * 32}…: volume name is too long"),
    ],
)
async def test_bad_names(store: Store, name: str, message: str) -> None:
    """Nothing that is no name becomes a folder."""
    with pytest.raises(InvalidParameter) as failure:
        store.volumes.create(name)
    assert str(failure.value) == message
    with pytest.raises(InvalidParameter):
        store.volumes.mountpoint(name)


async def test_other_drivers_and_options(store: Store) -> None:
    """Refused as dockerd refuses what it does not know."""
    with pytest.raises(NotFound, match='error looking up volume plugin nope: plugin "nope" not'):
        store.volumes.create("vol", driver="nope")
    with pytest.raises(InvalidParameter, match='create vol: invalid option: "a"'):
        store.volumes.create("vol", options={"a": "b"})
    assert store.volumes.list() == []
