"""What a pull or push tells its user: dockerd's JSON messages, and not too many of them.

    {"status": "Pulling fs layer", "progressDetail": {}, "id": "d14a53881a3e"}
    {"status": "Downloading", "progressDetail": {"current": 36445, "total": 3146918},
     "progress": "[>                        ]  36.45kB/3.147MB", "id": "d14a53881a3e"}

`progress` is the bar that old clients print; its text is Docker's (pkg/jsonmessage), at 200 columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

INTERVAL = 0.1  # seconds between two messages about the same bytes
_WIDTH = 50

Message = dict[str, Any]
Progress = Callable[[Message], Any]


def status(text: str, id: str = "") -> Message:
    """A line by itself; with `id`, the state of a layer."""
    return {"status": text, "progressDetail": {}, "id": id} if id else {"status": text}


def amount(text: str, id: str, current: int, total: int) -> Message:
    """The state of a layer that is on its way."""
    detail = {"current": current, "total": total} if total else {"current": current}
    return {"status": text, "progressDetail": detail, "progress": bar(current, total), "id": id}


def bar(current: int, total: int) -> str:
    """Docker's bar with its numbers."""
    if total <= 0:
        return f"{human_size(current):>8}" if current > 0 else ""
    done = min(current * 100 // total // 2, _WIDTH)
    numbers = f"{human_size(current):>8}"
    if current <= total:
        numbers += f"/{human_size(total)}"
    return f"[{'=' * done}>{' ' * (_WIDTH - done)}] {numbers}"


def human_size(size: float) -> str:
    """Four significant digits, units of 1000, as go-units' HumanSize."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    number = float(size)
    place = 0
    while number >= 1000 and place < len(units) - 1:
        number /= 1000
        place += 1
    return f"{number:.4g}{units[place]}"


class Meter:
    """Counts bytes, and reports them now and then: the first and the last always."""

    def __init__(self, report: Progress, text: str, id: str, total: int) -> None:
        self._report, self._text, self._id, self._total = report, text, id, total
        self._next, self._shown = 0.0, -1

    def show(self, current: int) -> None:
        now = time.monotonic()
        if current != self._shown and (now >= self._next or current >= self._total):
            self._next, self._shown = now + INTERVAL, current
            self._report(amount(self._text, self._id, current, self._total))
