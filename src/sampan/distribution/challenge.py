"""What a registry wants to see: the WWW-Authenticate header, parsed (RFC 9110, 11.6.1). Pure.

Several challenges may come in one header or in several; what cannot be parsed ends the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

LIMIT = 16 << 10  # bytes of headers looked at
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_ESCAPE = re.compile(r"\\(.)")


class Challenge(NamedTuple):
    scheme: str  # lower case
    parameters: dict[str, str]  # by lower-case name

    def get(self, name: str) -> str:
        return self.parameters.get(name, "")


def parse(values: Iterable[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers of a response."""
    text = ", ".join(values)[:LIMIT]
    found: list[Challenge] = []
    at = 0
    while match := _SCHEME.match(text, at):
        at = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            name, quoted, plain = parameter.groups()
            value = _ESCAPE.sub(r"\1", quoted) if plain is None else plain
            parameters.setdefault(name.lower(), value)
        found.append(Challenge(match[1].lower(), parameters))
    return found
