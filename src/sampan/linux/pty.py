"""Pseudo-terminals by descriptor only: unlock, open the peer, set the size, take it as one's own.

Out of scope: finding the multiplexer (`runtime/terminal.py`) and moving bytes (`monitor`).
"""

from __future__ import annotations

import _struct as struct
import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel


def unlock(kernel: Kernel, master: int) -> None:
    kernel.ioctl(master, c.TIOCSPTLCK, struct.pack("=i", 0))


def open_peer(kernel: Kernel, master: int) -> int:
    """The other end, without a look-up by path that somebody could have bent (TIOCGPTPEER)."""
    return kernel.ioctl(master, c.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def set_size(kernel: Kernel, fd: int, rows: int, columns: int) -> None:
    kernel.ioctl(fd, c.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))


def make_controlling(kernel: Kernel, fd: int) -> None:
    """The caller must lead a session (setsid) that has no terminal yet."""
    kernel.ioctl(fd, c.TIOCSCTTY, 0)
