"""Receipts: what a removed container was, kept for some minutes, so that whoever asks a moment too late still learns
how it ended and what it wrote.

Asked for by id only; the name is free at once. One that somebody has removed by hand answers `wait` and `logs`, but
`inspect` says that it is gone, as clients expect after a removal of theirs. Bounded in number, time and the size of
logs. In memory, with the logs in DATA-ROOT/receipts; after a restart of the daemon there are none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sampan.engine.records import ContainerRecord, State

KEPT = 300.0  # seconds
MOST = 256
LOG_LIMIT = 16 << 20  # bytes of one container's log files; a larger log goes with its container
SHORTEST = 12  # digits of an id


@dataclass(slots=True)
class Receipt:
    record: ContainerRecord
    by_hand: bool
    folder: str
    timer: asyncio.TimerHandle | None = None


class Receipts:
    """`discard` takes a folder away."""

    def __init__(
        self, folder: str, discard: Callable[[str], None], *, kept: float = KEPT, most: int = MOST
    ) -> None:
        self._folder = folder
        self._discard = discard
        self._kept = kept
        self._most = most
        self._by_id: dict[str, Receipt] = {}

    def sweep(self) -> None:
        """At the start of a daemon."""
        self._discard(self._folder)
        os.makedirs(self._folder, 0o710, exist_ok=True)

    def keep(self, record: ContainerRecord, home: str, *, by_hand: bool) -> None:
        """`home` is the container's folder, which is taken over or discarded."""
        record = msgspec.structs.replace(record, state=State.EXITED, pid=0)
        folder = os.path.join(self._folder, record.id)
        if record.started_at and record.log_path and _size(home) <= LOG_LIMIT:
            os.rename(home, folder)
            name = os.path.basename(record.log_path)
            record = msgspec.structs.replace(record, log_path=os.path.join(folder, name))
        else:
            self._discard(home)
            record = msgspec.structs.replace(record, log_path="")
        if not record.started_at:
            return  # it has nothing to tell
        while len(self._by_id) >= self._most:
            self.forget(next(iter(self._by_id)))
        receipt = self._by_id[record.id] = Receipt(record, by_hand, folder)
        loop = asyncio.get_running_loop()
        receipt.timer = loop.call_later(self._kept, self.forget, record.id)

    def find(self, ref: str, *, by_hand: bool = True) -> ContainerRecord | None:
        """By id, or a prefix of twelve digits or more. `by_hand`: those too that somebody has removed."""
        if len(ref) < SHORTEST:
            return None
        for container_id, receipt in self._by_id.items():
            if container_id.startswith(ref) and (by_hand or not receipt.by_hand):
                return receipt.record
        return None

    def forget(self, container_id: str) -> None:
        receipt = self._by_id.pop(container_id, None)
        if receipt is None:
            return
        if receipt.timer is not None:
            receipt.timer.cancel()
        self._discard(receipt.folder)

    def close(self) -> None:
        """At the end of the daemon; what is on the disk is swept by the next one."""
        for receipt in self._by_id.values():
            if receipt.timer is not None:
                receipt.timer.cancel()


def _size(folder: str) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return LOG_LIMIT + 1
