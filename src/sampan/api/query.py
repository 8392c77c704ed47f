"""A call's query, read with Go's habits and dockerd's texts."""

from __future__ import annotations

import re
from typing import Any

from multidict import MultiMapping

from sampan.api.decode import load
from sampan.errors import InvalidParameter

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FALSE = frozenset(["", "0", "no", "false", "none"])

Filters = dict[str, list[str]]


class Query:
    def __init__(self, values: MultiMapping[str]) -> None:
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str = "") -> str:
        return self._values.get(key, default)

    def texts(self, key: str) -> list[str]:
        return list(self._values.getall(key, []))

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Everything but "", 0, no, false and none is true."""
        if key not in self._values:
            return default
        return self._values[key].strip().lower() not in _FALSE

    def integer(self, key: str) -> int | None:
        """None when absent or empty. Raises InvalidParameter with the text of Go's strconv.Atoi."""
        return atoi(self.text(key)) if self.text(key) else None

    def unsigned(self, key: str) -> int:
        """A terminal's size: 0 … 2^32-1. Raises InvalidParameter."""
        text = self.text(key)
        if not re.fullmatch(r"[0-9]+", text):
            raise InvalidParameter("invalid syntax")
        if len(text) > 10 or int(text) >= 1 << 32:
            raise InvalidParameter("value out of range")
        return int(text)

    def filters(self) -> Filters:
        """{"label": ["a=b"]} from both of its forms on the wire. Raises InvalidParameter ("invalid filters")."""
        text = self.text("filters")
        return parse_filters(text) if text else {}


def atoi(text: str) -> int:
    shown = text[:64]
    if not _INTEGER.fullmatch(text):
        raise InvalidParameter(f'strconv.Atoi: parsing "{shown}": invalid syntax')
    if len(text.lstrip("+-0")) > 19 or not -(1 << 63) <= int(text) < 1 << 63:
        raise InvalidParameter(f'strconv.Atoi: parsing "{shown}": value out of range')
    return int(text)


def parse_filters(text: str) -> Filters:
    try:
        decoded = load(text.encode("utf-8", "surrogateescape"))
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid filters: {error}") from None
    if decoded is None:
        return {}
    if not isinstance(decoded, dict):
        raise InvalidParameter("invalid filters")
    return {key: _values(value) for key, value in decoded.items()}


def _values(value: Any) -> list[str]:
    if isinstance(value, dict):  # since API 1.22: a set, written as an object
        if all(isinstance(chosen, bool) for chosen in value.values()):
            return [word for word, chosen in value.items() if chosen]
    elif isinstance(value, list) and all(isinstance(word, str) for word in value):
        return list(value)
    elif value is None:
        return []
    raise InvalidParameter("invalid filters")
