"""Streams of progress messages (pull, load, import): lines that are redrawn on a terminal, plain ones elsewhere."""

from __future__ import annotations

import os
import time

from sampan.cli.failure import Failure
from sampan.cli.moments import format_nano
from sampan.cli.output import encode, write_all
from sampan.cli.units import human_size
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from sampan.cli.http import Response

_WIDTH = 200


def show_messages(response: Response, descriptor: int | None) -> list[dict[str, Any]]:
    """Print until the stream ends; nothing when there is no descriptor. Returns what the stream had for programs
    (`aux`). Raises Failure for an error in it."""
    screen, told = Screen(descriptor), []
    for message in messages(response.pieces()):
        screen.show(message)
        if isinstance(message.get("aux"), dict):
            told.append(message["aux"])
    return told


def messages(pieces: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    """The JSON objects in a stream, whatever stands between them and wherever it is cut."""
    pending = b""
    for piece in pieces:
        pending += piece
        *lines, pending = pending.split(b"\n")
        for line in lines:
            yield from _objects(line)
    yield from _objects(pending)


class Screen:
    """Remembers which layer is drawn on which line, counted from the last message without an id."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._terminal = descriptor is not None and os.isatty(descriptor)
        self._width = _columns(descriptor) if self._terminal else _WIDTH
        self._lines: dict[str, int] = {}

    def show(self, message: dict[str, Any]) -> None:
        error = message.get("errorDetail") or message.get("error")
        if error:
            raise Failure(error.get("message", "") if isinstance(error, dict) else str(error))
        if message.get("aux") is not None:
            return  # for programs
        identity, up = message.get("id") or "", 0
        if identity and (message.get("progressDetail") or message.get("progress")):
            if identity not in self._lines:
                self._lines[identity] = len(self._lines)
                self._put("\n" if self._terminal else "")
            up = len(self._lines) - self._lines[identity]
        else:
            self._lines = {}
        if self._terminal and up:
            self._put(f"\x1b[{up}A")
        self._put(self._text(message))
        if self._terminal and up:
            self._put(f"\x1b[{up}B")

    def _text(self, message: dict[str, Any]) -> str:
        detail = message.get("progressDetail") or {}
        bar = progress_bar(detail, self._width) if detail else ""
        stream, end, start = message.get("stream") or "", "", ""
        if self._terminal and not stream and detail:
            start, end = "\x1b[2K\r", "\r"
        elif bar:
            return ""
        text = start + _prefix(message)
        status = message.get("status") or ""
        if detail and self._terminal:
            return f"{text}{status} {bar}{end}"
        if message.get("progress"):
            return f"{text}{status} {message['progress']}{end}"
        return f"{text}{stream}{end}" if stream else f"{text}{status}{end}\n"

    def _put(self, text: str) -> None:
        if text and self._descriptor is not None:
            write_all(self._descriptor, encode(text))


def progress_bar(detail: dict[str, Any], width: int, now: float | None = None) -> str:
    """`[=====>     ]  1.2MB/5MB`"""
    current, total = detail.get("current") or 0, detail.get("total") or 0
    units = detail.get("units") or ""
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{current} {units}" if units else f"{human_size(current):>8}"
    half = min(int(current / total * 100) // 2, 50)
    bar = f"[{'=' * half}>{' ' * (50 - half)}] " if width > 110 else ""
    return (
        bar
        + _numbers(detail, current, total, units)
        + _time_left(detail, current, total, half, width, now)
    )


def _numbers(detail: dict[str, Any], current: int, total: int, units: str) -> str:
    if detail.get("hidecounts"):
        return ""
    if units:
        return f"{current}/{total} {units}" if current <= total else f"{current} {units}"
    both = f"{human_size(current):>8}/{human_size(total)}"
    return both if current <= total else f"{human_size(current):>8}"


def _time_left(
    detail: dict[str, Any], current: int, total: int, half: int, width: int, now: float | None
) -> str:
    start = detail.get("start") or 0
    if current <= 0 or start <= 0 or half >= 50 or width <= 50:
        return ""
    elapsed = (time.time() if now is None else now) - start
    left = round(elapsed / current * (total - current))
    hours, minutes, seconds = left // 3600, left // 60 % 60, left % 60
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f" {text}{seconds}s"


def _prefix(message: dict[str, Any]) -> str:
    text = ""
    nano = message.get("timeNano") or 0
    if nano:
        text = f"{format_nano(nano // 10**9, nano % 10**9)} "
    elif message.get("time"):
        text = f"{format_nano(message['time'], 0)} "
    if message.get("id"):
        text += f"{message['id']}: "
    return text + (f"(from {message['from']}) " if message.get("from") else "")


def _objects(line: bytes) -> Iterable[dict[str, Any]]:
    text, position = line.decode("utf-8", "replace").rstrip("\r\n\t "), 0
    while position < len(text):
        try:
            message, position = jsontext.scan(text, position)
        except jsontext.InvalidJSON as error:
            raise Failure(str(error)) from None
        if isinstance(message, dict):
            yield message
        while position < len(text) and text[position] in " \t\r":
            position += 1


def _columns(descriptor: int | None) -> int:
    try:
        return os.get_terminal_size(descriptor or 0).columns or _WIDTH
    except OSError:
        return _WIDTH
