"""inotify(7) of one folder or file: a descriptor that turns readable when something in it changed.

What changed is not looked at: whoever waits looks for himself.
"""

from __future__ import annotations

import os

from sampan.linux.libc import CString, Int, Libc, UInt, check

IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80

_libc = Libc()
_inotify_init1 = _libc.function("inotify_init1", Int)
_inotify_add_watch = _libc.function("inotify_add_watch", Int, CString, UInt)


def watch(path: str, events: int = IN_MODIFY | IN_CREATE | IN_MOVED_TO) -> int:
    """A non-blocking descriptor, the caller's to close. Raises OSError (EMFILE: too many instances)."""
    fd = check(_inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
    try:
        check(_inotify_add_watch(fd, path, events), path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def drain(fd: int) -> None:
    """Read what has come, so that the descriptor waits again."""
    try:
        while os.read(fd, 65536):
            pass
    except BlockingIOError:
        pass
