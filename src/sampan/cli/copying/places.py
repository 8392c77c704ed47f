"""Which file or folder a path of `cp` means, and what its copy is to be called. docker's rules.

A path that ends in `/` asserts a folder; one that ends in `/.` means what is in it.
"""

from __future__ import annotations

import os
import stat

from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Rename = Callable[[bytes], bytes]

_LINK_LIMIT = 10


class Place:
    """A local path or one in a container. `rename`: what the copy is called, when that is not the path's last part."""

    def __init__(
        self, path: str, *, exists: bool = False, is_folder: bool = False, rename: str = ""
    ) -> None:
        self.path = path
        self.exists = exists
        self.is_folder = is_folder
        self.rename = rename


def split_argument(argument: str) -> tuple[str, str]:
    """Container (empty: none) and path of `CONTAINER:PATH`."""
    container, colon, path = argument.partition(":")
    if argument.startswith("/") or not colon or container.startswith("."):
        return "", argument
    return container, path


def means_content(path: str) -> bool:
    return path.rpartition("/")[2] == "."


def asserts_folder(path: str) -> bool:
    return path.endswith("/") or means_content(path)


def clean(path: str) -> str:
    """Without `.`, `..` and double slashes, but with what stands at its end."""
    cleaned = os.path.normpath(path) if path else "."
    if means_content(path) and not means_content(cleaned):
        cleaned = cleaned.rstrip("/") + "/."
    elif path.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return cleaned


def local(path: str) -> str:
    """Absolute."""
    return clean(os.path.join(os.getcwd(), path) if path else os.getcwd())


def split(path: str) -> tuple[str, str]:
    """The folder, and the last part, which is `.` for what means a folder's content."""
    cleaned = os.path.normpath(path)
    if means_content(path):
        cleaned = cleaned.rstrip("/") + "/."
    folder, _, base = cleaned.rpartition("/")
    return folder or ("/" if cleaned.startswith("/") else "."), base or "/"


def check_output(path: str) -> None:
    """Raises Failure unless the folder that is to hold the copy is there, and nothing strange is at the path."""
    folder = os.path.dirname(os.path.normpath(path))
    if folder and not os.path.exists(folder):
        raise Failure(f'invalid output path: directory "{folder}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        raise Failure(
            f'invalid output path: "{path}" must be a directory or a regular file: got a device'
        )


def destination(path: str) -> Place:
    """Where a local copy goes, links followed. Raises Failure, OSError."""
    for _ in range(_LINK_LIMIT + 1):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            parent = split(path)[0]
            if not stat.S_ISDIR(os.stat(parent).st_mode):
                raise Failure("not a directory") from None
            return Place(path)
        if not stat.S_ISLNK(mode):
            return Place(path, exists=True, is_folder=stat.S_ISDIR(mode))
        path = os.path.join(split(path)[0], os.readlink(path.rstrip("/")))
    raise Failure(f"too many symlinks: {path}")


def source(path: str, *, follow: bool) -> Place:
    """What is to be copied of this side. Raises Failure when it is not there."""
    try:
        return _source(path, follow=follow)
    except OSError as error:
        raise Failure(f"lstat {error.filename}: {(error.strerror or '').lower()}") from None


def _source(path: str, *, follow: bool) -> Place:
    rename = ""
    if follow:
        resolved, rename = rename_of(path, os.path.realpath(path, strict=True))
    else:
        folder, _, base = path.rpartition("/")
        resolved = os.path.realpath(folder or "/", strict=True).rstrip("/") + "/" + base
        if path.endswith("/") and _last(path) != _last(resolved):
            rename = _last(path)
    mode = os.lstat(resolved).st_mode
    return Place(resolved, exists=True, is_folder=stat.S_ISDIR(mode), rename=rename)


def rename_of(path: str, resolved: str) -> tuple[str, str]:
    """`resolved`, where links led to, with the end of `path`; and the name that was asked for, if it is another."""
    if means_content(path) and not means_content(resolved):
        resolved = resolved.rstrip("/") + "/."
    if path.endswith("/") and not resolved.endswith("/"):
        resolved += "/"
    return resolved, _last(path) if _last(path) != _last(resolved) else ""


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or "/"


def plan(origin: Place, target: Place) -> tuple[str, Rename]:
    """The folder to unpack into, and how entries of the archive are called there. Raises Failure."""
    base = split(origin.path)[1]
    if target.exists and target.is_folder:
        new = origin.rename or base
        return target.path, renamer(base, new)
    if target.exists and origin.is_folder:
        raise Failure("cannot copy directory")
    if not target.exists and not origin.is_folder and asserts_folder(target.path):
        raise Failure("no such directory")
    folder, new = split(target.path)
    return folder, renamer(base, new)


def renamer(old: str, new: str) -> Rename:
    """Changes the first part of names."""
    before, after = (b"" if word == "/" else os.fsencode(word) for word in (old, new))

    def rename(name: bytes) -> bytes:
        if name == before or name.startswith(before + b"/"):
            return after + name[len(before) :]
        return name

    return rename
