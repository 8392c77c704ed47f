"""A tar stream from a container into a local folder. The container may have made it to do harm.

Names stay below the folder; the folders on the way are opened one by one and never through a link; what is there
already is merged with (folders) or replaced (files), but never the one by the other.
"""

from __future__ import annotations

import os
import stat

from sampan.cli.failure import Failure
from sampan.errors import ProtocolError
from sampan.wire import tar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sampan.cli.copying.places import Rename

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def unpack(pieces: Iterable[bytes], folder: str, rename: Rename, *, owners: bool) -> int:
    """How many bytes of files were written. `owners`: keep them, which takes root. Raises Failure, OSError."""
    target = _Target(folder, rename, owners=owners)
    reader = tar.TarReader()
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                if isinstance(event, tar.Header):
                    target.entry(event)
                elif isinstance(event, memoryview):
                    target.data(event)
                else:
                    target.end()
        reader.close()
        target.finish()
    except ProtocolError as error:
        raise Failure(str(error)) from None
    finally:
        target.close()
    return target.size


class _Target:
    def __init__(self, folder: str, rename: Rename, *, owners: bool) -> None:
        self.size = 0
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._rename = rename
        self._owners = owners
        self._shown = folder
        self._file = -1
        self._header: tar.Header | None = None
        self._times: list[tuple[list[bytes], tar.Header]] = []

    def close(self) -> None:
        os.close(self._root)
        if self._file >= 0:
            os.close(self._file)

    def entry(self, header: tar.Header) -> None:
        parts = _parts(self._rename(header.name.rstrip(b"/") or b"/"))
        if not parts:
            return  # the folder itself stays as it is
        above = self._above(parts[:-1])
        try:
            if header.type == tar.DIRECTORY:
                self._directory(above, parts, header)
                return
            self._make_room(above, parts)
            self._make(above, parts[-1], header)
        finally:
            os.close(above)

    def data(self, piece: memoryview) -> None:
        self.size += len(piece)
        while piece and self._file >= 0:
            piece = piece[os.write(self._file, piece) :]

    def end(self) -> None:
        if self._file < 0 or self._header is None:
            return
        header = self._header
        if self._owners:
            os.fchown(self._file, header.uid, header.gid)
        os.fchmod(self._file, header.mode)
        os.utime(self._file, ns=(header.mtime_ns, header.mtime_ns))
        os.close(self._file)
        self._file, self._header = -1, None

    def finish(self) -> None:
        """Folders get their modes and times when nothing is put into them any more."""
        for parts, header in reversed(self._times):
            fd = self._above(parts)
            try:
                os.fchmod(fd, header.mode)
                os.utime(fd, ns=(header.mtime_ns, header.mtime_ns))
            finally:
                os.close(fd)

    def _make(self, above: int, leaf: bytes, header: tar.Header) -> None:
        if header.type == tar.FILE:
            self._file = os.open(leaf, _NEW, 0o600, dir_fd=above)
            self._header = header
            return
        if header.type == tar.LINK:
            self._link(above, leaf, _parts(self._rename(header.linkname)))
            return
        if header.type == tar.SYMLINK:
            os.symlink(header.linkname, leaf, dir_fd=above)
        elif header.type == tar.FIFO:
            os.mkfifo(leaf, header.mode & 0o777, dir_fd=above)
        elif header.type in (tar.CHARACTER, tar.BLOCK_DEVICE):
            kind = stat.S_IFCHR if header.type == tar.CHARACTER else stat.S_IFBLK
            device = os.makedev(header.major, header.minor)
            os.mknod(leaf, kind | header.mode & 0o777, device, dir_fd=above)
        else:
            raise Failure(f"unhandled tar header type {header.type.decode('latin-1')}")
        if self._owners:
            os.chown(leaf, header.uid, header.gid, dir_fd=above, follow_symlinks=False)

    def _directory(self, above: int, parts: list[bytes], header: tar.Header) -> None:
        try:
            os.mkdir(parts[-1], 0o700, dir_fd=above)
        except FileExistsError:
            found = os.stat(parts[-1], dir_fd=above, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                raise self._refusal("non-directory", parts, "directory") from None
        if self._owners:
            os.chown(parts[-1], header.uid, header.gid, dir_fd=above, follow_symlinks=False)
        self._times.append((parts, header))

    def _make_room(self, above: int, parts: list[bytes]) -> None:
        try:
            found = os.stat(parts[-1], dir_fd=above, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise self._refusal("directory", parts, "non-directory")
        os.unlink(parts[-1], dir_fd=above)

    def _link(self, above: int, leaf: bytes, target: list[bytes]) -> None:
        if not target:
            raise Failure("invalid hardlink in the archive")
        source = self._above(target[:-1])
        try:
            os.link(target[-1], leaf, src_dir_fd=source, dst_dir_fd=above, follow_symlinks=False)
        finally:
            os.close(source)

    def _above(self, parts: list[bytes]) -> int:
        """A descriptor of a folder, made if missing; the caller's to close."""
        fd = os.dup(self._root)
        for part in parts:
            try:
                try:
                    inner = os.open(part, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    os.mkdir(part, 0o755, dir_fd=fd)
                    inner = os.open(part, _FOLDER, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def _refusal(self, old: str, parts: list[bytes], new: str) -> Failure:
        path = os.path.join(self._shown, os.fsdecode(b"/".join(parts)))
        return Failure(f'cannot overwrite {old} "{path}" with {new} "{self._shown}"')


def _parts(name: bytes) -> list[bytes]:
    """Of a name without `.` and empty parts. Raises Failure for one that leads out."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Failure(f"invalid name in the archive: {os.fsdecode(name[:200])}")
    return parts
