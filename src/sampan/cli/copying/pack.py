"""Local files as a tar stream: a generator of pieces. Links are packed as links, sockets are left out."""

from __future__ import annotations

import os
import stat

from sampan.wire import tar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.cli.copying.places import Rename

_PIECE = 1 << 20
_TYPES = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


def pack(folder: str, base: str, rename: Rename) -> Iterator[bytes]:
    """`base` in `folder` and everything in it; `base` may be `.`. Raises OSError."""
    links: dict[tuple[int, int], bytes] = {}
    todo = [os.fsencode(base)]
    root = os.fsencode(folder)
    while todo:
        name = todo.pop()
        path = os.path.join(root, name)
        found = os.lstat(path)
        yield from _entry(path, found, rename(name), links)
        if stat.S_ISDIR(found.st_mode):
            todo += [name + b"/" + each for each in sorted(os.listdir(path), reverse=True)]
    yield tar.END_OF_ARCHIVE


def _entry(
    path: bytes, found: os.stat_result, name: bytes, links: dict[tuple[int, int], bytes]
) -> Iterator[bytes]:
    kind = _TYPES.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return
    header = tar.Header(
        name + b"/" if kind == tar.DIRECTORY else name,
        kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
    )
    if kind == tar.SYMLINK:
        header.linkname = os.readlink(path)
    elif kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
        header.major, header.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    elif kind == tar.FILE:
        first = links.setdefault((found.st_dev, found.st_ino), name) if found.st_nlink > 1 else name
        if first != name:
            header.type, header.linkname = tar.LINK, first
        else:
            yield from _file(path, header)
            return
    yield tar.encode_header(header)


def _file(path: bytes, header: tar.Header) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        header.size = left = os.fstat(fd).st_size
        yield tar.encode_header(header)
        while left:
            piece = os.read(fd, min(left, _PIECE)) or bytes(min(left, _PIECE))  # it has shrunk
            left -= len(piece)
            yield piece
    finally:
        os.close(fd)
    yield tar.padding(header.size)
