"""Paths in a container as `docker cp` means them, looked up below a root that somebody may be changing.

The last part of a path is not followed when it is a link, unless something stands behind it (`/` or `/.`).
Source: the Engine API's archive endpoints; what they leave open is dockerd's way.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections import deque
from typing import NamedTuple

from sampan.linux.inroot import open_in_root
from sampan.linux.kernel import Kernel
from sampan.linux.statfs import is_kernels_own

_FOLDER = os.O_PATH | os.O_DIRECTORY
_LINK_LIMIT = 255


class Place(NamedTuple):
    """`leaf` in the open folder `above`; an empty leaf is the folder itself. `name` is the caller's word for it."""

    above: int
    leaf: bytes
    name: str


def absolute(path: str) -> str:
    """Without `.` and `..`, but with the `/` or `/.` at its end."""
    cleaned = posixpath.normpath("/" + path).replace("//", "/")
    if posixpath.basename(path) == ".":
        cleaned = cleaned.rstrip("/") + "/."
    elif path.endswith("/") and cleaned != "/":
        cleaned += "/"
    return cleaned


def find(kernel: Kernel, root: int, path: str) -> Place:
    """Raises OSError; what lies in a file system of the kernel's own (/proc, /sys) is not there."""
    whole = absolute(path)
    folder, _, leaf = whole.rpartition("/")
    name = leaf or posixpath.basename(whole.rstrip("/")) or "/"
    above = open_in_root(kernel, root, folder, _FOLDER)
    refuse_kernels(above, path)
    return Place(above, b"" if leaf in ("", ".") else os.fsencode(leaf), name)


def refuse_kernels(fd: int, path: str) -> None:
    if is_kernels_own(fd):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def status(place: Place) -> os.stat_result:
    """Of the thing itself, not of what a link leads to."""
    if not place.leaf:
        return os.fstat(place.above)
    return os.stat(place.leaf, dir_fd=place.above, follow_symlinks=False)


def evaluate(kernel: Kernel, root: int, path: str) -> str:
    """The absolute path that `path` leads to, all links followed inside the root; what is missing stays as it is.

    A name, not a promise: whoever uses it looks it up again. Raises OSError (ELOOP).
    """
    done: list[str] = []
    todo = deque(path.split("/"))
    links = 0
    while todo:
        part = todo.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        target = _target(kernel, root, "/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        todo.extendleft(reversed(target.split("/")))
        if target.startswith("/"):
            done = []
    return "/" + "/".join(done)


def _target(kernel: Kernel, root: int, path: str) -> str | None:
    """What the link at `path` says; None when it is none, or nothing."""
    try:
        fd = open_in_root(kernel, root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    try:
        return kernel.readlinkat(fd, "") if stat.S_ISLNK(kernel.fstat(fd).st_mode) else None
    finally:
        kernel.close(fd)
