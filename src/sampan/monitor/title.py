"""What `ps` shows of a process: its name and its argument list, written over in place.

`linux.process.set_title` does the same for any process; this one is prepared before a fork, so that the
child touches as little memory as can be, and has room for more text than there were arguments.
"""

from __future__ import annotations

import ctypes
import os

_ARG_START, _ARG_END, _ENV_START, _ENV_END = (
    45,
    46,
    47,
    48,
)  # of stat, behind the name; proc_pid_stat(5)
NAME_LENGTH = 15


class Title:
    """The place of the arguments is the same in every child of the process that this was made in."""

    def __init__(self) -> None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end, env_start, env_end = (
            int(fields[at]) for at in (_ARG_START, _ARG_END, _ENV_START, _ENV_END)
        )
        self._start = start
        self._arguments = max(0, end - start) if start else 0
        # A text that runs over the end of the arguments goes on in the environment: the kernel then
        # shows it up to its NUL (fs/proc/base.c, get_mm_cmdline). Nobody reads the environment any more.
        follows = env_start == end and env_end > env_start
        self._room = env_end - start if self._arguments and follows else self._arguments

    def set(self, text: str) -> None:
        data = text.encode("utf-8", "replace").replace(b"\0", b" ")
        _write("/proc/self/comm", data[:NAME_LENGTH].rstrip())
        data = data[: max(0, min(self._room, 4096) - 1)]
        # In the arguments' own room it has to end with NULs, or the environment would be shown too.
        length = self._arguments if len(data) < self._arguments else len(data) + 1
        if self._room:
            ctypes.memmove(self._start, data.ljust(length, b"\0"), length)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
