"""JSON without the `json` package, whose import costs more than everything else here (it brings `re` and `enum`).

`loads` uses the C scanner that `json` itself uses and falls back to `json` for its error messages. `dumps` writes
what Go's `encoding/json` writes, since the output is compared with docker's.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Context:
    """The seven attributes that `_json.make_scanner` reads."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str]

    def __init__(self) -> None:
        self.memo = {}

    @staticmethod
    def parse_constant(text: str) -> float:
        raise ValueError(f"invalid JSON constant {text}")


class InvalidJSON(ValueError):
    """The text is no JSON."""


def scan(text: str, start: int = 0) -> tuple[Any, int]:
    """The value that starts at `start` (blanks skipped) and the index behind it. Raises InvalidJSON."""
    start = _skip(text, start)
    try:
        scanner: Any = _json.make_scanner
        found: tuple[Any, int] = scanner(_Context())(text, start)
        return found
    except (StopIteration, ValueError, RecursionError) as error:
        raise InvalidJSON(_explain(text) or str(error)) from None


def loads(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    value, end = scan(text)
    if _skip(text, end) != len(text):
        raise InvalidJSON(_explain(text))
    return value


def dumps(value: Any, *, escape_html: bool = True, sort: bool = False) -> str:
    """Compact JSON with Go's escapes, in the order of the dictionaries or, as Go writes maps, sorted."""
    parts: list[str] = []
    _write(value, parts.append, escape_html, sort)
    return "".join(parts)


def indent(text: str, unit: str = "    ") -> str:
    """Re-indent JSON text and leave every literal as it is, as Go's `json.Indent` does."""
    parts: list[str] = []
    depth, position = 0, 0
    for start, end in _strings(text):
        depth = _indent_plain(text[position:start], unit, depth, parts)
        parts.append(text[start:end])
        position = end
    _indent_plain(text[position:], unit, depth, parts)
    return "".join(parts)


def compact(text: str) -> str:
    """The text without the blanks between its tokens."""
    parts: list[str] = []
    position = 0
    for start, end in _strings(text):
        parts.append("".join(text[position:start].split()))
        parts.append(text[start:end])
        position = end
    parts.append("".join(text[position:].split()))
    return "".join(parts)


def quote(text: str, *, escape_html: bool = True) -> str:
    """A JSON string as Go writes it."""
    quoted = _json.encode_basestring(text)
    if "\b" in text or "\f" in text:
        quoted = quoted.replace("\b", "\\b").replace("\f", "\\f")
    if escape_html:
        quoted = quoted.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    if "\u2028" in quoted or "\u2029" in quoted:
        quoted = quoted.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return quoted.encode("utf-8", "replace").decode() if not quoted.isascii() else quoted


def number(value: float) -> str:
    """A float as Go's encoder writes it: no exponent between 1e-6 and 1e21."""
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        text = repr(value)
        if "e" in text:
            digits, _, exponent = text.partition("e")
            places = len(digits.partition(".")[2]) - int(exponent)
            text = f"{value:.{max(places, 0)}f}"
        return text.removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"


def _write(value: Any, emit: Any, escape_html: bool, sort: bool) -> None:
    if value is None:
        emit("null")
    elif value is True:
        emit("true")
    elif value is False:
        emit("false")
    elif isinstance(value, str):
        emit(quote(value, escape_html=escape_html))
    elif isinstance(value, int):
        emit(int.__repr__(value))
    elif isinstance(value, float):
        emit(number(value))
    elif isinstance(value, dict):
        _write_object(value, emit, escape_html, sort)
    elif isinstance(value, list | tuple):
        _write_array(value, emit, escape_html, sort)
    else:
        emit(value.to_json(escape_html))


def _write_object(value: dict[str, Any], emit: Any, escape_html: bool, sort: bool) -> None:
    separator = "{"
    for key in sorted(value) if sort else value:
        emit(separator + quote(key, escape_html=escape_html) + ":")
        _write(value[key], emit, escape_html, sort)
        separator = ","
    emit("}" if value else "{}")


def _write_array(value: Any, emit: Any, escape_html: bool, sort: bool) -> None:
    separator = "["
    for item in value:
        emit(separator)
        _write(item, emit, escape_html, sort)
        separator = ","
    emit("]" if value else "[]")


def _strings(text: str) -> list[tuple[int, int]]:
    """Where the string literals are."""
    found = []
    start = text.find('"')
    while start >= 0:
        end = start + 1
        while True:
            end = text.find('"', end)
            if end < 0:
                raise InvalidJSON("unexpected end of JSON input")
            backslashes = 0
            while text[end - 1 - backslashes] == "\\":
                backslashes += 1
            end += 1
            if backslashes % 2 == 0:
                break
        found.append((start, end))
        start = text.find('"', end)
    return found


def _indent_plain(text: str, unit: str, depth: int, parts: list[str]) -> int:
    """Indent a run of text without strings; an empty `{}` or `[]` stays on its line."""
    for character in text:
        if character in _SPACE:
            continue
        if character in "{[":
            depth += 1
            parts.append(character)
            parts.append("\n" + unit * depth)
        elif character in "}]":
            depth -= 1
            if parts[-1].startswith("\n") and parts[-2] in "{[":
                parts.pop()
            else:
                parts.append("\n" + unit * depth)
            parts.append(character)
        elif character == ",":
            parts.append(",\n" + unit * depth)
        elif character == ":":
            parts.append(": ")
        else:
            parts.append(character)
    return depth


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


_EXPECTED = {
    "Expecting value": "looking for beginning of value",
    "Extra data": "after top-level value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after array element or object key:value pair",
}


def _explain(text: str) -> str:
    """What is wrong, in Go's words as far as possible. Only failures pay for importing `json`."""
    import json

    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return "unexpected end of JSON input"
        what = _EXPECTED.get(error.msg)
        return f"invalid character {text[error.pos]!r} {what}" if what else str(error)
    except RecursionError:
        return "exceeded max depth"
    return ""
