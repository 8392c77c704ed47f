"""A tree as a tar stream, from descriptor to descriptor: for `cp` out of a container, and whoever needs a tree packed.

Nothing is looked up twice, no link is followed, nothing but regular files is opened; so whoever changes the tree
meanwhile spoils the copy, and nothing else. A file that shrinks is filled up with zeros. Sockets are left out, hard
links are kept. Parents come before what is in them, names in order. Of the kernel's own file systems only the folder
that they are mounted on is packed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.linux.statfs import is_kernels_own
from sampan.store.layer_pack import names_of_xattrs
from sampan.wire import tar

_STRICT = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 1 << 24
_CACHE_LIMIT = 16  # folders kept open
_TYPES = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Packer:
    """`pack` as often as wanted, then `finish`. `output` is a blocking pipe or file.

    `hidden`: device and inode of folders whose content is left out.
    """

    def __init__(
        self, kernel: Kernel, output: int, *, hidden: Collection[tuple[int, int]] = ()
    ) -> None:
        self._hidden = hidden
        self._kernel = kernel
        self._output = output
        self._buffer = bytearray()
        self._links: dict[tuple[int, int], bytes] = {}  # inode with several names → its first one
        self._root = -1
        self._folders: dict[bytes, int] = {}

    def pack(self, above: int, leaf: bytes, name: bytes) -> None:
        """`leaf` in the folder `above` (empty: the folder itself) with all that is in it, as `name`.

        Raises OSError.
        """
        self._root = above
        todo: list[tuple[bytes, bytes]] = [(leaf, name)]
        try:
            while todo:
                path, shown = todo.pop()
                try:
                    inner = self._entry(path, shown)
                except OSError as error:
                    if error.errno not in _GONE or path == leaf:
                        raise
                    continue  # removed, or exchanged, a moment ago
                base = shown if shown.endswith(b"/") else shown + b"/"
                todo += [(path + b"/" + each if path else each, base + each) for each in inner]
        finally:
            for fd in self._folders.values():
                os.close(fd)
            self._folders.clear()

    def finish(self) -> None:
        self._write(tar.END_OF_ARCHIVE)
        self._flush()

    def _entry(self, path: bytes, name: bytes) -> list[bytes]:
        """Pack one thing; returns the names in it, last first, when it is a folder."""
        above, _, leaf = path.rpartition(b"/")
        fd = self._kernel.openat2(self._folder(above), leaf or b".", _LOOK, resolve=_STRICT)
        try:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode):
                self._file(fd, found, name)
            elif stat.S_ISDIR(found.st_mode):
                return self._directory(fd, found, name)
            elif not stat.S_ISSOCK(found.st_mode):
                target = os.readlink(b"", dir_fd=fd) if stat.S_ISLNK(found.st_mode) else b""
                self._header(found, name, linkname=target)
        finally:
            os.close(fd)
        return []

    def _folder(self, path: bytes) -> int:
        if not path:
            return self._root
        fd = self._folders.pop(path, None)
        if fd is None:
            fd = self._kernel.openat2(self._root, path, _FOLDER, resolve=_STRICT)
        self._folders[path] = fd  # the youngest is last
        if len(self._folders) > _CACHE_LIMIT:
            os.close(self._folders.pop(next(iter(self._folders))))
        return fd

    def _directory(self, fd: int, found: os.stat_result, name: bytes) -> list[bytes]:
        self._header(found, name if name.endswith(b"/") else name + b"/")
        if (found.st_dev, found.st_ino) in self._hidden or is_kernels_own(fd):
            return []
        folder = os.open(f"/proc/self/fd/{fd}", _FOLDER & ~os.O_NOFOLLOW)
        try:
            with os.scandir(folder) as entries:
                return sorted((os.fsencode(entry.name) for entry in entries), reverse=True)
        finally:
            os.close(folder)

    def _file(self, fd: int, found: os.stat_result, name: bytes) -> None:
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                self._header(found, name, kind=tar.LINK, linkname=first)
                return
        # The link of /proc leads to the file that was looked at, whatever its name leads to by now.
        source = os.open(f"/proc/self/fd/{fd}", _READ)
        try:
            self._header(found, name, size=found.st_size, xattrs=_xattrs(source))
            self._content(source, found.st_size)
        finally:
            os.close(source)

    def _content(self, source: int, size: int) -> None:
        left = size
        if left <= len(_ZEROS):  # not worth a system call of its own
            data = os.read(source, left) if left else b""
            self._write(data)
            left -= len(data)
        while left:
            self._flush()
            sent = os.sendfile(self._output, source, None, min(left, _PIECE))
            if not sent:
                break
            left -= sent
        while left:
            self._write(_ZEROS[: min(left, len(_ZEROS))])
            left -= min(left, len(_ZEROS))
        self._write(tar.padding(size))

    def _header(
        self,
        found: os.stat_result,
        name: bytes,
        *,
        kind: bytes = b"",
        size: int = 0,
        linkname: bytes = b"",
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
        header = tar.Header(
            name,
            kind or _TYPES[stat.S_IFMT(found.st_mode)],
            size=size,
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            mtime_ns=found.st_mtime_ns,
            linkname=linkname,
            major=os.major(found.st_rdev) if device else 0,
            minor=os.minor(found.st_rdev) if device else 0,
            xattrs=xattrs,
        )
        self._write(tar.encode_header(header))

    def _write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= len(_ZEROS):
            self._flush()

    def _flush(self) -> None:
        data = memoryview(bytes(self._buffer))
        self._buffer.clear()
        while data:
            data = data[os.write(self._output, data) :]


_ZEROS = bytes(1 << 16)


def _xattrs(fd: int) -> dict[bytes, bytes] | None:
    """Capabilities, which make a file what it is, and the user's own."""
    names = names_of_xattrs(fd)
    wanted = [n for n in names if n == "security.capability" or n.startswith("user.")]
    return {os.fsencode(name): os.getxattr(fd, name) for name in wanted} or None
