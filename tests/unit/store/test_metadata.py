"""The database: transactions, names that are unique, damage and future versions that are refused."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from sampan.errors import Conflict, NotFound, SampanError
from sampan.store.metadata import SCHEMA_VERSION, ContainerRow, Metadata


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "sampan.db")


def test_settings_and_mode(path: str) -> None:
    """WAL, full synchronisation, foreign keys, the schema's version, and nobody else may read it."""
    metadata = Metadata(path)
    pragmas = {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"}
    for name, value in pragmas.items():
        assert metadata.texts(f"PRAGMA {name}") == [value]
    assert metadata.texts("PRAGMA user_version") == [str(SCHEMA_VERSION)]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    metadata.close()


def test_containers(path: str) -> None:
    """Put, replace, rename, delete; what was committed is there after a new start."""
    metadata = Metadata(path)
    containers = metadata.containers
    containers.put("id1", "one", b"1")
    containers.put("id2", "two", b"2")
    containers.put("id1", "one", b"3")
    containers.rename("id2", "zwei")
    metadata.close()
    metadata = Metadata(path)
    containers = metadata.containers
    assert sorted(containers.all()) == [
        ContainerRow("id1", "one", b"3"),
        ContainerRow("id2", "zwei", b"2"),
    ]
    assert containers.get("id3") is None
    containers.delete("id1")
    containers.delete("id1")
    assert containers.get("id1") is None
    assert containers.get("id2") == ContainerRow("id2", "zwei", b"2")
    with pytest.raises(NotFound):
        containers.rename("id1", "x")
    metadata.close()


def test_names_are_unique_in_dockers_words(path: str) -> None:
    """The same text for a new container and for a rename."""
    metadata = Metadata(path)
    metadata.containers.put("id1", "one", b"")
    metadata.containers.put("id2", "two", b"")
    text = (
        'Conflict. The container name "/one" is already in use by container "id1". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    for act in (
        lambda: metadata.containers.put("id3", "one", b""),
        lambda: metadata.containers.rename("id2", "one"),
    ):
        with pytest.raises(Conflict) as failure:
            act()
        assert str(failure.value) == text
    metadata.containers.rename("id1", "one")
    metadata.close()


def test_transactions_join_and_roll_back(path: str) -> None:
    """An inner one is part of the outer one; an exception takes all of it back."""
    metadata = Metadata(path)
    with pytest.raises(KeyError), metadata.transaction():
        metadata.values.put("a", b"1")
        with metadata.transaction():
            metadata.values.put("b", b"2")
        raise KeyError
    assert metadata.values.get("a") is metadata.values.get("b") is None
    with metadata.transaction():
        metadata.values.put("a", b"1")
    assert metadata.values.get("a") == b"1"
    with pytest.raises(sqlite3.IntegrityError):
        metadata.execute("INSERT INTO names VALUES ('x', 'no such image')")
    metadata.close()


@pytest.mark.parametrize("damage", ["garbage", "page"])
def test_damage_is_told(path: str, damage: str) -> None:
    """A file that is no database, and one with a broken page: a clear error, no start on half of the rows."""
    metadata = Metadata(path)
    for number in range(500):
        metadata.values.put(f"key{number}", b"v" * 100)
    metadata.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    metadata.close()
    with open(path, "r+b") as file:
        if damage == "page":
            file.seek(4096 * 20)
        file.write(b"\xa5" * 4096)
    with pytest.raises(SampanError, match="is damaged"):
        Metadata(path)


def test_a_newer_schema_is_refused(path: str) -> None:
    """A downgrade must not write into what it does not know."""
    metadata = Metadata(path)
    metadata.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    metadata.close()
    with pytest.raises(SampanError, match="newer version"):
        Metadata(path)


def test_a_migration_that_fails_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a migration would be a database of no version."""
    Metadata(path).close()
    from sampan.store import metadata as module

    broken = (*module._MIGRATIONS, "CREATE TABLE fresh (x); CREATE TABLE containers (y);")
    monkeypatch.setattr(module, "_MIGRATIONS", broken)
    monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(SampanError):
        Metadata(path)
    monkeypatch.undo()
    metadata = Metadata(path)
    assert "fresh" not in metadata.texts("SELECT name FROM sqlite_master")
    metadata.close()
