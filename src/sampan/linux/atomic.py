"""Files that are the old or the new one, never between: stage, fsync, rename, fsync the folder."""

from __future__ import annotations

import os


def fsync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` with `data`; after return it survives a power cut, on error the old stands."""
    staged = f"{path}.{os.getpid()}.new"
    # A left-over of a process that died and had our pid is only rubbish: nobody reads it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(staged, flags, mode)
    try:
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(staged, path)
    except BaseException:
        os.unlink(staged)
        raise
    fsync_directory(os.path.dirname(path) or ".")
