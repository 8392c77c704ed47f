"""Local volumes: named folders that outlive containers, `volumes/NAME/_data`.

    created: stage folder, rename, fsync of the folder, row      removed: row, trash, deletion

A new volume is filled with what the image has at the mount point ("copy-up") by the "copy-up" worker.
What its driver options mount, and for how long, is `volume_mounts.py`'s.
Out of scope: who uses a volume (the engine), other drivers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from sampan.errors import InvalidParameter, NotFound
from sampan.spec.digest import Digest
from sampan.store import jobs
from sampan.store.content import sync_directory
from sampan.store.metadata import Metadata
from sampan.store.snapshots import Snapshots
from sampan.store.trash import Trash
from sampan.store.volume_mounts import VolumeMounts
from sampan.store.volume_options import check_options

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_REST = _FIRST | frozenset("_.-")


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    created_at: str  # RFC 3339, UTC
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    anonymous: bool = False  # made for a container, removed with it by `rm -v`


class Volumes:
    def __init__(
        self,
        root: str,
        metadata: Metadata,
        trash: Trash,
        spawn: jobs.Spawn,
        snapshots: Snapshots,
    ) -> None:
        self._root = root
        self._metadata = metadata
        self._trash = trash
        self._spawn = spawn
        self._snapshots = snapshots
        self.mounts = VolumeMounts(root, spawn)
        os.makedirs(root, 0o700, exist_ok=True)

    def mountpoint(self, name: str) -> str:
        """The folder to bind into containers."""
        return os.path.join(self._root, check_name(name), "_data")

    def find(self, name: str) -> Volume | None:
        row = self._metadata.execute("SELECT body FROM volumes WHERE name = ?", name).fetchone()
        return msgspec.json.decode(row[0], type=Volume) if row else None

    def get(self, name: str) -> Volume:
        """Raises NotFound with Docker's text."""
        volume = self.find(name)
        if volume is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    def list(self) -> list[Volume]:
        """All of them, by name."""
        rows = self._metadata.execute("SELECT body FROM volumes ORDER BY name")
        return [msgspec.json.decode(body, type=Volume) for (body,) in rows]

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Volume:
        """A new volume, or the one that has the name already (as Docker; its labels stay).

        Without a name it is anonymous. Raises InvalidParameter, NotFound for another driver.
        """
        anonymous = not name
        name = name or os.urandom(32).hex()
        if driver not in ("", "local"):
            raise NotFound(
                f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found'
            )
        check_name(name)
        found = self.find(name)
        if found is not None:
            return found
        check_options(name, options or {})
        volume = Volume(
            name=name,
            created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            labels=dict(labels) if labels else None,
            options=dict(options) if options else None,
            anonymous=anonymous,
        )
        self._make_folder(name)
        body = msgspec.json.encode(volume)
        self._metadata.execute("INSERT INTO volumes VALUES (?, ?)", name, body)
        return volume

    async def remove(self, name: str) -> None:
        """Raises NotFound, OSError (what is mounted there stays). Whether it is in use, the caller has asked."""
        self.get(name)
        await self.mounts.take_off(name)
        self._metadata.execute("DELETE FROM volumes WHERE name = ?", name)
        self._trash.discard(os.path.join(self._root, name))

    async def copy_up(self, name: str, chain: Digest | None, path: str) -> None:
        """Fill an empty volume with what the image `chain` has at the absolute `path`.

        Owner and mode of the folder itself are taken over too. Nothing happens when the volume holds
        something already or the image has no folder there. What its options mount must be mounted.
        Raises OSError, SampanError.
        """
        target = self.mountpoint(name)
        if chain is None or os.listdir(target):
            return
        args = {"lower": self._snapshots.layer_paths(chain), "path": path}
        fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            await jobs.run(self._spawn, "copy-up", args, [fd])
        finally:
            os.close(fd)

    async def size(self, name: str) -> int:
        """Bytes on the disk. Raises OSError, SampanError."""
        fd = os.open(self.mountpoint(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            answer = await jobs.run(self._spawn, "usage", {}, [fd])
        finally:
            os.close(fd)
        return int(answer["disk"])

    def sweep(self) -> None:
        """At start: folders without rows go to the trash; rows without folders get an empty one.

        A folder with something mounted in it is left alone until that is off."""
        busy = {os.path.dirname(place) for place in self.mounts.mounted()}
        names = set(self._metadata.texts("SELECT name FROM volumes"))
        present = set(os.listdir(self._root))
        for name in present - names:
            if os.path.join(self._root, name) in busy:
                continue
            self._trash.discard(os.path.join(self._root, name))
        for name in names - present:
            self._make_folder(name)

    def _make_folder(self, name: str) -> None:
        stage = os.path.join(self._root, ".new-" + os.urandom(12).hex())
        os.mkdir(stage, 0o700)
        data = os.path.join(stage, "_data")
        os.mkdir(data)
        os.chmod(data, 0o755)
        destination = os.path.join(self._root, name)
        self._trash.discard(destination)  # without a row, so nobody's
        os.rename(stage, destination)
        sync_directory(self._root)


def check_name(name: str) -> str:
    """Raises InvalidParameter with Docker's texts."""
    if len(name) == 1:
        raise InvalidParameter(
            f"create {name}: volume name is too short, names should be at least two alphanumeric "
            "characters"
        )
    if not name or name[0] not in _FIRST or not _REST.issuperset(name):
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    if len(name) > 255:
        raise InvalidParameter(f"create {name[:32]}…: volume name is too long")
    return name
