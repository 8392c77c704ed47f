"""Points in time are read and shown as docker does."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Callable, Iterator

import pytest

from sampan.cli.moments import (
    ansi_date,
    days_since_epoch,
    format_local,
    format_nano,
    unix_timestamp,
)


@pytest.fixture
def set_zone() -> Iterator[Callable[[str], None]]:
    """Sets TZ; what it was comes back."""
    before = os.environ.get("TZ")

    def use(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    yield use
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2026-01-02T03:04:05Z", "1767323045.000000000"),
        ("2026-01-02T03:04:05.5Z", "1767323045.500000000"),
        ("2026-01-02T03:04:05.123456789+02:00", "1767315845.123456789"),
        ("2026-01-02T03:04:05-05:30", "1767342845.000000000"),
        ("2026-01-02Z", "1767312000.000000000"),
        ("1700000000", "1700000000"),
        ("1700000000.5", "1700000000.5"),
        ("0", "0"),
        ("90s", "1767322910"),
        ("1h30m", "1767317600"),
    ],
)
def test_fixed_moments(text: str, stamp: str) -> None:
    assert unix_timestamp(text, now=1767323000.25) == stamp


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_without_a_zone_it_is_local(zone: str, set_zone: Callable[[str], None]) -> None:
    set_zone(zone)
    expected = int(time.mktime((2026, 7, 1, 12, 30, 0, 0, 0, -1)))
    assert unix_timestamp("2026-07-01T12:30:00") == f"{expected}.000000000"
    assert unix_timestamp("2026-07-01T12:30") == f"{expected}.000000000"
    midnight = int(time.mktime((2026, 7, 1, 0, 0, 0, 0, 0, -1)))
    assert unix_timestamp("2026-07-01") == f"{midnight}.000000000"


@pytest.mark.parametrize(
    "text",
    [
        "foo",
        "",
        "1.2.3",
        "2026-13-01",
        "2026-01-32",
        "2026-1-1",
        "12:00",
        "2026-01-02T25:00:00Z",
        "2026-01-02T03:04:05+2",
    ],
)
def test_not_moments(text: str) -> None:
    with pytest.raises(ValueError, match=r"failed to parse value|parsing time"):
        unix_timestamp(text)


def test_calendar() -> None:
    for date in [(1970, 1, 1), (2000, 2, 29), (2024, 12, 31), (2100, 3, 1), (2026, 11, 24)]:
        assert days_since_epoch(*date) * 86400 == calendar.timegm((*date, 0, 0, 0))


def test_showing(set_zone: Callable[[str], None]) -> None:
    set_zone("XYZ-5:30")
    assert format_local(1700000000) == "2023-11-15 03:43:20 +0530 XYZ"
    assert format_nano(1700000000, 42) == "2023-11-15T03:43:20.000000042+05:30"
    set_zone("UTC")
    assert format_local(1700000000) == "2023-11-14 22:13:20 +0000 UTC"
    assert format_nano(1700000000, 0) == "2023-11-14T22:13:20.000000000Z"


def test_short_dates() -> None:
    assert ansi_date("2026-05-07T21:09:36.000000000+00:00") == "Thu May  7 21:09:36 2026"
    assert ansi_date("some day") == "some day"
