"""Archives that come from the daemon: to a file, which is there when it is whole, or to standard output."""

from __future__ import annotations

import errno
import os
import stat

from sampan.cli.failure import Failure
from sampan.cli.output import STDOUT, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.cli.http import Response


# A file takes its place by its name: what is no file would be gone afterwards.
_REFUSED = {
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "character device file",
    stat.S_IFBLK: "block device file",
    stat.S_IFIFO: "named pipe (FIFO)",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "symbolic link directly",
}


def check_output(verb: str, path: str) -> None:
    """Refuse what cannot be written to before anything is asked for. Raises Failure with docker's texts."""
    if not path:
        if os.isatty(STDOUT):
            raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    folder = os.path.dirname(path) or "."
    try:
        mode = os.stat(folder).st_mode
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise Failure(f"failed to {verb}: invalid output path: stat {folder}: {reason}") from None
    try:
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return  # it is to be made
    if kind in _REFUSED:
        raise Failure(f"failed to {verb}: cannot write to a {_REFUSED[kind]}")


def receive(request: Callable[[], Response], path: str) -> None:
    """Write the answer to `request` to the file `path`, or to standard output when that is empty."""
    response = request()
    if not path:
        for piece in response.pieces():
            write_all(STDOUT, piece)
        return
    temporary, descriptor = f"{path}.{os.getpid()}.part", -1
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for piece in response.pieces():
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError as error:
        verb, name = ("open", temporary) if descriptor < 0 else ("write", path)
        raise Failure(f"{verb} {name}: {os.strerror(error.errno or 0).lower()}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
