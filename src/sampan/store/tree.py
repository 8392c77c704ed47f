"""Whole trees by descriptor: remove one, measure one. For worker roles: no path is ever looked up twice, no
link followed, and depth costs neither descriptors nor stack, since who made the tree may have meant harm.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

DEPTH_LIMIT = 256  # levels that `usage` goes down; PATH_MAX lets a plain path have 2047

_SECTOR = 512  # the unit of st_blocks, whatever the file system's is
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Remover:
    """Removes trees below `top_fd`, a folder on the same file system that may be used as a bench.

    A tree is flattened as it is removed: folders found inside are renamed to the bench first. So
    a tree of any depth needs two descriptors, and every entry is touched at most twice.
    """

    def __init__(self, top_fd: int, prefix: bytes = b".rm-") -> None:
        self._top = top_fd
        self._prefix = prefix + os.urandom(6).hex().encode()
        self._count = 0

    def remove(self, parent_fd: int, name: bytes) -> None:
        """Remove `name` in `parent_fd`, whatever it is. No error when it is gone."""
        try:
            os.unlink(name, dir_fd=parent_fd)
            return
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):  # EPERM: POSIX's answer for a folder
            pass
        todo: list[bytes] = []
        self._to_bench(todo, parent_fd, name)
        while todo:
            try:
                self._empty(todo, todo[-1])
            except FileNotFoundError:  # another remover is at work on the same bench
                todo.pop()

    def _empty(self, todo: list[bytes], name: bytes) -> None:
        """Remove what is in the folder `name` of the bench, folders by putting them on `todo`."""
        fd = os.open(name, _DIRECTORY, dir_fd=self._top)
        try:
            os.fchmod(fd, 0o700)  # for a remover that is not root
            with os.scandir(fd) as entries:
                names = [
                    (os.fsencode(entry.name), entry.is_dir(follow_symlinks=False))
                    for entry in entries
                ]
            for inner, is_directory in names:
                if not is_directory:
                    _unlink(fd, inner)
                elif not _rmdir(fd, inner):
                    self._to_bench(todo, fd, inner)
        finally:
            os.close(fd)
        if todo[-1] == name and _rmdir(self._top, name):
            todo.pop()

    def _to_bench(self, todo: list[bytes], parent_fd: int, name: bytes) -> None:
        self._count += 1
        target = b"%s-%d" % (self._prefix, self._count)
        try:
            os.rename(name, target, src_dir_fd=parent_fd, dst_dir_fd=self._top)
        except FileNotFoundError:
            return
        todo.append(target)


def _unlink(fd: int, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass


def _rmdir(fd: int, name: bytes) -> bool:
    """Whether it is gone now; False when it still holds something."""
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


class Usage(NamedTuple):
    size: int  # bytes of file content, hard links once, as `docker ps -s` counts
    inodes: int
    disk: int  # bytes of the disk, folders and the top included, as du(1) counts


def usage(root_fd: int) -> Usage:
    """What is below a folder. Folders deeper than DEPTH_LIMIT are not entered."""
    size = inodes = 0
    disk = os.fstat(root_fd).st_blocks * _SECTOR
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[int, list[bytes]]] = []
    fd: int | None = os.open(b".", _DIRECTORY, dir_fd=root_fd)
    try:
        while fd is not None:
            folders: list[bytes] = []
            stack.append((fd, folders))
            for found in _entries(fd, folders):
                if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                    if (found.st_dev, found.st_ino) in seen:
                        continue
                    seen.add((found.st_dev, found.st_ino))
                inodes += 1
                disk += found.st_blocks * _SECTOR
                size += 0 if stat.S_ISDIR(found.st_mode) else found.st_size
            fd = _next_folder(stack)
    finally:
        for left, _ in stack:
            os.close(left)
    return Usage(size, inodes, disk)


def _entries(fd: int, folders: list[bytes]) -> Iterator[os.stat_result]:
    """What is in a folder; the names of the folders among it are added to `folders`."""
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # somebody is at work in there
            if stat.S_ISDIR(found.st_mode):
                folders.append(os.fsencode(entry.name))
            yield found


def _next_folder(stack: list[tuple[int, list[bytes]]]) -> int | None:
    """Open the next folder to look into; closes and drops what is done."""
    while stack:
        fd, folders = stack[-1]
        while folders and len(stack) < DEPTH_LIMIT:
            try:
                return os.open(folders.pop(), _DIRECTORY, dir_fd=fd)
            except OSError as error:  # gone, or something else by now
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
        os.close(stack.pop()[0])
    return None
