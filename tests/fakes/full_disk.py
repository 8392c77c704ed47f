"""A disk that has room for everything but the N-th change: the call fails with ENOSPC, as the next ones may not."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sampan.store import metadata

_CHANGES = ("INSERT", "UPDATE", "DELETE", "COMMIT")


class FullDisk:
    """`failed` says what did not get its room, once it has come to that."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.failed = ""

    def _hit(self, what: str) -> bool:
        self._left -= 1
        if self._left == 0:
            self.failed = what
        return self._left == 0

    def call(
        self, name: str, real: Callable[..., Any], takes_room: Callable[..., bool]
    ) -> Callable[..., Any]:
        def tried(*args: Any, **kwargs: Any) -> Any:
            if takes_room(*args) and self._hit(name):
                path = args[0] if isinstance(args[0], str) else None
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return real(*args, **kwargs)

        return tried

    def statement(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def tried(database: metadata.Metadata, sql: str, *values: object) -> Any:
            if sql.startswith(_CHANGES) and self._hit(sql):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return real(database, sql, *values)

        return tried


def _regular(fd: int, *_: Any) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _creates(_: Any, flags: int, *__: Any) -> bool:
    return bool(flags & os.O_CREAT)


def _stays(_: Any, target: str, *__: Any) -> bool:
    """What is thrown away makes room."""
    return "/trash/" not in target


def _always(*_: Any) -> bool:
    return True


_ROOM = {
    "open": _creates,
    "write": _regular,
    "pwrite": _regular,
    "fsync": _regular,
    "mkdir": _always,
    "rename": _stays,
}


@contextmanager
def full_at(at: int) -> Iterator[FullDisk]:
    """The process' N-th change of a disk or of the database finds no room; its workers are not concerned."""
    disk = FullDisk(at)
    saved = {name: getattr(os, name) for name in _ROOM}
    execute = metadata.Metadata.execute
    try:
        for name, takes_room in _ROOM.items():
            setattr(os, name, disk.call(name, saved[name], takes_room))
        metadata.Metadata.execute = disk.statement(execute)  # type: ignore[method-assign]
        yield disk
    finally:
        for name, real in saved.items():
            setattr(os, name, real)
        metadata.Metadata.execute = execute  # type: ignore[method-assign]
