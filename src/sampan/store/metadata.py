"""The one database: who is called what, and what belongs to whom. Never holds content, nor what is in
flight (`leases.py`).

    containers (id, name, body)              opaque to the store; the engine's record as bytes
    images     (id, manifest, size, created, parent) id: digest of the config blob; manifest: its digest or '';
      │                                          parent: the image it was committed from, or ''
      ├─ image_layers (image, position, chain)   bottom first
      ├─ image_blobs  (image, digest)            every blob the image needs: config, manifest, layers
      └─ names        (name, image)              'docker.io/library/x:latest' or '…/x@sha256:…'
    layers     (chain, diff, parent, size,   a committed snapshot, by ChainID; size in bytes unpacked
                packed, disk)                packed: size of the tar that is made of the folder when it is wanted, 0
                                             when the tar is a blob; disk: as du(1) counts, NULL until asked
    snapshots  (key, parent, shared)         a container's writable layer over a chain; shared: the layer that
                                             holds its content until it is started again, or NULL
    volumes    (name, body)
    origins    (digest, repository)          hints for push: where a blob is
    compressed (plain, blob, size)           hints for push: what a plain layer became
    networks   (id, name, body)              as containers
    values_    (key, value)                  small facts of the installation

SQLite in WAL mode with synchronous=FULL (NORMAL loses committed rows on power loss), foreign keys on,
migrations by `user_version`. One connection, used from the daemon's loop only: a small read is
5 microseconds, a write transaction what the disk's fsync takes. Rows point at files, so a file is
there before its row, and its row is gone before the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sampan.errors import Conflict, NotFound, SampanError

_MIGRATIONS = (
    """
    CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE layers (
        chain TEXT PRIMARY KEY, diff TEXT NOT NULL, parent TEXT REFERENCES layers (chain),
        size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX layers_by_parent ON layers (parent);
    CREATE TABLE images (
        id TEXT PRIMARY KEY, manifest TEXT NOT NULL, size INTEGER NOT NULL, created TEXT NOT NULL,
        tagged TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
    CREATE TABLE image_layers (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        chain TEXT NOT NULL REFERENCES layers (chain), PRIMARY KEY (image, position))
        STRICT, WITHOUT ROWID;
    CREATE INDEX image_layers_by_chain ON image_layers (chain);
    CREATE TABLE image_blobs (
        image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, digest TEXT NOT NULL,
        PRIMARY KEY (image, digest)) STRICT, WITHOUT ROWID;
    CREATE TABLE names (
        name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE)
        STRICT, WITHOUT ROWID;
    CREATE INDEX names_by_image ON names (image);
    CREATE TABLE snapshots (
        key TEXT PRIMARY KEY, parent TEXT REFERENCES layers (chain)) STRICT, WITHOUT ROWID;
    CREATE INDEX snapshots_by_parent ON snapshots (parent);
    CREATE TABLE volumes (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE values_ (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE origins (
        digest TEXT NOT NULL, repository TEXT NOT NULL,
        at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)), UNIQUE (digest, repository)) STRICT;
    CREATE TABLE compressed (
        plain TEXT PRIMARY KEY, blob TEXT NOT NULL, size INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE layers ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE layers ADD COLUMN disk INTEGER;
    ALTER TABLE snapshots ADD COLUMN shared TEXT REFERENCES layers (chain);
    CREATE INDEX snapshots_by_shared ON snapshots (shared);
    ALTER TABLE images ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    CREATE INDEX images_by_parent ON images (parent);
    """,
    """
    CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL)
        STRICT, WITHOUT ROWID;
    """,
)

SCHEMA_VERSION = len(_MIGRATIONS)


class NetworkRow(NamedTuple):
    id: str
    name: str
    body: bytes


class ContainerRow(NamedTuple):
    id: str
    name: str
    body: bytes


class Metadata:
    """Opens (and creates, 0600) the database. Raises SampanError when it is damaged or too new."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            self._configure()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise SampanError(f"the database {path} is damaged: {error}") from error
        except BaseException:
            self._db.close()
            raise
        self.containers = Containers(self)
        self.networks = Networks(self)
        self.values = Values(self)

    def _configure(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        found = [row[0] for row in self._db.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise SampanError(f"the database {self.path} is damaged: {'; '.join(found)}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise SampanError(f"the database {self.path} was written by a newer version of sampan")
        for number in range(version, SCHEMA_VERSION):
            self._migrate(number)

    def _migrate(self, number: int) -> None:
        # One script, one transaction: executescript() itself would commit before it begins.
        script = (
            f"BEGIN IMMEDIATE; {_MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT"
        )
        self._db.executescript(script)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN IMMEDIATE … COMMIT, ROLLBACK on an exception. Inside another one it joins that one.

        No `await` inside: another task would write into the same transaction.
        """
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # SQLite may have done it by itself, on a full disk
            self._db.execute("ROLLBACK")

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self._db.execute(sql, values)

    def rows(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        return self._db.execute(sql, values).fetchall()

    def texts(self, sql: str, *values: object) -> list[str]:
        """The first column of every row."""
        return [str(row[0]) for row in self._db.execute(sql, values)]


class Containers:
    """The engine's records, opaque here; names are unique."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def put(self, container_id: str, name: str, body: bytes) -> None:
        """Insert or replace. Raises Conflict with Docker's text when another one has the name."""
        with self._metadata.transaction():
            self._check_name(container_id, name)
            self._metadata.execute(
                "INSERT INTO containers VALUES (?, ?, ?) ON CONFLICT (id)"
                " DO UPDATE SET name = excluded.name, body = excluded.body",
                container_id,
                name,
                body,
            )

    def rename(self, container_id: str, name: str) -> None:
        """Raises Conflict when another one has the name, NotFound when there is no such row."""
        with self._metadata.transaction():
            self._check_name(container_id, name)
            sql = "UPDATE containers SET name = ? WHERE id = ?"
            if not self._metadata.execute(sql, name, container_id).rowcount:
                raise NotFound(f"No such container: {container_id}")

    def delete(self, container_id: str) -> None:
        """Deleting what is not there is no error."""
        self._metadata.execute("DELETE FROM containers WHERE id = ?", container_id)

    def get(self, container_id: str) -> ContainerRow | None:
        rows = self._metadata.execute("SELECT * FROM containers WHERE id = ?", container_id)
        row = rows.fetchone()
        return ContainerRow(*row) if row else None

    def all(self) -> list[ContainerRow]:
        return [ContainerRow(*row) for row in self._metadata.execute("SELECT * FROM containers")]

    def _check_name(self, container_id: str, name: str) -> None:
        sql = "SELECT id FROM containers WHERE name = ? AND id <> ?"
        for other in self._metadata.texts(sql, name, container_id):
            raise Conflict(
                f'Conflict. The container name "/{name.removeprefix("/")}" is already in use by '
                f'container "{other}". You have to remove (or rename) that container to be able '
                "to reuse that name."
            )


class Networks:
    """The engine's records of users' networks, opaque here; names are unique."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def put(self, network_id: str, name: str, body: bytes) -> None:
        """Insert or replace. Raises Conflict with Docker's text when another one has the name."""
        with self._metadata.transaction():
            sql = "SELECT id FROM networks WHERE name = ? AND id <> ?"
            if self._metadata.texts(sql, name, network_id):
                raise Conflict(f"network with name {name} already exists")
            self._metadata.execute(
                "INSERT OR REPLACE INTO networks VALUES (?, ?, ?)", network_id, name, body
            )

    def delete(self, network_id: str) -> None:
        """Deleting what is not there is no error."""
        self._metadata.execute("DELETE FROM networks WHERE id = ?", network_id)

    def all(self) -> list[NetworkRow]:
        return [NetworkRow(*row) for row in self._metadata.execute("SELECT * FROM networks")]


class Values:
    """Small facts of the installation."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def get(self, key: str) -> bytes | None:
        row = self._metadata.execute("SELECT value FROM values_ WHERE key = ?", key).fetchone()
        return bytes(row[0]) if row else None

    def put(self, key: str, value: bytes) -> None:
        self._metadata.execute("INSERT OR REPLACE INTO values_ VALUES (?, ?)", key, value)
