"""Go's quoted strings and characters."""

from __future__ import annotations

_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_LENGTHS = {"x": 2, "u": 4, "U": 8}


def unquote(source: str) -> str:
    """`"a\\n"`, `'x'` or a raw string in backquotes. Raises ValueError."""
    mark, body = source[0], source[1:-1]
    if mark == "`":
        return body.replace("\r", "")
    out = bytearray()
    position = 0
    while position < len(body):
        if body[position] != "\\":
            out += body[position].encode("utf-8", "surrogateescape")
            position += 1
        else:
            piece, position = _escape(body, position + 1, mark)
            out += piece
    text = out.decode("utf-8", "surrogateescape")
    if mark == "'" and len(text) != 1:
        raise ValueError("invalid syntax")
    return text


def _escape(body: str, position: int, mark: str) -> tuple[bytes, int]:
    letter = body[position]
    if letter in _SIMPLE and letter != ("'" if mark == '"' else '"'):
        return _SIMPLE[letter].encode(), position + 1
    if letter in _LENGTHS:
        end = position + 1 + _LENGTHS[letter]
        digits = body[position + 1 : end]
        if len(digits) != _LENGTHS[letter]:
            raise ValueError("invalid syntax")
        code = int(digits, 16)
        return (bytes((code,)) if letter == "x" else chr(code).encode()), end
    digits = body[position : position + 3]
    if len(digits) == 3 and set(digits) <= set("01234567"):
        return bytes((int(digits, 8),)), position + 3
    raise ValueError("invalid syntax")
