"""A folder becomes a tar, always the same one for the same folder. Runs in a worker.

Two forms. As a *layer* the folder is overlayfs's and the tar is OCI's: a character device 0:0 called NAME becomes
`.wh.NAME`, an opaque folder gets `.wh..wh..opq`. As a *file system* (what `export` sends) it is what it is.

Order: the entries of a folder by name, each folder's content after it, breadth first within a folder. Kept:
owners, modes, times to the nanosecond, xattrs, hard links, devices. Sockets are left out, as everybody does.
The order and every byte are a promise: layers of committed images are stored as folders only, and their tar,
whose digest is in the image's config, is made here whenever somebody wants it (`rebuild.py`).
Nothing is looked up by a path twice, no link is followed, and only one folder is open at a time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.store.changes import is_opaque, is_whiteout
from sampan.wire import tar

Write = Callable[[bytes | memoryview], object]

_STRICT = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_PIECE: Final = 1 << 20
_OVERLAY = ("trusted.overlay.", "user.overlay.")
_BROKEN = ("trusted.overlay.redirect", "trusted.overlay.metacopy")
# A folder that a layer always has, and that says nothing.
_PLAIN_ROOT = (stat.S_IFDIR | 0o755, 0, 0)


class FolderPacker:
    """`run` once. `name` is the entry it is at; `content` are the bytes of files and links so far.

    Raises OSError; ProtocolError for what a layer's tar cannot say.
    """

    def __init__(
        self,
        kernel: Kernel,
        root: int,
        write: Write,
        *,
        layer: bool,
        folder_times: bool = True,
    ) -> None:
        self._folder_times = folder_times
        self.name = b""
        self.entries = 0
        self.content = 0
        self._kernel = kernel
        self._root = root
        self._write = write
        self._layer = layer
        self._links: dict[tuple[int, int], bytes] = {}
        self._buffer = bytearray(_PIECE)
        self._headers = bytearray()  # gathered, so that small files do not cost a write each

    def run(self) -> None:
        root = os.fstat(self._root)
        if (root.st_mode, root.st_uid, root.st_gid) != _PLAIN_ROOT:
            self._folder_header(self._root, b".", root)
        todo = [b""]
        while todo:
            folder = todo.pop()
            fd = self._kernel.openat2(self._root, folder or b".", _FOLDER, resolve=_STRICT)
            try:
                todo.extend(reversed(self._folder(fd, folder)))
            finally:
                os.close(fd)
        self._put(tar.END_OF_ARCHIVE)
        self._flush()

    def _folder(self, fd: int, folder: bytes) -> list[bytes]:
        """Everything in one folder; returns the folders in it, by name."""
        if self._layer and is_opaque(fd):
            self._whiteout((folder + b"/" if folder else b"") + _OPAQUE)
        inner = []
        with os.scandir(fd) as entries:
            names = sorted(os.fsencode(entry.name) for entry in entries)
        for name in names:
            self.name = path = folder + b"/" + name if folder else name
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # overlayfs lists the whiteouts of folders that only one layer has
            if stat.S_ISDIR(found.st_mode):
                inner.append(path)
            self._entry(fd, name, path, found)
        return inner

    def _entry(self, above: int, name: bytes, path: bytes, found: os.stat_result) -> None:
        if self._layer and is_whiteout(found):
            parent = path[: len(path) - len(name)]
            self._whiteout(parent + _WHITEOUT + name)
        elif self._layer and name.startswith(_WHITEOUT):
            raise ProtocolError("a layer cannot hold a file whose name begins with .wh.")
        elif stat.S_ISDIR(found.st_mode):
            fd = os.open(name, _FOLDER, dir_fd=above)
            try:
                self._folder_header(fd, path, found)
            finally:
                os.close(fd)
        elif not stat.S_ISSOCK(found.st_mode):
            self._file_entry(above, name, path, found)

    def _file_entry(self, above: int, name: bytes, path: bytes, found: os.stat_result) -> None:
        if found.st_nlink > 1:
            key = (found.st_dev, found.st_ino)
            first = self._links.setdefault(key, path)
            if first != path:
                self._header(path, tar.LINK, found, linkname=first)
                return
        if stat.S_ISREG(found.st_mode):
            self._regular(above, name, path)
        elif stat.S_ISLNK(found.st_mode):
            target = os.readlink(name, dir_fd=above)
            self._header(path, tar.SYMLINK, found, linkname=target)
            self.content += len(target)
        elif stat.S_ISFIFO(found.st_mode):
            self._header(path, tar.FIFO, found)
        else:
            kind = tar.CHARACTER if stat.S_ISCHR(found.st_mode) else tar.BLOCK_DEVICE
            device = (os.major(found.st_rdev), os.minor(found.st_rdev))
            self._header(path, kind, found, device=device)

    def _regular(self, above: int, name: bytes, path: bytes) -> None:
        try:
            fd = os.open(name, _READ, dir_fd=above)
        except FileNotFoundError:
            return  # whoever runs in there has removed it since
        try:
            found = os.fstat(fd)
            self._header(path, tar.FILE, found, size=found.st_size, xattrs=_xattrs(fd))
            self._content(fd, found.st_size)
        finally:
            os.close(fd)

    def _content(self, fd: int, size: int) -> None:
        """Exactly `size` bytes, whatever happens to the file meanwhile."""
        left = size
        view = memoryview(self._buffer)
        while left:
            count = os.readv(fd, [view[: min(left, _PIECE)]])
            if not count:
                if self._layer:
                    raise OSError(errno.EIO, "the file has become shorter")
                view[: min(left, _PIECE)] = bytes(min(left, _PIECE))
                count = min(left, _PIECE)
            left -= count
            if count < _PIECE and not left:
                self._put(view[:count])
            else:
                self._flush()
                self._write(view[:count])
        self._put(tar.padding(size))
        self.content += size

    def _folder_header(self, fd: int, path: bytes, found: os.stat_result) -> None:
        name, dated = path + b"/", self._folder_times
        self._header(name, tar.DIRECTORY, found, xattrs=_xattrs(fd), dated=dated)

    def _whiteout(self, path: bytes) -> None:
        self._put(tar.encode_header(tar.Header(path, tar.FILE, mode=0)))
        self.entries += 1

    def _header(
        self,
        path: bytes,
        kind: bytes,
        found: os.stat_result,
        *,
        size: int = 0,
        linkname: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: dict[bytes, bytes] | None = None,
        dated: bool = True,
    ) -> None:
        self._put(
            tar.encode_header(
                tar.Header(
                    path,
                    kind,
                    size=size,
                    mode=stat.S_IMODE(found.st_mode),
                    uid=found.st_uid,
                    gid=found.st_gid,
                    mtime_ns=found.st_mtime_ns if dated else 0,
                    linkname=linkname,
                    major=device[0],
                    minor=device[1],
                    xattrs=xattrs,
                )
            )
        )
        self.entries += 1

    def _put(self, data: bytes | memoryview) -> None:
        self._headers += data
        if len(self._headers) >= _PIECE:
            self._flush()

    def _flush(self) -> None:
        if self._headers:
            data, self._headers = self._headers, bytearray()
            self._write(memoryview(data))


def names_of_xattrs(fd: int) -> list[str]:
    """None where the file system has none. Raises OSError."""
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
            return []
        raise


def _xattrs(fd: int) -> dict[bytes, bytes] | None:
    """What belongs to the file and not to overlayfs or to this host's security policy."""
    found: dict[bytes, bytes] = {}
    for name in names_of_xattrs(fd):
        if name in _BROKEN:
            raise ProtocolError(f"a layer cannot say {name}: overlayfs has been told to use it")
        if name.startswith(_OVERLAY):
            continue
        if name.startswith("security.") and name != "security.capability":
            continue
        found[os.fsencode(name)] = os.getxattr(fd, name)
    return found or None
