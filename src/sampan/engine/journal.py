"""The daemon's own log: lines on stderr, levels in dockerd's words."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sampan.engine import times

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}

log = logging.getLogger(__name__)


class Formatter(logging.Formatter):
    """`2026-11-24T05:31:00.123456789Z info sampan.engine.launch: text`"""

    def format(self, record: logging.LogRecord) -> str:
        moment = times.to_text(int(record.created * 1e9))
        text = super().format(record).replace("\n", "\n  ")
        return f"{moment} {record.levelname.lower()} {record.name}: {text}"


def set_up(level: str, *, debug: bool) -> None:
    root = logging.getLogger("sampan")
    root.setLevel(logging.DEBUG if debug else LEVELS[level])
    others = logging.getLogger()
    if not others.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Formatter("%(message)s"))
        others.addHandler(handler)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """With `--debug`: how many milliseconds it took."""
    before = time.perf_counter()
    yield
    log.debug("%s: %.2f ms", name, (time.perf_counter() - before) * 1000)
