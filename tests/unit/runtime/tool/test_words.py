"""Verifies the small parsers of the tool: signals, sizes, ids, log entries."""

from __future__ import annotations

import json
import signal

import pytest

from sampan.runtime.tool.journal import format_entry
from sampan.runtime.tool.life import signal_number
from sampan.runtime.tool.state import ToolError, check_id
from sampan.runtime.tool.updating import parse_size


@pytest.mark.parametrize(
    ("word", "number"),
    [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGHUP", 1), ("RTMIN+3", signal.SIGRTMIN + 3)],
)
def test_signals(word: str, number: int) -> None:
    assert signal_number(word) == number


def test_an_unknown_signal() -> None:
    with pytest.raises(ToolError, match='unknown signal "NOPE"'):
        signal_number("NOPE")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("-1", -1),
        ("10", 10),
        ("10b", 10),
        ("2k", 2048),
        ("64M", 64 << 20),
        ("1GiB", 1 << 30),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "memory") == size


@pytest.mark.parametrize("text", ["x", "m", "1x", "1.5g", "", "--1"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ToolError, match="invalid value for memory"):
        parse_size(text, "memory")


@pytest.mark.parametrize("container_id", ["", ".", "..", "a/b", "a\n", "x" * 1025, "ä"])
def test_ids_that_are_none(container_id: str) -> None:
    with pytest.raises(ToolError, match="invalid container ID format"):
        check_id(container_id)


def test_log_entries() -> None:
    entry = json.loads(format_entry("error", 'a "b"\n', "json"))
    assert (entry["level"], entry["msg"]) == ("error", 'a "b"\n')
    assert format_entry("error", 'a "b"', "text").endswith(r'level=error msg="a \"b\""')
    assert format_entry("error", "plain", "text").endswith("level=error msg=plain")
    assert format_entry("error", "a b", "text", terminal=True) == "ERRO[0000] a b"
