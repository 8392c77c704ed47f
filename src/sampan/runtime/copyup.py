"""`tmpcopyup`: a tmpfs begins with what the image has in its place.

The image's files are hostile: nothing is opened but plain files and folders, no link is followed, and each look-up
starts at the descriptor of its folder.
"""

from __future__ import annotations

import os
import stat

from sampan.linux.kernel import Kernel

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_DEEPEST = 256


def copy_tree(kernel: Kernel, place: int, target: int) -> None:
    """From the folder `place` into the fresh file system `target`; both may be O_PATH. Hard links become copies."""
    source = os.open(".", _FOLDER, dir_fd=place)
    try:
        root = os.open(".", _FOLDER, dir_fd=target)
        try:
            _copy_folder(kernel, source, root, 0)
        finally:
            os.close(root)
    finally:
        os.close(source)


def _copy_folder(kernel: Kernel, source: int, target: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise OSError(40, "too many folders in one another", "tmpcopyup")
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            inner = os.open(name, _FOLDER, dir_fd=source)
            made = os.open(name, _FOLDER, dir_fd=target)
            try:
                _copy_folder(kernel, inner, made, depth + 1)
            finally:
                os.close(inner)
                os.close(made)
        elif kind == stat.S_IFREG:
            _copy_file(name, source, target)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            kernel.mknodat(target, name, status.st_mode, status.st_rdev)
        _give_status(name, target, status)
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    if depth:
        os.fchmod(target, stat.S_IMODE(status.st_mode))  # the root has its own option for it


def _copy_file(name: str, source: int, target: int) -> None:
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    reader = os.open(name, os.O_RDONLY | flags, dir_fd=source)
    try:
        if not stat.S_ISREG(os.fstat(reader).st_mode):
            raise OSError(11, "changed while it was copied", name)
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(writer, reader, None, _CHUNK):
                pass
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _give_status(name: str, target: int, status: os.stat_result) -> None:
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
