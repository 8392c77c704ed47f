"""Progress is shown as docker shows it: redrawn on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import pty
from typing import Any

import pytest

from sampan.cli.failure import Failure
from sampan.cli.progress import Screen, messages, progress_bar

LAYER = {"id": "abc", "status": "Downloading", "progressDetail": {"current": 512, "total": 1024}}


def shown(stream: list[dict[str, Any]], *, terminal: bool) -> str:
    reader, writer = pty.openpty() if terminal else os.pipe()
    try:
        screen = Screen(writer)
        for message in stream:
            screen.show(message)
        os.write(writer, b"\x00")
        data = b""
        while not data.endswith(b"\x00"):
            data += os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
    return data[:-1].decode().replace("\r\n", "\n")


def test_plain() -> None:
    stream: list[dict[str, Any]] = [
        {"status": "Pulling from library/x", "id": "latest"},
        {"status": "Waiting", "id": "abc", "progressDetail": {}},
        LAYER,
        {"status": "Pull complete", "id": "abc", "progressDetail": {}},
        {"status": "done"},
        {"stream": "Loaded image: x\n"},
    ]
    assert shown(stream, terminal=False) == (
        "latest: Pulling from library/x\nabc: Waiting\nabc: Pull complete\ndone\nLoaded image: x\n"
    )


def test_on_a_terminal_lines_are_redrawn() -> None:
    other = LAYER | {"id": "def"}
    text = shown([LAYER, other, LAYER], terminal=True)
    bar = "[=========================>                         ]     512B/1.024kB"
    first = f"\n\x1b[1A\x1b[2K\rabc: Downloading {bar}\r\x1b[1B"
    second = f"\n\x1b[1A\x1b[2K\rdef: Downloading {bar}\r\x1b[1B"
    third = f"\x1b[2A\x1b[2K\rabc: Downloading {bar}\r\x1b[2B"
    assert text == first + second + third


@pytest.mark.parametrize(
    ("detail", "width", "bar"),
    [
        ({}, 200, ""),
        ({"current": 5}, 200, "      5B"),
        ({"current": 5, "units": "files"}, 200, "5 files"),
        ({"current": 1, "total": 4}, 100, "      1B/4B"),
        ({"current": 8, "total": 4}, 100, "      8B"),
        ({"current": 1, "total": 4, "units": "parts"}, 100, "1/4 parts"),
        ({"current": 1, "total": 4, "hidecounts": True}, 100, ""),
        ({"current": 4, "total": 4}, 200, f"[{'=' * 50}>]       4B/4B"),
        ({"current": 1, "total": 4, "start": 1000}, 100, "      1B/4B 30s"),
        ({"current": 1, "total": 401, "start": 1000}, 100, "      1B/401B 1h6m40s"),
    ],
)
def test_bars(detail: dict[str, Any], width: int, bar: str) -> None:
    assert progress_bar(detail, width, now=1010) == bar


@pytest.mark.parametrize(
    "error", [{"errorDetail": {"message": "no space"}, "error": "old"}, {"error": "no space"}]
)
def test_an_error_ends_it(error: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="no space"):
        Screen(None).show(error)


def test_times_and_origins() -> None:
    message = {"time": 0, "timeNano": 1500000001, "from": "here", "status": "x", "id": "i"}
    assert shown([message], terminal=False).endswith("i: (from here) x\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_cut_anywhere(size: int) -> None:
    data = b'{"a":1}\r\n{"b":"\xc3\xa9"}{"c":3}\n\n{"d":4}'
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(messages(pieces)) == [{"a": 1}, {"b": "\u00e9"}, {"c": 3}, {"d": 4}]


def test_messages_that_are_none() -> None:
    with pytest.raises(Failure):
        list(messages([b'{"a":1}\n{broken\n']))
