"""What v1 and v2 share: making and removing folders, carrying out a plan of writes."""

from __future__ import annotations

import errno
import os
import time

from sampan.linux.cgroup import files
from sampan.linux.cgroup.resources import Pair, Step, Write
from sampan.spec.typing import Callable

FolderOf = Callable[[str], str | None]


def make_folders(mountpoint: str, folder: str) -> list[str]:
    """Make `folder` and its missing parents; returns the parents that were made."""
    try:
        os.mkdir(folder, 0o755)
        return []
    except FileExistsError:
        return []
    except FileNotFoundError:
        pass
    made: list[str] = []
    # A parent may be removed, empty, by somebody else between our two calls.
    for _ in range(10):
        made += _make_parents(mountpoint, os.path.dirname(folder))
        try:
            os.mkdir(folder, 0o755)
            return made
        except FileExistsError:
            return made
        except FileNotFoundError:
            continue
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), folder)


def _make_parents(mountpoint: str, parent: str) -> list[str]:
    made = []
    current = mountpoint
    for part in parent[len(mountpoint) :].strip("/").split("/"):
        current = f"{current}/{part}"
        try:
            os.mkdir(current, 0o755)
            made.append(current)
        except (FileExistsError, FileNotFoundError):
            continue
    return made


def remove_folders(folders: list[str], parents: list[str]) -> None:
    """Remove all of `folders`, then the empty ones of `parents`; then raise the first failure."""
    failure: OSError | None = None
    until = time.monotonic() + files.REMOVE_DEADLINE
    for folder in folders:
        try:
            files.remove_tree(folder, until)
        except OSError as error:
            failure = failure or error
    for parent in sorted(parents, key=len, reverse=True):
        try:
            os.rmdir(parent)
        except OSError:
            pass  # somebody else's containers are in it, or it is gone
    if failure is not None:
        raise failure


def apply_step(step: Step, folder_of: FolderOf, *, fresh: bool) -> list[str]:
    if isinstance(step, Write):
        return _apply_write(step, folder_of, fresh=fresh)
    return _apply_pair(step, folder_of, fresh=fresh)


def _apply_pair(pair: Pair, folder_of: FolderOf, *, fresh: bool) -> list[str]:
    try:
        warnings = _apply_write(pair.first, folder_of, fresh=fresh)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        warnings = _apply_write(pair.second, folder_of, fresh=False)
        return warnings + _apply_write(pair.first, folder_of, fresh=False)
    return warnings + _apply_write(pair.second, folder_of, fresh=fresh)


def _apply_write(write: Write, folder_of: FolderOf, *, fresh: bool) -> list[str]:
    if fresh and write.value == write.default:
        return []
    folder = folder_of(write.controller)
    if folder is not None and write.file:
        try:
            files.write_text(f"{folder}/{write.file}", write.value)
            return []
        except FileNotFoundError:
            if not os.path.isdir(folder):
                raise
    if write.otherwise is not None:
        return _apply_write(write.otherwise, folder_of, fresh=fresh)
    return [write.missing] if write.missing else []


def kill_at_once(folder: str) -> bool:
    """`cgroup.kill` (kernel 5.14) kills the whole tree, and what is just being forked in it."""
    try:
        files.write_text(folder + "/cgroup.kill", "1")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
            return False
        raise
    return True
