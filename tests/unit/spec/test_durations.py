"""Go's durations in nanoseconds."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1ns", 1),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("2ms", 2_000_000),
        ("1s", 10**9),
        ("1m30s", 90 * 10**9),
        ("1.5h", 5400 * 10**9),
        (".5s", 5 * 10**8),
        ("-2ms", -2_000_000),
        ("+1s", 10**9),
        ("1h2m3s4ms5us6ns", 3723_004_005_006),
    ],
)
def test_durations(text: str, expected: int) -> None:
    """Every unit, fractions, signs, several in a row."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("1", 'time: missing unit in duration "1"'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
        ("99999999999999999999h", 'time: missing unit in duration "99999999999999999999h"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
    ],
)
def test_errors(text: str, message: str) -> None:
    """Go's texts; a number too long to be one is an error as well."""
    if text.startswith("99999999999999999999"):
        message = f'time: invalid duration "{text}"'
    with pytest.raises(InvalidParameter) as failure:
        parse_duration(text)
    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (2_500, "2.5µs"),
        (200_000_000, "200ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (3_723_004_000_000, "1h2m3.004s"),
        (-90_000_000_000, "-1m30s"),
    ],
)
def test_back_to_text(nanoseconds: int, text: str) -> None:
    """As Go prints it, and as it is read again."""
    assert format_duration(nanoseconds) == text
    assert parse_duration(text) == nanoseconds
