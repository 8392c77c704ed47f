"""One's own terminal and a container's, joined: for the runtime's command, which has no monitor."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import termios
import tty
from contextlib import contextmanager
from types import FrameType

from sampan.linux import signals as signal
from sampan.spec.typing import Iterator

_CHUNK = 65536


def own_size() -> tuple[int, int] | None:
    """Rows and columns of stdin's terminal; None when it is none."""
    try:
        answer = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return None
    rows, columns, _, _ = struct.unpack("HHHH", answer)
    return rows, columns


@contextmanager
def _raw(console: int) -> Iterator[None]:
    """Keys go to the container as they are, and so does a new size."""

    def resize(_number: int, _frame: FrameType | None) -> None:
        size = own_size()
        if size is not None:
            fcntl.ioctl(console, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    previous = signal.signal(signal.SIGWINCH, resize)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSAFLUSH, before)
        signal.signal(signal.SIGWINCH, previous)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])


def relay(console: int) -> None:
    """stdin to the terminal and the terminal to stdout, until nobody holds the other end any more."""
    sources = [0, console]
    with _raw(console):
        while True:
            ready, _, _ = select.select(sources, [], [])
            if 0 in ready:
                data = os.read(0, _CHUNK)
                if data:
                    _write_all(console, data)
                else:
                    sources.remove(0)
            if console in ready:
                try:
                    data = os.read(console, _CHUNK)
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise
                    return
                _write_all(1, data)
