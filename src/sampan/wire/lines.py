"""A stream's bytes → lines for a log that takes one at a time; a long one comes in pieces of 16 KiB."""

from __future__ import annotations

from sampan.wire.jsonlog import LINE_LIMIT


class Lines:
    """`feed` gives `(line without its newline, whether the line goes on)`."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        whole = (self._pending + data).split(b"\n")
        self._pending = whole.pop()
        found: list[tuple[bytes, bool]] = []
        for line in whole:
            while len(line) > LINE_LIMIT:
                found.append((line[:LINE_LIMIT], True))
                line = line[LINE_LIMIT:]
            found.append((line, False))
        while len(self._pending) >= LINE_LIMIT:
            found.append((self._pending[:LINE_LIMIT], True))
            self._pending = self._pending[LINE_LIMIT:]
        return found

    def finish(self) -> list[tuple[bytes, bool]]:
        """The last line, if it has no newline."""
        last, self._pending = self._pending, b""
        return [(last, False)] if last else []
