"""Kinds of flag values: how a flag's text becomes a value, with Go's error texts.

A kind's `word` is what the help shows behind the flag ("list", "string", nothing for a switch).
"""

from __future__ import annotations

from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Kind:
    """`parse` turns text into a value or raises ValueError with the text to show."""

    def __init__(self, word: str, parse: Callable[[str], Any], *, many: bool = False) -> None:
        self.word = word
        self.parse = parse
        self.many = many

    @property
    def is_switch(self) -> bool:
        return self.word == ""


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f"strconv.ParseBool: parsing {go_quote(text)}: invalid syntax")


def parse_int(text: str, base: int = 0) -> int:
    """Go's strconv.ParseInt: with base 0, a prefix 0x, 0o, 0b or 0 chooses the base."""
    value = _integer(text, "ParseInt", base)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"strconv.ParseInt: parsing {go_quote(text)}: value out of range")
    return value


def parse_uint(text: str, bits: int = 64, base: int = 0) -> int:
    if text[:1] in ("-", "+"):
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: invalid syntax")
    value = _integer(text, "ParseUint", base)
    if value >= 1 << bits:
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: value out of range")
    return value


def parse_uint16(text: str) -> int:
    return parse_uint(text, 16)


def parse_filter(text: str) -> tuple[str, str]:
    """`name=value` of `--filter`."""
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def _integer(text: str, function: str, base: int) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if base == 0 and len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        base = 8
    if (
        digits
        and digits[0].isdigit()
        and digits.isascii()
        and digits == digits.rstrip()
        and not (base == 10 and "_" in digits)
    ):
        try:
            return int(text, base)
        except ValueError:
            pass
    raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: invalid syntax")


def _text(text: str) -> str:
    return text


SWITCH = Kind("", parse_bool)
STRING = Kind("string", _text)
INT = Kind("int", lambda text: parse_int(text))
UINT = Kind("uint", parse_uint)
UINT16 = Kind("uint16", parse_uint16)
LIST = Kind("list", _text, many=True)
STRINGS = Kind("strings", _text, many=True)
FILTER = Kind("filter", parse_filter, many=True)
