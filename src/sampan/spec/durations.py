"""Go's durations (`1m30s`, `1.5h`, `-2ms`) in nanoseconds, with Go's texts for errors."""

from __future__ import annotations

from sampan.errors import InvalidParameter

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DIGITS = frozenset("0123456789")
_LIMIT = (1 << 63) - 1


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises InvalidParameter."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise InvalidParameter(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        whole, rest = _take(rest)
        fraction = ""
        if rest.startswith("."):
            fraction, rest = _take(rest[1:])
        if not whole and not fraction:
            raise InvalidParameter(f'time: invalid duration "{text}"')
        unit = ""
        while rest and rest[0] not in _DIGITS and rest[0] != ".":
            unit, rest = unit + rest[0], rest[1:]
        if not unit:
            raise InvalidParameter(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise InvalidParameter(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole or 0) * _UNITS[unit]
        total += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
        if total > _LIMIT:
            raise InvalidParameter(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def format_duration(nanoseconds: int) -> str:
    """As Go prints it: 1h2m3.5s, 300ms, 2µs, 0s."""
    if not nanoseconds:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for unit, name in ((1_000, "ns"), (1_000_000, "µs"), (1_000_000_000, "ms")):
        if rest < unit:
            return f"{sign}{_decimal(rest, unit // 1_000)}{name}"
    minutes, rest = divmod(rest, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, _UNITS['s'])}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, part = divmod(value, unit)
    digits = f"{part:0{len(str(unit)) - 1}d}".rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _take(text: str) -> tuple[str, str]:
    """Leading digits and the rest; more than a duration can have is an error further up."""
    end = 0
    while end < len(text) and text[end] in _DIGITS and end < 20:
        end += 1
    return text[:end], text[end:]
