"""The files of an archive that is being loaded, taken in one after another as the stream brings them.

Small files stay in memory, large ones go to an ingest, hashed on the way. Links are names that mean other
names of the same archive (old `docker save` wrote a layer once and linked to it); nothing is ever
looked up in a file system. Bounded: the number of files, the memory of the small ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from sampan.errors import InvalidParameter, ProtocolError
from sampan.spec.digest import digest_of
from sampan.store.content import Blob, Content, Ingest
from sampan.store.leases import Lease
from sampan.wire import tar

FILE_LIMIT = 20_000
SMALL = 64 << 10
SMALL_TOTAL = 16 << 20
_LINK_LIMIT = 16


class _File(NamedTuple):
    data: bytes | None  # of a small one
    ingest: Ingest | None  # of a large one
    blob: Blob


Begun = Callable[[str, Ingest], None]
Dropped = Callable[[Ingest], Awaitable[None]]


def _unheard(name: str, ingest: Ingest) -> None:
    """Nobody wants to know of files before the archive is read."""


async def _unmissed(ingest: Ingest) -> None: ...


class Archive:
    """Files by normalised name; `file` and `read` raise InvalidParameter for what is not there. `begun` is told of
    every large file that begins to arrive, `dropped` of one whose name a later file has."""

    def __init__(self, content: Content, lease: Lease, begun: Begun, dropped: Dropped) -> None:
        self._begun = begun
        self._dropped = dropped
        self._content = content
        self._lease = lease
        self._files: dict[str, _File] = {}
        self._links: dict[str, str] = {}
        self._small = 0

    def has(self, name: str) -> bool:
        return self._key(name) in self._files

    def read(self, name: str, limit: int) -> bytes:
        """The content of a document."""
        file = self._get(name)
        if file.blob.size > limit:
            raise InvalidParameter(f"{name[:200]} is larger than {limit} bytes")
        if file.data is not None:
            return file.data
        assert file.ingest is not None
        return file.ingest.read(limit)

    def blob(self, name: str) -> Blob:
        return self._get(name).blob

    async def file(self, name: str) -> tuple[Ingest, Blob]:
        """The file as one of the store's ingest folder, which is gone at the end unless somebody takes it."""
        key, file = self._key(name), self._get(name)
        if file.ingest is not None:
            return file.ingest, file.blob
        assert key is not None
        assert file.data is not None
        ingest = self._content.writer(self._lease)
        self._files[key] = _File(file.data, ingest, file.blob)
        await ingest.write(file.data)
        return ingest, await ingest.finish()

    async def take(self, reader: tar.TarReader, chunks: AsyncIterable[bytes]) -> None:
        """Read the stream to its end. Raises InvalidParameter."""
        entry: tar.Header | None = None
        pieces: list[bytes] = []
        ingest: Ingest | None = None
        async for chunk in chunks:
            for event in reader.feed(chunk):
                if isinstance(event, tar.Header):
                    entry, pieces, ingest = event, [], None
                    if entry.type == tar.FILE and entry.size > SMALL:
                        ingest = self._content.writer(self._lease)
                        await self._add(entry.name, _File(None, ingest, Blob(digest_of(b""), 0)))
                        self._begun(normalise(entry.name), ingest)
                elif isinstance(event, memoryview):
                    if ingest is not None:
                        await ingest.write(bytes(event))
                    elif entry is not None and entry.type == tar.FILE:
                        pieces.append(bytes(event))
                elif entry is not None:
                    await self._complete(entry, b"".join(pieces), ingest)
        reader.close()

    async def _complete(self, entry: tar.Header, data: bytes, ingest: Ingest | None) -> None:
        if ingest is not None:
            blob = await ingest.finish()
            self._files[normalise(entry.name)] = _File(None, ingest, blob)
        elif entry.type == tar.FILE:
            self._small += len(data)
            if self._small > SMALL_TOTAL:
                raise InvalidParameter("the archive holds too many small files")
            await self._add(entry.name, _File(data, None, Blob(digest_of(data), len(data))))
        elif entry.type in (tar.SYMLINK, tar.LINK):
            self._add_link(entry)

    def _add_link(self, entry: tar.Header) -> None:
        self._check_count()
        name, target = normalise(entry.name), entry.linkname
        if entry.type == tar.SYMLINK and not target.startswith(b"/"):
            target = entry.name.rpartition(b"/")[0] + b"/" + target
        self._links[name] = normalise(target)

    async def _add(self, name: bytes, file: _File) -> None:
        self._check_count()
        key = normalise(name)
        before = self._files.get(key)
        self._links.pop(key, None)
        self._files[key] = file
        if before is not None and before.ingest is not None:
            before.ingest.abort()
            await self._dropped(before.ingest)

    def _check_count(self) -> None:
        if len(self._files) + len(self._links) >= FILE_LIMIT:
            raise InvalidParameter(f"the archive holds more than {FILE_LIMIT} files")

    def _key(self, name: str) -> str | None:
        """Where links lead, which need not be there; None when they do not end."""
        key = normalise(name.encode("utf-8", "surrogateescape"))
        for _ in range(_LINK_LIMIT):
            if key not in self._links:
                return key
            key = self._links[key]
        return None

    def _get(self, name: str) -> _File:
        key = self._key(name)
        file = self._files.get(key) if key is not None else None
        if file is None:
            shown = name[:200].encode("utf-8", "backslashreplace").decode()
            raise InvalidParameter(f"invalid archive: {shown} is missing")
        return file

    def close(self) -> None:
        """Drop everything that was not committed."""
        for file in self._files.values():
            if file.ingest is not None:
                file.ingest.abort()


@asynccontextmanager
async def read_archive(
    content: Content,
    chunks: AsyncIterable[bytes],
    lease: Lease,
    begun: Begun = _unheard,
    dropped: Dropped = _unmissed,
) -> AsyncIterator[Archive]:
    """The files of a plain tar stream, read to its end. Raises InvalidParameter."""
    archive = Archive(content, lease, begun, dropped)
    try:
        try:
            await archive.take(tar.TarReader(), chunks)
        except ProtocolError as error:
            raise InvalidParameter(str(error)) from None
        yield archive
    finally:
        archive.close()


def normalise(name: bytes) -> str:
    """Without `.`, `..` and empty parts; `..` ends at the top."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts).decode("utf-8", "surrogateescape")
