"""Snapshots: file systems as stacks of overlay layers. The contract, for every implementation.

A **layer** is committed: it never changes, has the ChainID of its stack as key and at most one parent.
A **snapshot** is active: the writable layer of a container, over a chain or over nothing. Both are a
folder `snapshots/ID/fs`; an active one has `work` beside it for overlayfs.

    stage = snapshots.stage()                    # an empty folder; fill `stage/fs`, then one of
    snapshots.commit(stage, chain=…, diff=…)     #   it is a layer now (stage is gone)
    snapshots.discard(stage)                     #   it never was
    mounts = snapshots.prepare(id, chain)        # a new writable layer for a container
    snapshots.mounts(id)                         # the same mounts again, after a restart
    snapshots.read_only_mounts(chain)            # an image to look at
    snapshots.remove(id)                         # the container is gone

What a stopped container wrote can become a layer without a copy (`adopt`): the folder is renamed, and the
container's content *is* that layer until somebody is about to mount it; `await unshare(key)` comes before
that. What a running container wrote is copied (`copy`).

Whoever gets mounts does them; a snapshot is never mounted here. Mounts have one root entry: an overlay
with `lowerdir=` options topmost first, or a bind mount where one layer needs no overlay (overlayfs wants
two layers when nothing is writable). `prepare` of a key that is there raises Conflict; unknown keys and
parents raise NotFound; a layer that something stands on cannot be removed.

Order of creation: stage, rename, fsync of the folder, row. Order of removal: row, rename to the trash,
deletion. So at any instant a folder without a row is rubbish, and `sweep()` at start takes it away.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.spec.digest import Digest, hex_of
from sampan.spec.mount import Mount
from sampan.store import jobs, placement
from sampan.store.changes import Change, decode
from sampan.store.content import sync_directory
from sampan.store.marks import put_marks, weight
from sampan.store.metadata import Metadata
from sampan.store.trash import Trash
from sampan.store.tree import Usage

log = logging.getLogger(__name__)

_STAGE = "new-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


class Staged(NamedTuple):
    """A stage that is filled, and what it is to become."""

    stage: str
    chain: Digest
    diff: Digest
    parent: Digest | None
    size: int
    packed: int = 0  # size of its tar, when that is to be made of the folder


class Layer(NamedTuple):
    """A committed layer, as its row has it."""

    chain: Digest
    diff: Digest
    parent: Digest | None
    size: int
    packed: int


class Snapshots:
    def __init__(self, root: str, metadata: Metadata, trash: Trash, spawn: jobs.Spawn) -> None:
        self._root = root
        self._metadata = metadata
        self._trash = trash
        self._spawn = spawn
        self._locks: dict[str, asyncio.Lock] = {}
        os.makedirs(root, 0o700, exist_ok=True)
        placement.spread(root)

    def stage(self) -> str:
        """A fresh folder with an empty `fs`, on the way to become a layer or a snapshot."""
        stage = os.path.join(self._root, _STAGE + os.urandom(12).hex())
        os.mkdir(stage, 0o700)
        try:
            _mkdir(os.path.join(stage, "fs"), 0o755)
        except OSError:
            os.rmdir(stage)
            raise
        return stage

    def discard(self, stage: str) -> None:
        """Give a stage up."""
        self._trash.discard(stage)

    def commit(
        self, stage: str, *, chain: Digest, diff: Digest, parent: Digest | None, size: int
    ) -> None:
        """Make a stage, already synced to disk by whoever filled it, the layer `chain`.

        When the layer is there meanwhile, the stage is discarded.
        """
        self.commit_all([Staged(stage, chain, diff, parent, size)])

    def commit_all(self, staged: Iterable[Staged]) -> None:
        """Make several stages layers, each after its parent, with one sync of the folder."""
        renamed: list[Staged] = []
        for layer in staged:
            if self.has_layer(layer.chain) or any(layer.chain == other.chain for other in renamed):
                self.discard(layer.stage)
                continue
            self._rename(layer.stage, hex_of(layer.chain))
            renamed.append(layer)
        if renamed:
            sync_directory(self._root)
        for layer in renamed:
            self._insert(layer)

    def _insert(self, layer: Staged) -> None:
        sql = "INSERT INTO layers (chain, diff, parent, size, packed) VALUES (?, ?, ?, ?, ?)"
        self._metadata.execute(sql, *layer[1:])

    def has_layer(self, chain: Digest) -> bool:
        return bool(self._metadata.rows("SELECT 1 FROM layers WHERE chain = ?", chain))

    def layer(self, chain: Digest) -> Layer | None:
        sql = "SELECT chain, diff, parent, size, packed FROM layers WHERE chain = ?"
        row = self._metadata.execute(sql, chain).fetchone()
        return Layer(*row) if row else None

    def set_packed(self, chain: Digest, size: int) -> None:
        """The tar of this layer is made of its folder: that it comes out right has been seen."""
        self._metadata.execute("UPDATE layers SET packed = ? WHERE chain = ?", size, chain)

    def packed(self) -> dict[str, Layer]:
        """Layers whose tar is made of their folder, by the digest of the tar."""
        sql = "SELECT chain, diff, parent, size, packed FROM layers WHERE packed > 0"
        layers = (Layer(*row) for row in self._metadata.execute(sql))
        return {layer.diff: layer for layer in layers}

    def layer_path(self, chain: Digest) -> str:
        """The folder that holds the content of a layer."""
        return os.path.join(self._root, hex_of(chain), "fs")

    def layer_paths(self, chain: Digest | None) -> list[str]:
        """The folders of a stack, topmost first. Raises NotFound."""
        return [self.layer_path(layer) for layer in self._chain(chain)]

    def upper_path(self, key: str) -> str:
        """The folder that holds what a container wrote; to look at only."""
        shared = self.shared(key)
        return self.layer_path(shared) if shared else self._own_path(key)

    def _own_path(self, key: str) -> str:
        return os.path.join(self._root, _check_key(key), "fs")

    def shared(self, key: str) -> Digest | None:
        """The layer that holds what a stopped container wrote, since it was committed."""
        rows = self._metadata.rows("SELECT shared FROM snapshots WHERE key = ?", _check_key(key))
        return Digest(str(rows[0][0])) if rows and rows[0][0] else None

    def adopt(self, key: str, layer: Staged) -> None:
        """Make the folder of a container that does not run the layer it is described as (without a stage), which
        must not be there. Synced by whoever packed it."""
        with self._metadata.transaction():
            self._insert(layer)
            self._metadata.execute(
                "UPDATE snapshots SET shared = ? WHERE key = ?", layer.chain, key
            )
        # From here on the rows say what must happen; a sweep finds out whether it has.
        folder = os.path.dirname(self.layer_path(layer.chain))
        try:
            self._trash.discard(folder)
            _mkdir(folder, 0o700)
            os.rename(self._own_path(key), self.layer_path(layer.chain))
        except OSError:
            self._forget_adoption(key, layer.chain)
            raise
        sync_directory(folder)
        sync_directory(self._root)

    def _forget_adoption(self, key: str, chain: str) -> None:
        with self._metadata.transaction():
            self._metadata.execute("UPDATE snapshots SET shared = NULL WHERE key = ?", key)
            self._metadata.execute("DELETE FROM layers WHERE chain = ?", chain)

    async def unshare(self, key: str) -> None:
        """Before a container's `mounts` are used: what it wrote is its own again. Raises OSError."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if self.shared(key) is not None:
                    await self._unshare(key)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def _unshare(self, key: str) -> None:
        stage = self.stage()
        try:
            await self.copy(key, stage, sync=True)
            if self._has(key):
                self._mark(os.path.join(stage, "fs"), self._chain(self.parent(key)))
                self._trash.discard(self._own_path(key))
                os.rename(os.path.join(stage, "fs"), self._own_path(key))
                sync_directory(os.path.dirname(self._own_path(key)))
                self._metadata.execute("UPDATE snapshots SET shared = NULL WHERE key = ?", key)
        finally:
            self.discard(stage)

    async def copy(self, key: str, stage: str, *, sync: bool) -> None:
        """Copy what a container wrote into a stage, or clone it where the file system can. Raises NotFound, OSError."""
        if not self._has(key):
            raise NotFound(f"snapshot {key} does not exist")
        source = os.open(self.upper_path(key), _FOLDER)
        try:
            target = os.open(os.path.join(stage, "fs"), _FOLDER)
            try:
                await jobs.run(self._spawn, "copy", {"sync": sync}, [source, target])
            finally:
                os.close(target)
        finally:
            os.close(source)

    def prepare(self, key: str, parent: Digest | None = None) -> list[Mount]:
        """A new writable layer over the chain `parent`. Raises Conflict, NotFound."""
        if self._has(_check_key(key)):
            raise Conflict(f"snapshot {key} already exists")
        chain = self._chain(parent)
        stage = self.stage()
        _mkdir(os.path.join(stage, "work"), 0o700)
        self._mark(os.path.join(stage, "fs"), chain)
        self._rename(stage, key)
        sync_directory(self._root)
        self._metadata.execute("INSERT INTO snapshots (key, parent) VALUES (?, ?)", key, parent)
        return self._writable(key, chain)

    def _mark(self, folder: str, chain: list[Digest]) -> None:
        put_marks(folder, [self.layer_path(layer) for layer in chain])

    def mounts(self, key: str) -> list[Mount]:
        """What `prepare` returned; `unshare` first, where something is to be written. Raises NotFound."""
        rows = self._metadata.rows("SELECT parent FROM snapshots WHERE key = ?", key)
        if not rows:
            raise NotFound(f"snapshot {key} does not exist")
        parent = rows[0][0]
        return self._writable(key, self._chain(Digest(str(parent)) if parent else None))

    def read_only_mounts(self, chain: Digest | None) -> list[Mount]:
        """The file system of an image; an image without layers is an empty folder."""
        layers = self.layer_paths(chain)
        if not layers:
            return [Mount("tmpfs", "tmpfs", ("ro", "mode=755", "size=4k"))]
        if len(layers) == 1:
            return [Mount("bind", layers[0], ("rbind", "ro"))]
        return [Mount("overlay", "overlay", (*(f"lowerdir={path}" for path in layers), "ro"))]

    def remove(self, key: str) -> None:
        """Remove an active snapshot, not inside a transaction. No error when it is not there."""
        self._metadata.execute("DELETE FROM snapshots WHERE key = ?", _check_key(key))
        self._trash.discard(os.path.join(self._root, key))

    def forget(self, key: str) -> None:
        """The row of an active snapshot, as a part of the caller's transaction; `remove` then takes the folder."""
        self._metadata.execute("DELETE FROM snapshots WHERE key = ?", _check_key(key))

    def keys(self) -> list[str]:
        """Every active snapshot."""
        return self._metadata.texts("SELECT key FROM snapshots")

    def parent(self, key: str) -> Digest | None:
        """The chain under an active snapshot. Raises NotFound."""
        rows = self._metadata.rows("SELECT parent FROM snapshots WHERE key = ?", key)
        if not rows:
            raise NotFound(f"snapshot {key} does not exist")
        return Digest(str(rows[0][0])) if rows[0][0] else None

    async def usage(self, key: str) -> Usage:
        """What the container itself has written. Raises NotFound."""
        if not self._has(key):
            raise NotFound(f"snapshot {key} does not exist")
        usage = await self.measure(self.upper_path(key))
        usage = usage._replace(size=usage.size - weight(self.upper_path(key)))
        if self.shared(key):  # the disk is the layer's
            return usage._replace(disk=0)
        return usage

    async def measure(self, folder: str) -> Usage:
        """What a folder holds and takes. Raises OSError."""
        fd = os.open(folder, _FOLDER)
        try:
            return Usage(**await jobs.run(self._spawn, "usage", {}, [fd]))
        finally:
            os.close(fd)

    async def disk(self, chain: Digest) -> int:
        """Bytes of the disk that a layer takes; measured once. Raises OSError."""
        rows = self._metadata.rows("SELECT disk FROM layers WHERE chain = ?", chain)
        if rows and rows[0][0] is not None:
            return int(str(rows[0][0]))
        disk = (await self.measure(self.layer_path(chain))).disk
        self._metadata.execute("UPDATE layers SET disk = ? WHERE chain = ?", disk, chain)
        return disk

    async def changes(self, key: str) -> list[Change]:
        """What the container has changed of its image, by path. Raises NotFound, OSError."""
        lower = self.layer_paths(self.parent(key))
        upper = os.open(self.upper_path(key), _FOLDER)
        output = os.memfd_create("changes", os.MFD_CLOEXEC)
        try:
            await jobs.run(self._spawn, "changes", {"lower": lower}, [upper, output])
            return decode(os.pread(output, os.fstat(output).st_size, 0))
        finally:
            os.close(upper)
            os.close(output)

    def remove_layers(self, chains: list[Digest], *, keep: set[str]) -> list[Digest]:
        """Remove those of `chains` (each before its parent) on which nothing stands and that are not
        in `keep`; the rows at once, the folders by `discard_layers` after the commit."""
        removed = []
        for chain in chains:
            if chain not in keep and not self._is_used(chain):
                self._metadata.execute("DELETE FROM layers WHERE chain = ?", chain)
                removed.append(chain)
        return removed

    def discard_layers(self, chains: list[Digest]) -> None:
        for chain in chains:
            self._trash.discard(os.path.join(self._root, hex_of(chain)))

    def layers_top_first(self) -> list[Digest]:
        """Every layer, each before its parent."""
        rows = self._metadata.rows("SELECT chain, parent FROM layers")
        parents = {str(chain): parent and str(parent) for chain, parent in rows}
        depths = dict.fromkeys(parents, 0)
        for chain in parents:
            depths[chain] = sum(1 for _ in _ancestors(chain, parents))
        return [Digest(chain) for chain in sorted(depths, key=depths.__getitem__, reverse=True)]

    def sweep(self) -> list[str]:
        """At start: folders without rows go to the trash; snapshots without folders lose their row.
        Returns the layers whose folder is missing: whatever stands on them is broken."""
        self._sweep_shared()
        layers = set(self._metadata.texts("SELECT chain FROM layers"))
        known = {hex_of(Digest(chain)) for chain in layers}
        keys = set(self.keys())
        present = set(os.listdir(self._root))
        for name in present - known - keys:
            self._trash.discard(os.path.join(self._root, name))
        for key in keys - present:
            log.warning("snapshot %s has no folder and is forgotten", key)
            self._metadata.execute("DELETE FROM snapshots WHERE key = ?", key)
        return [chain for chain in layers if hex_of(Digest(chain)) not in present]

    def strays(self) -> list[str]:
        """Folders without a row. Only while nothing is in flight: stages have none either."""
        layers = self._metadata.texts("SELECT chain FROM layers")
        known = {hex_of(Digest(chain)) for chain in layers} | set(self.keys())
        return [
            os.path.join(self._root, name)
            for name in sorted(os.listdir(self._root))
            if name not in known and not name.startswith(_STAGE)
        ]

    def is_stood_on(self, chain: Digest) -> bool:
        """Whether a container's file system has this layer in it."""
        return any(
            chain in self._chain(self.parent(key)) or self.shared(key) == chain
            for key in self.keys()
        )

    def replace(self, chain: Digest, stage: str) -> None:
        """Put a stage, synced and with the same content, in the place of a layer's folder."""
        self._rename(stage, hex_of(chain))
        sync_directory(self._root)

    def unused_layers(self, *, keep: set[str]) -> list[Digest]:
        """What a collection would take away, each before its parent."""
        gone: set[str] = set()
        found = []
        for chain in self.layers_top_first():
            children = self._metadata.texts("SELECT chain FROM layers WHERE parent = ?", chain)
            if chain not in keep and gone.issuperset(children) and not self._is_used_itself(chain):
                gone.add(chain)
                found.append(chain)
        return found

    def _sweep_shared(self) -> None:
        """Adoptions that were cut short: either the folder was renamed, or nothing was done."""
        for key, shared in self._metadata.rows(
            "SELECT key, shared FROM snapshots WHERE shared NOT NULL"
        ):
            own = self._own_path(str(key))
            if os.path.isdir(self.layer_path(Digest(str(shared)))):
                self._trash.discard(own)  # a copy that was not needed in the end
            elif os.path.isdir(own):
                self._forget_adoption(str(key), str(shared))

    def _chain(self, top: Digest | None) -> list[Digest]:
        """The layers of a stack, topmost first."""
        chain: list[Digest] = []
        current = top
        while current is not None:
            rows = self._metadata.rows("SELECT parent FROM layers WHERE chain = ?", current)
            if not rows:
                raise NotFound(f"layer {current} does not exist")
            chain.append(current)
            current = Digest(str(rows[0][0])) if rows[0][0] else None
        return chain

    def _writable(self, key: str, chain: list[Digest]) -> list[Mount]:
        folder = os.path.join(self._root, key)
        if not chain:
            return [Mount("bind", f"{folder}/fs", ("rbind", "rw"))]
        lower = (f"lowerdir={self.layer_path(layer)}" for layer in chain)
        options = (*lower, f"upperdir={folder}/fs", f"workdir={folder}/work")
        return [Mount("overlay", "overlay", options)]

    def _has(self, key: str) -> bool:
        return bool(self._metadata.rows("SELECT 1 FROM snapshots WHERE key = ?", key))

    def _is_used(self, chain: Digest) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM layers WHERE parent = ?)"
        return bool(self._metadata.rows(sql, chain)[0][0]) or self._is_used_itself(chain)

    def _is_used_itself(self, chain: Digest) -> bool:
        """By an image or a container, whatever other layers do."""
        sql = (
            "SELECT EXISTS (SELECT 1 FROM image_layers WHERE chain = ?1)"
            " OR EXISTS (SELECT 1 FROM snapshots WHERE parent = ?1 OR shared = ?1)"
        )
        return bool(self._metadata.rows(sql, chain)[0][0])

    def _rename(self, stage: str, name: str) -> None:
        destination = os.path.join(self._root, name)
        self._trash.discard(destination)  # a folder without a row, from a moment that was cut short
        os.rename(stage, destination)


def _ancestors(chain: str, parents: dict[str, object]) -> Iterator[str]:
    current = parents.get(chain)
    while current:
        yield str(current)
        current = parents.get(str(current))


def _mkdir(path: str, mode: int) -> None:
    """With exactly `mode`, whatever the umask is."""
    os.mkdir(path, mode)
    os.chmod(path, mode)


def _check_key(key: str) -> str:
    if not key or key[0] in "._-" or key.startswith(_STAGE) or not _KEY.issuperset(key):
        raise InvalidParameter(f"invalid snapshot key: {key[:80]!r}")
    return key
