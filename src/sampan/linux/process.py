"""What /proc of the host says about processes, and this process's own title and heap.

Out of scope: waiting for and signalling processes (pidfds, `kernel.py`).
"""

from __future__ import annotations

import os

from sampan.linux import constants as c

_ARG_START, _ARG_END = 47, 48  # 0-based; proc_pid_stat(5) counts from 1
_STARTTIME = 21
_M_MMAP_THRESHOLD = -3  # malloc.h


def _stat_fields(pid: int | str) -> list[str]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        text = file.read().decode("utf-8", "replace")
    # The second field is the name in parentheses, and may hold anything, parentheses included.
    opening, closing = text.index("("), text.rindex(")")
    return [text[:opening].strip(), text[opening + 1 : closing], *text[closing + 1 :].split()]


def start_time(pid: int) -> int:
    """Ticks between boot and the start of `pid`, field 22 of its stat.

    With the pid it names one process of this boot.
    Raises FileNotFoundError or ProcessLookupError when there is none.
    """
    return int(_stat_fields(pid)[_STARTTIME])


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def alive(pid: int, started: int) -> bool:
    """Whether `pid` is the process that began at `started`, and has not ended (a zombie has)."""
    try:
        fields = _stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(fields[_STARTTIME]) == started and fields[2] not in ("Z", "X")


def set_title(text: str) -> None:
    """What `ps` shows of this process: name (15 bytes) and arguments (cut to their room)."""
    import ctypes  # not for those who never say what they are called

    data = text.encode("utf-8", "replace").replace(b"\0", b" ")
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    prctl.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
    prctl.restype = ctypes.c_int
    if prctl(c.PR_SET_NAME, data[:15], 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    fields = _stat_fields("self")
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    room = end - start
    # The last byte stays NUL: without it the kernel shows the environment as arguments too.
    if start and room > 1:
        ctypes.memmove(start, data[: room - 1].ljust(room, b"\0"), room)


def keep_large_blocks_apart(size: int = 256 << 10) -> None:
    """Blocks of `size` bytes and more go back to the kernel when they are freed (mallopt(3), M_MMAP_THRESHOLD).

    By itself glibc raises that size with every such block, and buffers of a megabyte stay in the heaps of threads.
    Other C libraries have no such habit, and no such call.
    """
    import ctypes

    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    set_option.argtypes, set_option.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    set_option(_M_MMAP_THRESHOLD, size)
