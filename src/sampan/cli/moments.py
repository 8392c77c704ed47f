"""Points in time: `--since`, `CREATED`, dates in events. Go's formats, without `datetime` and `strptime`."""

from __future__ import annotations

import time

from sampan.cli.units import parse_duration
from sampan.spec.goquote import go_quote

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def unix_timestamp(text: str, now: float | None = None) -> str:
    """What the API takes for `--since` and `--until`: from a date, a duration before now, or seconds."""
    reference = time.time() if now is None else now
    if text != "0":
        try:
            return str(int((reference * 10**9 - parse_duration(text)) // 10**9))
        except ValueError:
            pass
    parsed = parse_date(text)
    if parsed is not None:
        return f"{parsed[0]}.{parsed[1]:09d}"
    if "-" in text:
        raise ValueError(
            f"parsing time {go_quote(text)} as {go_quote(_layout(text))}: cannot parse {go_quote(text)} as date"
        )
    whole, _, fraction = text.partition(".")
    if not whole.isdigit() or not (fraction.isdigit() or not fraction):
        raise ValueError(f"failed to parse value as time or duration: {go_quote(text)}")
    return text


def parse_date(text: str) -> tuple[int, int] | None:
    """Seconds and nanoseconds of an RFC 3339 date, whose time and zone may be missing (then local)."""
    date, _, clock = text.partition("T")
    if not clock:
        date, zone = (date[:10], date[10:])
    else:
        clock, zone = _split_zone(clock)
    fields = date.split("-")
    if (
        len(fields) != 3
        or not all(f.isdigit() for f in fields)
        or [len(f) for f in fields] != [4, 2, 2]
    ):
        return None
    day = _clock(clock)
    if day is None:
        return None
    return _seconds([int(f) for f in fields], day[0], day[1], zone)


def format_local(seconds: int) -> str:
    """Go's `time.Unix(seconds, 0).String()`: `2026-11-24 05:24:14 +0000 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def ansi_date(text: str) -> str:
    """An RFC 3339 date as C's asctime prints it, in its own zone; other texts stay as they are."""
    moment = parse_date(text.partition("+")[0].removesuffix("Z") + "Z") if "T" in text else None
    if moment is None:
        return text
    fields = time.gmtime(moment[0])
    return f"{time.strftime('%a %b', fields)} {fields.tm_mday:>2} {time.strftime('%H:%M:%S %Y', fields)}"


def format_nano(seconds: int, nanoseconds: int) -> str:
    """Local time with nine digits and zone: `2026-11-24T05:32:35.137532336Z`, as events are printed."""
    local = time.localtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds:09d}{_zone(local)}"


def format_seconds(seconds: int) -> str:
    """RFC 3339 in local time: `2026-11-24T05:32:35Z`."""
    local = time.localtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}{_zone(local)}"


def days_since_epoch(year: int, month: int, day: int) -> int:
    leap = month > 2 and (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + sum(_DAYS[: month - 1]) + leap + day - 1


def _zone(local: time.struct_time) -> str:
    offset = local.tm_gmtoff or 0
    if offset == 0:
        return "Z"
    minutes = abs(offset) // 60
    return f"{'+' if offset > 0 else '-'}{minutes // 60:02d}:{minutes % 60:02d}"


def _split_zone(clock: str) -> tuple[str, str]:
    for sign in ("Z", "+", "-"):
        at = clock.find(sign)
        if at >= 0:
            return clock[:at], clock[at:]
    return clock, ""


def _clock(text: str) -> tuple[int, int] | None:
    """Seconds of the day and nanoseconds; hours alone, or hours and minutes, will do."""
    whole, _, fraction = text.partition(".")
    fields = [f for f in whole.split(":")] if whole else []
    if len(fields) > 3 or not all(f.isdigit() and len(f) == 2 for f in fields):
        return None
    if fraction and not fraction.isdigit():
        return None
    hour, minute, second = [int(f) for f in fields] + [0] * (3 - len(fields))
    if hour > 23 or minute > 59 or second > 59:
        return None
    return hour * 3600 + minute * 60 + second, int((fraction + "0" * 9)[:9])


def _seconds(date: list[int], day: int, nanoseconds: int, zone: str) -> tuple[int, int] | None:
    year, month, month_day = date
    if not 1 <= month <= 12 or not 1 <= month_day <= 31:
        return None
    if not zone:
        broken = (year, month, month_day, day // 3600, day // 60 % 60, day % 60, 0, 0, -1)
        return int(time.mktime(broken)), nanoseconds
    utc = days_since_epoch(year, month, month_day) * 86400 + day
    if zone == "Z":
        return utc, nanoseconds
    hours, colon, minutes = zone[1:].partition(":")
    if not colon or not hours.isdigit() or not minutes.isdigit():
        return None
    offset = int(hours) * 3600 + int(minutes) * 60
    return utc - offset if zone[0] == "+" else utc + offset, nanoseconds


def _layout(text: str) -> str:
    if "T" not in text:
        return "2006-01-02"
    return "2006-01-02T15:04:05.999999999" if "." in text else "2006-01-02T15:04:05"
