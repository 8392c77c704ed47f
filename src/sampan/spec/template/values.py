"""Data as a template sees it.

JSON values are themselves: str, int, float, bool, list, dict (a map), None (a nil interface). A `Struct` has fields
in an order and a Go type's name; a `Record` has methods; a `Nil` is a nil that knows its kind.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Nil:
    """A nil slice, map or pointer: empty, but not missing."""

    def __init__(self, kind: str, type_name: str) -> None:
        self.kind = kind
        self.type_name = type_name

    def to_json(self, escape_html: bool) -> str:
        return "null"


class Struct:
    """A Go structure: `fields` in their order, embedded structures among them, and what its JSON is."""

    def __init__(
        self, type_name: str, fields: dict[str, Any], json: dict[str, Any], embedded: frozenset[str]
    ) -> None:
        self.type_name = type_name
        self.fields = fields
        self.json = json
        self._embedded = embedded

    def find(self, name: str) -> Any:
        """A field's value, also one of an embedded structure. Raises KeyError."""
        if name in self.fields:
            return self.fields[name]
        for outer in self._embedded:
            inner = follow(self.fields[outer])
            if isinstance(inner, Struct):
                try:
                    return inner.find(name)
                except KeyError:
                    continue
        raise KeyError(name)

    def to_json(self, escape_html: bool) -> str:
        """The fields in their order; what is a map inside is sorted."""
        from sampan.spec.jsontext import dumps, quote

        pairs = (
            f"{quote(name)}:{dumps(value, escape_html=escape_html, sort=True)}"
            for name, value in self.json.items()
        )
        return f"{{{','.join(pairs)}}}"


class Moment:
    """A `time.Time`, from its JSON."""

    type_name = "time.Time"

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        """As Go prints it: `2026-11-24 06:08:52.347768421 +0000 UTC`."""
        date, _, rest = self.text.partition("T")
        zulu = rest.endswith("Z")
        clock, zone = (rest[:-1], "+00:00") if zulu else (rest[:-6], rest[-6:])
        offset = zone.replace(":", "")
        return f"{date} {clock} {offset} {'UTC' if zulu else offset}"

    def to_json(self, escape_html: bool) -> str:
        from sampan.spec.jsontext import quote

        return quote(self.text)


class Pointer:
    """A pointer inside a structure: followed by field access, printed as an address by Go."""

    def __init__(self, target: Struct) -> None:
        self.target = target

    def to_json(self, escape_html: bool) -> str:
        return self.target.to_json(escape_html)


class Slice(list["Any"]):
    """A list whose elements have a type, and not only an interface."""

    def __init__(self, items: list[Any], type_name: str) -> None:
        super().__init__(items)
        self.type_name = type_name


class Map(dict[str, "Any"]):
    """A map whose absent keys have a value when it is indexed, as Go's typed maps do."""

    def __init__(self, content: dict[str, Any], zero: Any) -> None:
        super().__init__(content)
        self.zero = zero


class Header(dict[str, str]):
    """The headings of a table. `.Label "a.b-c"` is the heading of that label: its last part."""

    def label(self, name: str) -> str:
        return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


class Record:
    """A row of a table: named columns, computed when they are asked for; some take arguments (`.Label "x"`)."""

    type_name = ""

    def columns(self) -> dict[str, Callable[..., Any]]:
        """By Go's method names."""
        raise NotImplementedError

    def hidden(self) -> frozenset[str]:
        """Those that JSON does not have: they take arguments."""
        return frozenset()

    def to_json(self, escape_html: bool) -> str:
        from sampan.spec.jsontext import dumps

        columns, hidden = self.columns(), self.hidden()
        # Go marshals this map before the outer encoder's settings count: HTML is escaped here in any case.
        return dumps({name: columns[name]() for name in sorted(columns) if name not in hidden})


def is_true(value: Any) -> bool:
    """Whether `if` takes it: not zero, not nil, not empty. A structure is always true."""
    if isinstance(value, Nil):
        return False
    if isinstance(value, Struct | Pointer | Record | Moment):
        return True
    return bool(value)


def follow(value: Any) -> Any:
    return value.target if isinstance(value, Pointer) else value


def type_name(value: Any) -> str:
    """Go's name for the type of a value that was decoded from JSON."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return getattr(value, "type_name", "[]interface {}")
    if isinstance(value, Pointer):
        return f"*{value.target.type_name}"
    if value is None:
        return "<nil>"
    name: str = value.type_name
    return name
