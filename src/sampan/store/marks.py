"""What the layer of a container has from the start, as docker's: /.dockerenv, an empty file by which programs
know that they run in a container, and /etc/mtab, a link to what is mounted.

An image that has a file of such a name, or has deleted one, keeps its own; so does the container.
"""

from __future__ import annotations

import errno
import os
import stat

ENVIRONMENT = ".dockerenv"
MOUNTS = "etc/mtab"
_TARGET = "/proc/mounts"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWN = ("trusted.overlay.", "user.overlay.")


def put_marks(folder: str, below: list[str]) -> None:
    """`folder` becomes the writable layer above the folders of layers, topmost first."""
    if not _anywhere(ENVIRONMENT, folder, below):
        fd = os.open(os.path.join(folder, ENVIRONMENT), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
        os.fchmod(fd, 0o755)
        os.close(fd)
    # Links are not followed: an image whose /etc is one has no place for it.
    if not _anywhere(MOUNTS, folder, below) and _make_etc(os.path.join(folder, "etc"), below):
        os.symlink(_TARGET, os.path.join(folder, MOUNTS))


def weight(folder: str) -> int:
    """Bytes of these in a container's layer, which are not what the container has written."""
    try:
        etc = os.open(os.path.join(folder, "etc"), _FOLDER)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return 0
    try:
        return len(_TARGET) if os.readlink("mtab", dir_fd=etc) == _TARGET else 0
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        return 0
    finally:
        os.close(etc)


def _anywhere(name: str, folder: str, below: list[str]) -> bool:
    return any(os.path.lexists(os.path.join(each, name)) for each in (folder, *below))


def _make_etc(path: str, below: list[str]) -> bool:
    """The folder as overlayfs would copy it up; False where the image has none."""
    if os.path.lexists(path):
        return os.path.isdir(path) and not os.path.islink(path)
    for layer in below:
        source = os.path.join(layer, "etc")
        if not os.path.lexists(source):
            continue
        found = os.lstat(source)
        if not stat.S_ISDIR(found.st_mode):
            return False
        os.mkdir(path)
        _copy_attributes(source, path, found)
        return True
    return False


def _copy_attributes(source: str, path: str, found: os.stat_result) -> None:
    os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(_OWN):
            os.setxattr(path, name, os.getxattr(source, name))
