"""Sizes and durations are read and written as go-units and Go's time do."""

from __future__ import annotations

import pytest

from sampan.cli.units import bytes_size, human_duration, human_size, parse_bytes, parse_duration

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (119, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (1.49 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (-5, "Less than a second"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "three", "four", "binary"),
    [
        (0, "0B", "0B", "0B"),
        (999, "999B", "999B", "999B"),
        (1000, "1kB", "1kB", "1000B"),
        (1984350, "1.98MB", "1.984MB", "1.892MiB"),
        (999999, "1e+03kB", "1000kB", "976.6KiB"),
        (25276502016, "25.3GB", "25.28GB", "23.54GiB"),
    ],
)
def test_sizes_for_people(size: int, three: str, four: str, binary: str) -> None:
    assert (human_size(size, 3), human_size(size), bytes_size(size)) == (three, four, binary)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("32", 32),
        ("32b", 32),
        ("1k", 1024),
        ("1KiB", 1024),
        ("1.5gb", 3 << 29),
        ("3 m", 3 << 20),
        ("1P", 1 << 50),
    ],
)
def test_reading_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1kx", "1 kibb", "1e", "1..2", "0x10", "\u0661k"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(ValueError):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1ns", 1),
        ("1\u00b5s", 1000),
        ("1.5h", 5400 * 10**9),
        (".5s", 5 * 10**8),
        ("1h2m3.25s", 3723250000000),
        ("-1m", -60 * 10**9),
        ("+3ms", 3 * 10**6),
    ],
)
def test_reading_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", ".", "1x", "1s2", "1.2.3s", "-", "9999999999h"])
def test_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_duration(text)
