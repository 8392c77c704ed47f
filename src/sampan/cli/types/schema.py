"""Structures described in a few words a line, and JSON decoded by such a description.

    Version string              a field; its JSON name is the same
    ID=Id string                Go's name, then JSON's
    Health? *Health             left out of the JSON when empty (omitempty)
    + Base                      an embedded structure

Types: string int bool float any time; []T, map[T] (keys are strings), *T; everything else is another structure.
"""

from __future__ import annotations

from sampan.spec.template.values import Map, Moment, Nil, Pointer, Slice, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ZERO: dict[str, Any] = {"string": "", "int": 0, "bool": False, "float": 0.0, "any": None}
_ZERO_TIME = "0001-01-01T00:00:00Z"


class Field:
    __slots__ = ("embedded", "json", "name", "omit", "type")

    def __init__(self, line: str) -> None:
        words = line.split()
        self.embedded = words[0] == "+"
        if self.embedded:
            self.type = words[1]
            self.name = self.json = self.type.rpartition(".")[2]
            self.omit = False
            return
        name, self.type = words
        self.omit = name.endswith("?")
        self.name, _, json = name.rstrip("?").partition("=")
        self.json = json or self.name


class Schema:
    """Structures by name. `text` has a line `name:` before the fields of each;"""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, list[str]] = {}
        self._fields: dict[str, list[Field]] = {}
        for line in text.strip().splitlines():
            if line.endswith(":"):
                current = self._lines.setdefault(line[:-1], [])
            else:
                current.append(line)

    def decode(self, kind: str, value: Any) -> Any:
        """A JSON value as a value of Go's type `kind`."""
        if kind in _ZERO:
            return _ZERO[kind] if value is None else value
        if kind == "time":
            return Moment(value or _ZERO_TIME)
        if kind.startswith("[]"):
            if value is None:
                return Nil("slice", kind)
            return Slice([self.decode(kind[2:], item) for item in value], kind)
        if kind.startswith("map["):
            if value is None:
                return Nil("map", kind)
            inner = kind[4:-1]
            content = {key: self.decode(inner, value[key]) for key in sorted(value)}
            return Map(content, self.decode(inner, None))
        if kind.startswith("*"):
            return self._pointer(kind, value)
        return self._struct(kind, value if isinstance(value, dict) else {})

    def _pointer(self, kind: str, value: Any) -> Any:
        if value is None:
            return Nil("pointer", kind)
        decoded = self.decode(kind[1:], value)
        return Pointer(decoded) if isinstance(decoded, Struct) else decoded

    def _struct(self, kind: str, value: dict[str, Any]) -> Struct:
        fields: dict[str, Any] = {}
        json: dict[str, Any] = {}
        embedded = set()
        for field in self._fields_of(kind):
            if field.embedded:
                inner = self.decode(field.type, value)
                embedded.add(field.name)
                json |= inner.target.json if isinstance(inner, Pointer) else inner.json
            else:
                inner = self.decode(field.type, value.get(field.json))
                if not (field.omit and _is_empty(inner)):
                    json[field.json] = inner
            fields[field.name] = inner
        return Struct(kind, fields, json, frozenset(embedded))

    def _fields_of(self, kind: str) -> list[Field]:
        if kind not in self._fields:
            self._fields[kind] = [Field(line) for line in self._lines[kind]]
        return self._fields[kind]


def _is_empty(value: Any) -> bool:
    """Go's omitempty: structures never are."""
    if isinstance(value, Nil):
        return True
    if isinstance(value, Struct | Pointer | Moment):
        return isinstance(value, Moment) and value.text == _ZERO_TIME
    return not value
