"""Nanoseconds since the epoch ↔ RFC 3339 texts as Go writes them. 0 is Go's zero time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from sampan.errors import InvalidParameter
from sampan.spec.durations import parse_duration

ZERO = "0001-01-01T00:00:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?([Zz]|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_SECONDS = re.compile(r"(-?\d{1,15})(?:\.(\d{1,9}))?", re.ASCII)


def to_text(nanoseconds: int) -> str:
    """RFC3339Nano in UTC: trailing zeros of the fraction are dropped, as Go does."""
    if nanoseconds == 0:
        return ZERO
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    moment = _EPOCH + timedelta(seconds=seconds)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{tail}Z"


def from_text(text: str) -> int:
    """Raises ValueError when it is not a time. A time without a zone is UTC."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if int(year) < 1970:
        return 0
    offset = 0
    if zone and zone not in "Zz":
        sign = -1 if zone[0] == "-" else 1
        digits = zone[1:].replace(":", "")
        offset = sign * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)
    moment = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        tzinfo=timezone.utc,  # noqa: UP017
    )
    # seconds apart: a leap second (60) is a time, but not one that datetime takes
    whole = round((moment - _EPOCH).total_seconds()) + int(second or 0) - offset
    return whole * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


def from_parameter(text: str, *, name: str) -> int:
    """`since`/`until` of the API: "seconds[.fraction]" or RFC 3339; empty and "0" are 0.

    Raises InvalidParameter."""
    if not text:
        return 0
    match = _SECONDS.fullmatch(text)
    try:
        if match is None:
            return from_text(text)
    except ValueError:
        raise InvalidParameter(
            f'invalid value for "{name}": failed to parse {text!r} as a time'
        ) from None
    seconds, fraction = match.groups()
    part = int((fraction or "0").ljust(9, "0"))
    return int(seconds) * 1_000_000_000 + (-part if seconds.startswith("-") else part)


def from_moment(text: str, *, now: int) -> int:
    """A time as `from_parameter` takes it, or a duration before `now` ("10m"). Raises InvalidParameter."""
    try:
        return now - parse_duration(text)
    except InvalidParameter:
        pass
    try:
        if text:
            return from_parameter(text, name="until")
    except InvalidParameter:
        pass
    raise InvalidParameter(f'failed to parse value as time or duration: "{text[:64]}"')
