"""Standard output and error as descriptors: bytes leave when they are written, whole or not at all.

`sys.stdout` is not used because it buffers, and because it decodes and encodes.
"""

from __future__ import annotations

import os

from sampan.cli.failure import Failure

STDOUT = 1
STDERR = 2


def encode(text: str) -> bytes:
    """The text as it came: arguments that are no UTF-8 reach us with surrogates (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, also to a descriptor that somebody else made non-blocking.

    Raises BrokenPipeError; OSError, which for standard output is a Failure with docker's text."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            _wait_writable(descriptor)
        except BrokenPipeError:
            raise
        except OSError as error:
            if descriptor != STDOUT:
                raise
            raise Failure(f"write /dev/stdout: {os.strerror(error.errno or 0).lower()}") from None


def out(text: str) -> None:
    """Print a line's text to standard output; the newline is the caller's."""
    write_all(STDOUT, encode(text))


def error(text: str) -> None:
    write_all(STDERR, encode(text))


def warn(text: str) -> None:
    """A line in the form of docker's logger (logrus without a terminal)."""
    error(f"{_log_prefix('warning')} msg={quote_log(text)}\n")


def log_error(text: str) -> None:
    error(f"{_log_prefix('error')} msg={quote_log(text)}\n")


def quote_log(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _log_prefix(level: str) -> str:
    import time

    return f'time="{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}" level={level}'


def _wait_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
