"""Kernel switches below /proc/sys, as text. Those below `net` are the calling thread's namespace's.

Parts of a name are folders, not dots, because the name of an interface may hold dots.
"""

from __future__ import annotations

import os

PROC_SYS = "/proc/sys"


def path(*parts: str) -> str:
    if any("/" in part or part in ("", ".", "..") for part in parts):
        raise ValueError(f"not the name of a kernel switch: {parts}")
    return "/".join((PROC_SYS, *parts))


def read(*parts: str) -> str:
    """The value without its line end. Raises OSError(ENOENT) when the kernel has no such switch."""
    with open(path(*parts), encoding="ascii") as file:
        return file.read().strip()


def write(value: str, *parts: str) -> None:
    """Raises OSError; a switch takes one write, so it is done with one."""
    target = path(*parts)
    fd = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from None
    finally:
        os.close(fd)
