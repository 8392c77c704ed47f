"""The functions of templates: Go's own, and docker's."""

from __future__ import annotations

from sampan.spec import jsontext
from sampan.spec.goquote import go_quote
from sampan.spec.template.printing import sprint, sprintf, sprintln
from sampan.spec.template.values import (
    Nil,
    Pointer,
    Record,
    Slice,
    Struct,
    follow,
    is_true,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_JS = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}
_URL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class CallFailed(Exception):
    """A function refuses its arguments."""


class Function:
    """`parameters` are Go's type names; `variadic` repeats the last one. "any" takes everything."""

    def __init__(
        self,
        call: Callable[..., Any],
        *parameters: str,
        variadic: bool = False,
        at_least: int | None = None,
    ) -> None:
        self.call = call
        self.parameters = parameters
        self.variadic = variadic
        self.at_least = len(parameters) - variadic if at_least is None else at_least

    def parameter(self, index: int) -> str:
        return self.parameters[min(index, len(self.parameters) - 1)]


def to_json(value: Any) -> str:
    return jsontext.dumps(value, escape_html=False, sort=True)


def title(text: str) -> str:
    """The first letter of every word in upper case."""
    out, before = [], " "
    for character in text:
        out.append(character if _is_word(before) else character.upper())
        before = character
    return "".join(out)


def pad(text: str, prefix: int, suffix: int) -> str:
    return " " * prefix + text + " " * suffix if text else text


def truncate(text: str, length: int) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return data[:length].decode("utf-8", "replace") if len(data) >= length else text


def length(value: Any) -> int:
    value = follow(value)
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, list | dict):
        return len(value)
    if isinstance(value, Nil) and value.kind in ("slice", "map"):
        return 0
    if value is None or isinstance(value, Nil):
        raise CallFailed("len of nil pointer")
    raise CallFailed(f"len of type {type_name(value)}")


def index(value: Any, *keys: Any) -> Any:
    """`index x 1 "a"` is x[1]["a"]."""
    for key in keys:
        value = _index(follow(value), key)
    return value


def slice_(value: Any, *bounds: Any) -> Any:
    if len(bounds) > 3:
        raise CallFailed(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, str):
        if len(bounds) == 3:
            raise CallFailed("cannot 3-index slice a string")
        data = value.encode("utf-8", "surrogateescape")
        first, last = _bounds(len(data), bounds)
        return data[first:last].decode("utf-8", "replace")
    if isinstance(value, list):
        first, last = _bounds(len(value), bounds[:2])
        return value[first:last]
    if value is None:
        raise CallFailed("slice of untyped nil")
    raise CallFailed(f"can't slice item of type {type_name(value)}")


def equal(first: Any, *others: Any) -> bool:
    if not others:
        raise CallFailed("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def less(first: Any, second: Any) -> bool:
    kinds = {_kind(first), _kind(second)}
    if None in kinds:
        raise CallFailed("invalid type for comparison")
    if len(kinds) > 1:
        raise CallFailed("incompatible types for comparison")
    if "bool" in kinds:
        raise CallFailed("invalid type for comparison")
    result: bool = first < second
    return result


def html(*values: Any) -> str:
    return "".join(_HTML.get(c, c) for c in _joined(values))


def js(*values: Any) -> str:
    return "".join(
        _JS.get(c) or (c if c.isprintable() else f"\\u{ord(c):04X}") for c in _joined(values)
    )


def urlquery(*values: Any) -> str:
    data = _joined(values).encode("utf-8", "surrogateescape")
    return "".join(chr(b) if b in _URL else "+" if b == 0x20 else f"%{b:02X}" for b in data)


def _joined(values: tuple[Any, ...]) -> str:
    return sprint(list(values))


def _is_word(character: str) -> bool:
    return (
        character.isalnum()
        or character == "_"
        or (not character.isascii() and not character.isspace())
    )


def _index(value: Any, key: Any) -> Any:
    if value is None or (isinstance(value, Nil) and value.kind == "pointer"):
        raise CallFailed("index of untyped nil" if value is None else "index of nil pointer")
    if isinstance(value, dict) or (isinstance(value, Nil) and value.kind == "map"):
        if not isinstance(key, str):
            raise CallFailed(f"value has type {type_name(key)}; should be string")
        return value.get(key, getattr(value, "zero", None)) if isinstance(value, dict) else None
    if isinstance(value, str | list | Nil):
        items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        kind = "string" if isinstance(value, str) else "slice"
        return _item([] if isinstance(items, Nil) else items, key, kind)
    raise CallFailed(f"can't index item of type {type_name(value)}")


def _item(items: list[Any] | bytes, key: Any, kind: str) -> Any:
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallFailed(
            "cannot index slice/array with nil"
            if key is None
            else f"cannot index slice/array with type {type_name(key)}"
        )
    if not 0 <= key <= len(items):
        raise CallFailed(f"index out of range: {key}")
    if key == len(items):  # Go checks the bounds of an index as if it were one of a slice
        raise CallFailed(f"reflect: {kind} index out of range")
    return items[key]


def _bounds(size: int, bounds: tuple[Any, ...]) -> tuple[int, int]:
    found = [0, size]
    for position, bound in enumerate(bounds):
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise CallFailed(f"cannot index slice/array with type {type_name(bound)}")
        if not 0 <= bound <= size:
            raise CallFailed(f"index out of range: {bound}")
        found[position] = bound
    if found[0] > found[1]:
        raise CallFailed(f"invalid slice index: {found[0]} > {found[1]}")
    return found[0], found[1]


def _equal(first: Any, second: Any) -> bool:
    if first is None or second is None or isinstance(first, Nil) or isinstance(second, Nil):
        return _is_nil(first) and _is_nil(second)
    kinds = _kind(first), _kind(second)
    if None in kinds:
        raise CallFailed(f"non-comparable type {type_name(first)}: {sprint([first])}")
    if kinds[0] != kinds[1]:
        raise CallFailed("incompatible types for comparison")
    same: bool = first == second
    return same


def _is_nil(value: Any) -> bool:
    return value is None or isinstance(value, Nil)


def _kind(value: Any) -> str | None:
    for kind in (bool, str, int, float):
        if isinstance(value, kind):
            return kind.__name__
    return None


_ANY: dict[str, Function] = {
    "and": Function(is_true, "any", variadic=True, at_least=1),
    "or": Function(is_true, "any", variadic=True, at_least=1),
    "not": Function(lambda value: not is_true(value), "any"),
    "html": Function(html, "any", variadic=True),
    "index": Function(index, "any", "any", variadic=True),
    "js": Function(js, "any", variadic=True),
    "len": Function(length, "any"),
    "print": Function(lambda *values: sprint(list(values)), "any", variadic=True),
    "printf": Function(
        lambda text, *values: sprintf(text, list(values)), "string", "any", variadic=True
    ),
    "println": Function(lambda *values: sprintln(list(values)), "any", variadic=True),
    "slice": Function(slice_, "any", "any", variadic=True),
    "urlquery": Function(urlquery, "any", variadic=True),
    "eq": Function(equal, "any", "any", variadic=True),
    "ne": Function(lambda a, b: not _equal(a, b), "any", "any"),
    "lt": Function(less, "any", "any"),
    "le": Function(lambda a, b: less(a, b) or _equal(a, b), "any", "any"),
    "gt": Function(lambda a, b: not (less(a, b) or _equal(a, b)), "any", "any"),
    "ge": Function(lambda a, b: not less(a, b), "any", "any"),
}

FUNCTIONS = _ANY | {
    "json": Function(to_json, "any"),
    "split": Function(lambda text, separator: _split(text, separator), "string", "string"),
    "join": Function(
        lambda items, separator: separator.join(_strings(items)), "[]string", "string"
    ),
    "title": Function(title, "string"),
    "lower": Function(lambda text: text.lower(), "string"),
    "upper": Function(lambda text: text.upper(), "string"),
    "pad": Function(pad, "string", "int", "int"),
    "truncate": Function(truncate, "string", "int"),
}

# For the line of headers: what works on data must leave the words above it alone.
HEADER_FUNCTIONS = FUNCTIONS | {
    "json": Function(lambda text: text, "string"),
    "join": Function(lambda text, separator: text, "string", "string"),
    "split": Function(lambda text, separator: text, "string", "string"),
    "title": Function(lambda text: text, "string"),
    "lower": Function(lambda text: text, "string"),
    "upper": Function(lambda text: text, "string"),
    "truncate": Function(lambda text, size: text, "string", "int"),
}


def fits(value: Any, wanted: str) -> bool:
    """Whether a value can be given for a parameter of this type."""
    if wanted == "any":
        return True
    if wanted == "[]string":
        return isinstance(value, Slice | Nil) and value.type_name == wanted
    if wanted == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str) and not isinstance(value, Struct | Pointer | Record)


def describe(value: Any) -> str:
    return type_name(value)


def _split(text: str, separator: str) -> Slice:
    return Slice(text.split(separator) if separator else list(text), "[]string")


def _strings(value: Any) -> list[str]:
    return [] if isinstance(value, Nil) else value


def quote(text: str) -> str:
    return go_quote(text)
