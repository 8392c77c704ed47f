"""What a container changed in its file system: its writable layer compared with the layers below. Runs in a worker.

The writable layer is overlayfs's: what is in it was added or changed, a character device 0:0 is a deletion, an
opaque folder hides all that the layers below have there. Names are looked up beneath their roots, links never
followed. The answer is written to a descriptor as `KIND PATH NUL`…, KIND being Docker's 0 (changed), 1 (added),
2 (deleted).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sampan.linux import constants as c
from sampan.linux.filesystems import make_overlay
from sampan.linux.kernel import Kernel

MODIFIED, ADDED, DELETED = 0, 1, 2
OPAQUE = "trusted.overlay.opaque"

_STRICT = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
# Where the runtime mounts something; what it had to make for that is not the container's doing.
_PLACES = frozenset(
    (
        *(b"dev", b"proc", b"sys", b"dev/pts", b"dev/shm", b"dev/mqueue", b"dev/console"),
        *(b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"etc/mtab"),
        b".dockerenv",
    )
)
_PARENTS = frozenset((b"etc", b"dev"))


class Change(NamedTuple):
    kind: int
    path: bytes  # relative


def open_lower(kernel: Kernel, folders: list[str]) -> int | None:
    """The layers below as one read-only tree, topmost first; None when there is none."""
    if not folders:
        return None
    if len(folders) == 1:  # overlayfs wants two layers when nothing is writable
        return os.open(folders[0], _FOLDER)
    return make_overlay(kernel, [*(f"lowerdir={folder}" for folder in folders), "ro"], 0)


def find_changes(kernel: Kernel, upper: int, lower: int | None) -> list[Change]:
    """Sorted by path. Folders that only hold changes are among them, as modified."""
    comparison = _Comparison(kernel, upper, lower)
    comparison.run()
    return [Change(kind, path) for path, kind in sorted(comparison.found.items())]


def remove_places(kernel: Kernel, upper: int, lower: int | None) -> None:
    """Take away what the runtime made to mount something on, where the layers below have nothing of that name."""
    comparison = _Comparison(kernel, upper, lower)
    for path in sorted(_PLACES, key=len, reverse=True):
        comparison.remove_place(path)
    for path in sorted(_PARENTS):
        comparison.remove_parent(path)


def encode(changes: list[Change]) -> bytes:
    return b"".join(b"%d %b\0" % (kind, path) for kind, path in changes)


def decode(data: bytes) -> list[Change]:
    return [Change(int(item[:1]), item[2:]) for item in data.split(b"\0") if item]


class _Comparison:
    def __init__(self, kernel: Kernel, upper: int, lower: int | None) -> None:
        self._kernel = kernel
        self._upper = upper
        self._lower = lower
        self.found: dict[bytes, int] = {}

    def run(self) -> None:
        todo: deque[tuple[bytes, bool]] = deque([(b"", self._lower is not None)])
        while todo:
            folder, has_lower = todo.popleft()
            todo.extend(self._folder(folder, has_lower))

    def _folder(self, folder: bytes, has_lower: bool) -> list[tuple[bytes, bool]]:
        """Compare what is directly in it; returns the folders in it, and whether anything is below them."""
        inner = []
        fd = self._kernel.openat2(self._upper, folder or b".", _FOLDER, resolve=_STRICT)
        try:
            opaque = has_lower and is_opaque(fd)
            names = sorted(_names(fd))
            for name in names:
                path = folder + b"/" + name if folder else name
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                below = self._below(path) if has_lower else None
                if is_whiteout(status):
                    if below is not None:
                        self._add(path, DELETED)
                    continue
                if below is None:
                    if not _is_place(path, status):
                        self._add(path, ADDED)
                elif _differs(path, status, below):
                    self._add(path, MODIFIED)
                if stat.S_ISDIR(status.st_mode):
                    inner.append((path, below is not None and stat.S_ISDIR(below.st_mode)))
        finally:
            os.close(fd)
        if opaque:
            self._hidden(folder, frozenset(names))
        return inner

    def remove_place(self, path: bytes) -> None:
        """An empty file or folder."""
        above, _, name = path.rpartition(b"/")
        status = _beneath(self._kernel, self._upper, path)
        if status is None or not _is_place(path, status):
            return
        if self._lower is not None and self._below(path) is not None:
            return
        self._remove(above, name, status)

    def remove_parent(self, path: bytes) -> None:
        """A folder that was copied up, empty again, and otherwise what it is below."""
        status = _beneath(self._kernel, self._upper, path)
        below = self._below(path) if self._lower is not None else None
        if status is None or below is None or not stat.S_ISDIR(status.st_mode):
            return
        if not _differs(path, status, below) and not self._is_opaque(path):
            self._remove(b"", path, status)

    def _is_opaque(self, path: bytes) -> bool:
        fd = self._kernel.openat2(self._upper, path, _FOLDER, resolve=_STRICT)
        try:
            return is_opaque(fd)
        finally:
            os.close(fd)

    def _remove(self, above: bytes, name: bytes, status: os.stat_result) -> None:
        fd = self._kernel.openat2(self._upper, above or b".", _FOLDER, resolve=_STRICT)
        try:
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=fd)
            else:
                os.unlink(name, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            os.close(fd)

    def _hidden(self, folder: bytes, kept: frozenset[bytes]) -> None:
        assert self._lower is not None
        below = self._kernel.openat2(self._lower, folder or b".", _FOLDER, resolve=_STRICT)
        try:
            for name in _names(below):
                path = folder + b"/" + name if folder else name
                if name not in kept and self._below(path) is not None:
                    self._add(path, DELETED)
        finally:
            os.close(below)

    def _add(self, path: bytes, kind: int) -> None:
        self.found[path] = kind
        parent = path.rpartition(b"/")[0]
        while parent and parent not in self.found:
            self.found[parent] = MODIFIED
            parent = parent.rpartition(b"/")[0]

    def _below(self, path: bytes) -> os.stat_result | None:
        assert self._lower is not None
        found = _beneath(self._kernel, self._lower, path)
        return None if found is None or is_whiteout(found) else found


def _beneath(kernel: Kernel, root: int, path: bytes) -> os.stat_result | None:
    """What is at `path`, without following a link; None when nothing is."""
    try:
        fd = kernel.openat2(root, path, _LOOK, resolve=_STRICT)
    except OSError as error:
        if error.errno not in (*_ABSENT, errno.ELOOP):
            raise
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def is_opaque(folder: int) -> bool:
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return False


def is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _names(folder: int) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield os.fsencode(entry.name)


def _is_place(path: bytes, status: os.stat_result) -> bool:
    if path == b"etc/mtab":
        return stat.S_ISLNK(status.st_mode)
    empty_file = stat.S_ISREG(status.st_mode) and not status.st_size
    return path in _PLACES and (empty_file or stat.S_ISDIR(status.st_mode))


def _differs(path: bytes, status: os.stat_result, below: os.stat_result) -> bool:
    """A folder is copied up for what is in it; only then is it a change of its own when its attributes differ."""
    if not (stat.S_ISDIR(status.st_mode) and stat.S_ISDIR(below.st_mode)):
        return True
    same = (status.st_mode, status.st_uid, status.st_gid) == (
        below.st_mode,
        below.st_uid,
        below.st_gid,
    )
    if path in _PARENTS:  # their times change when the runtime makes a place in them
        return not same
    return not (same and status.st_mtime_ns == below.st_mtime_ns)
