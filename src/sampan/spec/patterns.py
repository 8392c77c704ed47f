"""Shell patterns as Go's `path.Match` has them: `*` and `?` stop at a slash, `[a-z]` and `[^a-z]`, `\\` quotes."""

from __future__ import annotations

import functools
import re

from sampan.errors import InvalidParameter


def path_match(pattern: str, text: str) -> bool:
    """Whether all of `text` is what `pattern` says. Raises InvalidParameter (`syntax error in pattern`)."""
    return _compile(pattern).fullmatch(text) is not None


@functools.lru_cache(256)
def _compile(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if out[-1:] != ["[^/]*"]:  # several are as good as one, and would take exponential time
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            text, at = _range(pattern, at)
            out.append(text)
        else:
            if character == "\\":
                character, at = _one(pattern, at)
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def _range(pattern: str, at: int) -> tuple[str, int]:
    """After the opening bracket: what stands for the whole class, and where it ends."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    items: list[str] = []
    while not (items and pattern[at : at + 1] == "]"):
        low, at = _bound(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _bound(pattern, at + 1)
        # A range the wrong way round holds nothing.
        items.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inner = "".join(items)
    if not inner:
        return ("[^/]" if negated else "(?!)"), at + 1
    return (f"(?!/)[^{inner}]" if negated else f"(?!/)[{inner}]"), at + 1


def _bound(pattern: str, at: int) -> tuple[str, int]:
    character = pattern[at : at + 1]
    if character in ("", "-", "]"):
        raise InvalidParameter("syntax error in pattern")
    return _one(pattern, at + 1) if character == "\\" else (character, at + 1)


def _one(pattern: str, at: int) -> tuple[str, int]:
    """The character after a backslash."""
    if at >= len(pattern):
        raise InvalidParameter("syntax error in pattern")
    return pattern[at], at + 1
