"""Removal that never waits and never half happens: rename into `trash/`, delete later.

A folder of a container may hold a million files and names that only root of the past knows; the rename is
one atomic step, the deletion is the work of a "remove" worker. What a dead daemon left here goes at start.
"""

from __future__ import annotations

import asyncio
import logging
import os

from sampan.errors import SampanError
from sampan.store import jobs

log = logging.getLogger(__name__)


class Trash:
    def __init__(self, path: str, spawn: jobs.Spawn) -> None:
        self._path = path
        self._spawn = spawn
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        os.makedirs(path, 0o700, exist_ok=True)

    def discard(self, path: str) -> None:
        """Take `path` (a file or a tree on the same file system) away; no error when it is gone."""
        try:
            os.rename(path, os.path.join(self._path, os.urandom(12).hex()))
        except FileNotFoundError:
            return
        self._wake.set()

    async def empty(self) -> None:
        """Delete everything that is in the trash now. Raises OSError, SampanError."""
        async with self._lock:
            if not os.listdir(self._path):
                return
            fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                await jobs.run(self._spawn, "remove", {}, [fd])
            finally:
                os.close(fd)

    def start(self) -> None:
        """Begin to empty the trash by itself, whenever something is thrown into it."""
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name="sampan-trash")

    async def close(self) -> None:
        if self._task is not None:
            self._closed = True  # asyncio.wait_for of Python 3.11 may swallow a cancellation
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.empty()
            except (OSError, SampanError) as error:  # what is left goes with the next one
                log.warning("trash was not emptied: %s", error)
