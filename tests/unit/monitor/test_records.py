"""monitor.json and exit.json: whole or nothing, and never trusted blindly."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sampan.monitor.records import (
    ERRORS_LIMIT,
    ExitRecord,
    MonitorRecord,
    append_error,
    read_exit_record,
    read_monitor_record,
    write_record,
)

MONITOR = MonitorRecord(1, 10, 20, "boot", "ab", "/sampan/ab", 11, 21, "2026-01-01T00:00:00Z")
EXIT = ExitRecord(137, 9, True, "2026-01-01T00:00:01Z", "ab", 11, log_dropped=3)


def test_records_are_read_as_written(tmp_path: Path) -> None:
    """Nothing else is left in the folder; only root may read them."""
    write_record(str(tmp_path), MONITOR)
    write_record(str(tmp_path), EXIT)
    assert read_monitor_record(str(tmp_path)) == MONITOR
    assert read_exit_record(str(tmp_path)) == EXIT
    assert sorted(os.listdir(tmp_path)) == ["exit.json", "monitor.json"]
    assert (tmp_path / "exit.json").stat().st_mode & 0o777 == 0o600


def test_fields_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    """A daemon reads what a newer monitor wrote."""
    (tmp_path / "exit.json").write_text(json.dumps({**asdict(EXIT), "more": 1}))
    assert read_exit_record(str(tmp_path)) == EXIT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"exit_code": 1}',
        json.dumps({**asdict(EXIT), "exit_code": "0"}),
        json.dumps({**asdict(EXIT), "exit_code": True}),
        "\0\0",
    ],
)
def test_damaged_records_are_none(tmp_path: Path, text: str) -> None:
    """Not an exception, and never half a record."""
    (tmp_path / "exit.json").write_text(text)
    assert read_exit_record(str(tmp_path)) is None


def test_no_record_is_none(tmp_path: Path) -> None:
    """No file, no folder."""
    assert read_monitor_record(str(tmp_path)) is None
    assert read_exit_record(str(tmp_path / "gone")) is None


def test_errors_are_kept_within_bounds(tmp_path: Path) -> None:
    """And writing them never raises."""
    for _ in range(100):
        append_error(str(tmp_path), "x" * 1000)
    assert ERRORS_LIMIT <= (tmp_path / "monitor.err").stat().st_size < ERRORS_LIMIT + 1000
    append_error(str(tmp_path / "gone"), "x")


def test_a_failed_write_leaves_the_old_record(tmp_path: Path, monkeypatch: Any) -> None:
    """Stage, then rename."""
    write_record(str(tmp_path), EXIT)
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write_record(str(tmp_path), ExitRecord(0, 0, False, "", "ab", 1))
    assert read_exit_record(str(tmp_path)) == EXIT
    assert os.listdir(tmp_path) == ["exit.json"]
