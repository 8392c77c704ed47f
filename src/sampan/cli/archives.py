"""Archives that come from the daemon: to a file, which is there when it is whole, or to standard output."""

from __future__ import annotations

import os

from sampan.cli.failure import Failure
from sampan.cli.output import STDOUT, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.cli.http import Response


def check_output(verb: str, path: str) -> None:
    """Refuse what cannot be written to before anything is asked for. Raises Failure with docker's texts."""
    if not path:
        if os.isatty(STDOUT):
            raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise Failure(f'failed to {verb}: invalid output path: directory "{folder}" does not exist')
    if os.path.isdir(path):
        raise Failure(f'failed to {verb}: invalid output path: "{path}" must be a regular file')


def receive(request: Callable[[], Response], path: str) -> None:
    """Write the answer to `request` to the file `path`, or to standard output when that is empty."""
    response = request()
    if not path:
        for piece in response.pieces():
            write_all(STDOUT, piece)
        return
    temporary = f"{path}.{os.getpid()}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for piece in response.pieces():
                write_all(descriptor, piece)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError as error:
        raise Failure(f"{error.strerror}: {path}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
