"""One record of comma-separated fields, by the rules and with the messages of Go's encoding/csv."""

from __future__ import annotations

_BARE = 'bare " in non-quoted-field'
_EXTRA = 'extraneous or missing " in quoted-field'


def split(text: str) -> list[str]:
    """The fields of a record. Raises ValueError."""
    if not text:
        raise ValueError("EOF")
    fields: list[str] = []
    position = 0
    while True:
        field, position = (
            _quoted(text, position)
            if text[position : position + 1] == '"'
            else _bare(text, position)
        )
        fields.append(field)
        if position >= len(text):
            return fields
        position += 1


def _bare(text: str, start: int) -> tuple[str, int]:
    end = text.find(",", start)
    end = len(text) if end < 0 else end
    quote = text.find('"', start, end)
    if quote >= 0:
        raise _error(quote, _BARE)
    return text[start:end], end


def _quoted(text: str, start: int) -> tuple[str, int]:
    position = start + 1
    parts = []
    while True:
        end = text.find('"', position)
        if end < 0:
            raise _error(len(text), _EXTRA)
        parts.append(text[position:end])
        follower = text[end + 1 : end + 2]
        if follower == '"':
            parts.append('"')
            position = end + 2
        elif follower in ("", ","):
            return "".join(parts), end + 1
        else:
            raise _error(end, _EXTRA)


def _error(index: int, text: str) -> ValueError:
    return ValueError(f"parse error on line 1, column {index + 1}: {text}")
