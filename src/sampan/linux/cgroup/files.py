"""Reading, writing and removing files of a cgroup file system, with the path in every error."""

from __future__ import annotations

import errno
import os
import time

from sampan.spec.typing import Iterator

REMOVE_DEADLINE = 2.0


def read_text(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        # Pseudo files answer at most a page a read.
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
    return b"".join(chunks).decode("ascii", "replace")


def write_text(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def read_or(path: str, default: str) -> str:
    """The text of `path`, or `default` where this kernel or this cgroup does not have the file."""
    try:
        return read_text(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
            return default
        raise


def read_number(path: str, default: int = 0) -> int:
    """A lone number; `max` is -1, as "no limit" in the runtime-spec."""
    text = read_or(path, "").strip()
    if text == "max":
        return -1
    return int(text) if text else default


def read_table(path: str) -> dict[str, int]:
    """Lines of `key number` (memory.stat, cpu.stat, memory.events)."""
    table = {}
    for line in read_or(path, "").splitlines():
        key, _, value = line.partition(" ")
        if value.strip().isdigit():
            table[key] = int(value)
    return table


def subgroups(folder: str) -> list[str]:
    """Paths of the cgroups directly below `folder`; none when it is gone."""
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def walk(folder: str) -> Iterator[str]:
    """`folder` and all cgroups below it, parents first."""
    pending = [folder]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(subgroups(current))


def processes(folder: str) -> list[int]:
    """Pids in `folder` and below, as this process's pid namespace numbers them."""
    pids: list[int] = []
    for group in walk(folder):
        # A cgroup may vanish (ENODEV once it is dying); one that is threaded refuses cgroup.procs.
        pids += [int(word) for word in read_or(group + "/cgroup.procs", "").split() if word != "0"]
    return pids


def remove_tree(folder: str, until: float) -> None:
    """Remove `folder` and the cgroups that a container made below it.

    The kernel answers EBUSY as long as a killed process is not wholly gone, so this tries until
    the monotonic clock shows `until`; then the EBUSY is the caller's.
    """
    pause = 0.0005
    while not _try_remove(folder):
        if time.monotonic() >= until:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), folder)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _try_remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
        return True
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
    for child in subgroups(folder):
        _try_remove(child)
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True
