"""Signal names and numbers as Docker's API takes them: KILL, SIGKILL, sigkill, 9, RTMIN+3."""

from __future__ import annotations

import signal

from sampan.errors import InvalidParameter

HIGHEST = 64  # SIGRTMAX

NAMES: dict[str, int] = {
    item.name.removeprefix("SIG"): int(item)
    for item in signal.Signals
    if item.name not in ("SIGRTMIN", "SIGRTMAX")
}
# The kernel's 34 is glibc's SIGRTMIN; names are counted from it, as moby does.
NAMES |= {"RTMIN": 34, "RTMAX": 64, "CLD": NAMES["CHLD"], "IOT": NAMES["ABRT"], "STKFLT": 16}
NAMES |= {f"RTMIN+{offset}": 34 + offset for offset in range(1, 16)}
NAMES |= {f"RTMAX-{offset}": 64 - offset for offset in range(1, 15)}


def parse(text: str) -> int:
    """Raises InvalidParameter (`Invalid signal: FOO`)."""
    if text.isascii() and text.isdigit() and len(text) < 6:
        number = int(text)
        if number:
            return number
        raise InvalidParameter(f"Invalid signal: {text}")
    try:
        return NAMES[text.upper().removeprefix("SIG")]
    except KeyError:
        raise InvalidParameter(f"Invalid signal: {text}") from None
