"""Sizes and durations as people read and write them: Go's `time` and docker's `go-units`."""

from __future__ import annotations

from sampan.cli.kinds import Kind
from sampan.spec.goquote import go_quote

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_SHIFTS = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def human_duration(seconds: float) -> str:
    """`About a minute`, `2 weeks`."""
    whole = int(seconds)
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 3600:
        minutes = whole // 60
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    for limit, unit, name in (
        (48, 1, "hours"),
        (336, 24, "days"),
        (1440, 168, "weeks"),
        (17520, 720, "months"),
    ):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def human_size(size: float, precision: int = 4) -> str:
    """Decimal: `1.98MB`."""
    return _scaled(size, 1000, _DECIMAL, precision)


def bytes_size(size: float) -> str:
    """Binary: `23.54GiB`."""
    return _scaled(size, 1024, _BINARY, 4)


def parse_bytes(text: str) -> int:
    """`64m`, `1.5 GiB`. Raises ValueError with docker's text."""
    at = max(text.rfind(c) for c in "0123456789. ")
    if at < 0:
        raise ValueError(f"invalid size: '{text}'")
    digits, suffix = text[: at + (text[at] != " ")], text[at + 1 :].lower()
    size = parse_float(digits)
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if suffix in ("", "b"):
        return int(size)
    if len(suffix) > 3:
        raise ValueError(f"invalid suffix: '{text[at + 1 :]}'")
    if suffix[0] not in _SHIFTS or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * (1 << _SHIFTS[suffix[0]]))


def parse_float(text: str) -> float:
    try:
        if not text.isascii() or text != text.strip():
            raise ValueError
        return float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {go_quote(text)}: invalid syntax") from None


def parse_duration(text: str) -> int:
    """Nanoseconds of `1h2m3.5s`. Raises ValueError with Go's text."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    sign = -1 if text[:1] == "-" else 1
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    total = 0
    while rest:
        number, unit, rest = _duration_part(rest, text)
        if unit not in _NANOSECONDS:
            kind = "missing unit" if not unit else f"unknown unit {go_quote(unit)}"
            raise ValueError(f"time: {kind} in duration {go_quote(text)}")
        whole, _, fraction = number.partition(".")
        scale = _NANOSECONDS[unit]
        total += int(whole or 0) * scale
        if fraction:
            total += int(fraction) * scale // 10 ** len(fraction)
    if total >= 1 << 63:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    return sign * total


def _duration_part(rest: str, text: str) -> tuple[str, str, str]:
    """The number, its unit, and what follows."""
    end = 0
    while end < len(rest) and (rest[end] in "0123456789" or rest[end] == "."):
        end += 1
    number = rest[:end]
    if not number.strip(".") or number.count(".") > 1:
        raise ValueError(f"time: invalid duration {go_quote(text)}")
    stop = end
    while stop < len(rest) and rest[stop] != "." and rest[stop] not in "0123456789":
        stop += 1
    return number, rest[end:stop], rest[stop:]


def _scaled(size: float, base: int, names: tuple[str, ...], precision: int) -> str:
    index = 0
    while size >= base and index < len(names) - 1:
        size /= base
        index += 1
    return f"{size:.{precision}g}{names[index]}"


BYTES = Kind("bytes", parse_bytes)
DURATION = Kind("duration", parse_duration)
