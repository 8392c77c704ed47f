"""Events on disk: what happened is still known after the daemon's restart, crash included.

    DATA-ROOT/events/current     one JSON object a line, oldest first:
    DATA-ROOT/events/previous    {"sequence": 7, "type": …, "action": …, "actor": …, "attributes": {…}, "time": …}

`sequence` grows by one, over restarts too, so that a gap shows what a full disk has cost. `current` becomes
`previous` when it is full; older ones go. Written without fsync: power that fails may take the last second along.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import msgspec

from sampan.engine.event import Event

LIMIT = 4 << 20  # bytes of each of the two files
_LINE_LIMIT = 1 << 20

log = logging.getLogger(__name__)


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    type: str
    action: str
    actor: str
    attributes: dict[str, str]
    time: int
    scope: str = "local"

    def event(self) -> Event:
        return Event(self.type, self.action, self.actor, self.attributes, self.time, self.scope)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


class EventLog:
    def __init__(self, folder: str, *, limit: int = LIMIT) -> None:
        """Blocking. Raises OSError."""
        self._current = os.path.join(folder, "current")
        self._previous = os.path.join(folder, "previous")
        self._limit = limit
        self._failing = False
        os.makedirs(folder, 0o700, exist_ok=True)
        lines = list(self._read())
        self.sequence = lines[-1].sequence if lines else 0  # of the last event
        self.last = lines[-1].event() if lines else None
        self._fd = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._current, flags, 0o600)
        self._size = os.fstat(fd).st_size
        if self._size and os.pread(fd, 1, self._size - 1) != b"\n":
            os.write(fd, b"\n")  # the end of a line that a crash has cut short
        return fd

    def append(self, event: Event) -> None:
        """Never fails: what cannot be written is lost from here, not for whoever listens."""
        self.sequence += 1
        line = _Line(
            sequence=self.sequence,
            type=event.type,
            action=event.action,
            actor=event.actor,
            attributes=dict(event.attributes),
            time=event.time,
            scope=event.scope,
        )
        try:
            self._write(_encode(line) + b"\n")
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.error("events are not kept any more: %s", error)
            self._failing = True

    def _write(self, data: bytes) -> None:
        if self._size and self._size + len(data) > self._limit:
            os.replace(self._current, self._previous)
            fd, self._fd = self._fd, self._open()
            os.close(fd)
        written = os.write(self._fd, data)
        self._size += written
        if written < len(data):  # the disk is full; what comes next begins a line of its own
            os.ftruncate(self._fd, self._size - written)
            self._size -= written
            raise OSError(28, os.strerror(28), self._current)

    def events(self, since: int = 0) -> Iterator[Event]:
        """From a time on, oldest first. Blocking."""
        for line in self._read():
            if line.time >= since:
                yield line.event()

    def _read(self) -> Iterator[_Line]:
        for path in (self._previous, self._current):
            try:
                file = open(path, "rb")  # noqa: SIM115
            except FileNotFoundError:
                continue
            with file:
                while line := file.readline(_LINE_LIMIT):
                    try:
                        yield _decoder.decode(line)
                    except msgspec.MsgspecError:
                        continue  # cut short by a crash

    def close(self) -> None:
        os.close(self._fd)


def _encode(line: _Line) -> bytes:
    try:
        return _encoder.encode(line)
    except UnicodeEncodeError:  # bytes that were no UTF-8, from a command line
        clean = {k: _clean(v) for k, v in line.attributes.items()}
        return _encoder.encode(
            msgspec.structs.replace(
                line, action=_clean(line.action), actor=_clean(line.actor), attributes=clean
            )
        )


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
