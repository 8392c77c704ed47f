"""inotify(7) of one folder: a descriptor that turns readable when something in it changed.

What changed is not looked at: whoever waits looks for himself.
"""

from __future__ import annotations

import ctypes
import os

IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_init1.restype = ctypes.c_int
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.inotify_add_watch.restype = ctypes.c_int


def watch(folder: str, events: int = IN_MODIFY | IN_CREATE | IN_MOVED_TO) -> int:
    """A non-blocking descriptor, the caller's to close. Raises OSError (EMFILE: too many instances)."""
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "inotify")
    if _libc.inotify_add_watch(fd, os.fsencode(folder), events) < 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number), folder)
    return int(fd)


def drain(fd: int) -> None:
    """Read what has come, so that the descriptor waits again."""
    try:
        while os.read(fd, 65536):
            pass
    except BlockingIOError:
        pass
