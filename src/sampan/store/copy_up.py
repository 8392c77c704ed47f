"""Copies of trees, made by workers: a new volume gets what the image has there, a layer what a container wrote.

The image is an overlay that is mounted nowhere (`fsmount` gives a descriptor), its path is looked up by the
kernel inside that root, and the copy goes from descriptor to descriptor. Kept: owners, modes, times, xattrs,
hard links, devices. Sockets are left out. Nothing here trusts a name of the image. Where the file system can, files
are cloned (`FICLONE`), which copies nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections import deque

from sampan.linux import constants as c
from sampan.linux.inroot import open_in_root
from sampan.linux.kernel import Kernel
from sampan.linux.libc import Int, Libc, UInt, ULong
from sampan.store.changes import OPAQUE, open_lower

_STRICT = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 24
_FICLONE = 0x40049409  # linux/fs.h
_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h
_FOREIGN = ("trusted.overlay.", "user.overlay.", "security.selinux")
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def open_source(kernel: Kernel, lower: list[str], path: str) -> int | None:
    """The folder `path` of the image made of `lower`, topmost first; None when there is none."""
    root = open_lower(kernel, lower)
    if root is None:
        return None
    try:
        return open_in_root(kernel, root, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return None
    finally:
        os.close(root)


def copy_tree(kernel: Kernel, source: int, destination: int, *, layer: bool = False) -> None:
    """Copy everything below `source`, and the folder's own metadata, into the empty `destination`.

    A `layer` is overlayfs's: opaque folders stay opaque, and whoever writes into it meanwhile may take files away.
    """
    Copier(kernel, source, destination, layer=layer).run()


class Copier:
    """Breadth first, one folder open at a time on each side, whatever the depth."""

    def __init__(self, kernel: Kernel, source: int, destination: int, *, layer: bool) -> None:
        self._layer = layer
        self._kernel = kernel
        self._source = source
        self._destination = destination
        self._links: dict[tuple[int, int], bytes] = {}  # inode with several names → its first copy
        self._done: list[bytes] = []

    def run(self) -> None:
        todo = deque([b""])
        while todo:
            folder = todo.popleft()
            self._done.append(folder)
            source, destination = (
                self._open(self._source, folder),
                self._open(self._destination, folder),
            )
            try:
                todo.extend(self._folder(source, destination, folder))
            finally:
                os.close(source)
                os.close(destination)
        for folder in reversed(self._done):  # times last, children before their parents
            source, destination = (
                self._open(self._source, folder),
                self._open(self._destination, folder),
            )
            try:
                _copy_metadata(source, destination, layer=self._layer)
            finally:
                os.close(source)
                os.close(destination)

    def _open(self, root: int, name: bytes) -> int:
        return self._kernel.openat2(root, name or b".", _FOLDER, resolve=_STRICT)

    def _folder(self, source: int, destination: int, folder: bytes) -> list[bytes]:
        """Copy what is in one folder; returns the folders found, already made."""
        inner = []
        with os.scandir(source) as entries:
            names = [os.fsencode(entry.name) for entry in entries]
        for name in names:
            try:
                found = os.stat(name, dir_fd=source, follow_symlinks=False)
            except FileNotFoundError:
                continue  # overlayfs lists the whiteouts of folders that only one layer has
            path = folder + b"/" + name if folder else name
            if stat.S_ISDIR(found.st_mode):
                os.mkdir(name, 0o700, dir_fd=destination)
                inner.append(path)
            elif found.st_nlink > 1 and (found.st_dev, found.st_ino) in self._links:
                self._link(self._links[found.st_dev, found.st_ino], destination, name)
            elif self._copy(found, source, destination, name) and found.st_nlink > 1:
                self._links[found.st_dev, found.st_ino] = path
        return inner

    def _copy(self, found: os.stat_result, source: int, destination: int, name: bytes) -> bool:
        """False: it has gone meanwhile."""
        try:
            _copy_entry(found, source, destination, name)
        except FileNotFoundError:
            if not self._layer:
                raise
            return False
        return True

    def _link(self, first: bytes, destination: int, name: bytes) -> None:
        folder, _, leaf = first.rpartition(b"/")
        above = self._open(self._destination, folder)
        try:
            os.link(leaf, name, src_dir_fd=above, dst_dir_fd=destination, follow_symlinks=False)
        finally:
            os.close(above)


def _copy_entry(found: os.stat_result, source: int, destination: int, name: bytes) -> None:
    if stat.S_ISREG(found.st_mode):
        reader = os.open(name, _READ, dir_fd=source)
        try:
            writer = os.open(name, _WRITE, 0o600, dir_fd=destination)
            try:
                if not _clone(writer, reader):
                    _copy_content(writer, reader)
                _copy_metadata(reader, writer)
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        return
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=destination)
    elif stat.S_ISSOCK(found.st_mode):
        return
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=destination)
    os.chown(name, found.st_uid, found.st_gid, dir_fd=destination, follow_symlinks=False)
    times = (found.st_atime_ns, found.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=destination, follow_symlinks=False)


def _copy_content(writer: int, reader: int) -> None:
    """Large files begin to go to the disk while they are copied and digested, so that the sync at the end is short."""
    if os.fstat(reader).st_size < _PIECE:
        while os.sendfile(writer, reader, None, _PIECE):
            pass
        return
    sync_file_range = Libc().function("sync_file_range", Int, ULong, ULong, UInt)
    done = 0
    while count := os.sendfile(writer, reader, None, _PIECE):
        if count == _PIECE:
            # Advice, whose failure says nothing: whoever asked for the copy syncs what must be on the disk.
            sync_file_range(writer, done, count, _SYNC_FILE_RANGE_WRITE)
        done += count


def _clone(writer: int, reader: int) -> bool:
    """Share the blocks, where the file system can (btrfs, XFS)."""
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL):
            return False
        raise
    return True


def _copy_metadata(source: int, destination: int, *, layer: bool = False) -> None:
    """Owner, mode, xattrs and times, from descriptor to descriptor."""
    found = os.fstat(source)
    os.fchown(destination, found.st_uid, found.st_gid)
    os.fchmod(destination, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if name.startswith(_FOREIGN) and not (layer and name == OPAQUE):
            continue
        try:
            os.setxattr(destination, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
    os.utime(destination, ns=(found.st_atime_ns, found.st_mtime_ns))
