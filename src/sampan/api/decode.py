"""JSON from clients to msgspec structs, with Go's habits and none of Python's surprises.

As Go: keys match without regard to case, null is the zero value, unknown keys are skipped, integers are 64
bits and never written with a point. Stricter than Go: a key that stands twice, NUL and lone surrogates in
texts are refused, since two readers could take them in two ways. Whatever is wrong is InvalidParameter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from sampan.errors import InvalidParameter
from sampan.spec.container import ContainerConfig, HostConfig

T = TypeVar("T", bound=msgspec.Struct)
Convert = Callable[[Any, str], Any]

MAX_DEPTH = 64
# Go's strslice.StrSlice: a single string is a list of one.
STRING_OR_LIST: dict[type, frozenset[str]] = {
    ContainerConfig: frozenset(["Cmd", "Entrypoint", "Shell"]),
    HostConfig: frozenset(["CapAdd", "CapDrop"]),
}
_MEDIA_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+/[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_TEXT = re.compile("[\0\ud800-\udfff]")


def check_content_type(value: str, has_body: bool) -> None:
    """Raises InvalidParameter with dockerd's texts."""
    if not value and not has_body:
        return
    kind = value.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(kind):
        raise InvalidParameter(
            f"malformed Content-Type header ({value[:128]}): mime: no media type"
        )
    if kind != "application/json":
        raise InvalidParameter(
            f"unsupported Content-Type header ({value[:128]}): must be 'application/json'"
        )


def load(body: bytes) -> Any:
    """Strict JSON. Raises InvalidParameter; the text is for putting behind "invalid JSON: "."""
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )
    except UnicodeDecodeError:
        raise InvalidParameter("invalid UTF-8 in string") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise InvalidParameter("unexpected content after JSON") from None
        if error.pos >= len(text.rstrip()):
            raise InvalidParameter("unexpected EOF") from None
        raise InvalidParameter(f"{error.msg} at offset {error.pos}") from None
    except RecursionError:
        raise InvalidParameter("exceeded max depth") from None
    # A raw NUL is refused by the scanner; an escaped one, like half of a surrogate pair, is not.
    _check(value, 0, escapes="\\u" in text)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidParameter("an object has the same key twice")
    return found


def _constant(word: str) -> NoReturn:
    raise InvalidParameter(f"invalid character '{word[0]}' looking for beginning of value")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise InvalidParameter(f"number {text[:20]}… out of range")
    return int(text)


def _check(value: Any, depth: int, *, escapes: bool) -> None:
    if depth > MAX_DEPTH:
        raise InvalidParameter("exceeded max depth")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth, escapes=escapes)
            _check(item, depth + 1, escapes=escapes)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1, escapes=escapes)
    elif escapes and isinstance(value, str) and _BAD_TEXT.search(value):
        raise InvalidParameter("a string has a NUL or half of a surrogate pair")


def decode(body: bytes, shape: type[T]) -> T:
    """Raises InvalidParameter."""
    if not body.strip():
        raise InvalidParameter("invalid JSON: got EOF while reading request body")
    try:
        value = load(body)
        if value is None:
            return shape()
        prepared = converter(shape)(value, "")
    except InvalidParameter as error:
        text = str(error)
        prefix = "" if text.startswith("unexpected content") else "invalid JSON: "
        raise InvalidParameter(prefix + text) from None
    return msgspec.convert(prepared, shape)


@cache
def converter(shape: type[msgspec.Struct]) -> Convert:
    """Checks and renames a decoded value so that `msgspec.convert` takes it."""
    return _convert(inspect.type_info(shape), shape.__name__)[0]


def _struct(info: inspect.StructType, root: str) -> Convert:
    lists: set[str] = set()
    for base, names in STRING_OR_LIST.items():
        if issubclass(info.cls, base):
            lists |= names
    fields: dict[str, tuple[str, Convert, bool]] = {}
    for item in info.fields:
        convert, nullable = _convert(item.type, root)
        if item.encode_name in lists:
            convert = _string_or_list(convert)
        fields[item.encode_name.lower()] = (item.encode_name, convert, nullable)

    def apply(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            _mismatch(value, root, path, info.cls.__name__)
        found: dict[str, Any] = {}
        for key, item in value.items():
            field = fields.get(key.lower())
            if field is None or item is None:
                continue
            name, convert, _ = field
            if name in found:
                raise InvalidParameter(f'an object has the key "{name}" twice')
            found[name] = convert(item, f"{path}.{name}")
        return found

    return apply


def _string_or_list(convert: Convert) -> Convert:
    def apply(value: Any, path: str) -> Any:
        return [value] if isinstance(value, str) else convert(value, path)

    return apply


# One entry a kind of JSON value: Go's name of the type, and what Python makes of such a value.
_SCALARS: dict[type, tuple[str, type]] = {
    inspect.StrType: ("string", str),
    inspect.IntType: ("int64", int),
    inspect.BoolType: ("bool", bool),
}


def _convert(info: inspect.Type, root: str) -> tuple[Convert, bool]:
    """How to convert a value of this type, and whether null means something of its own."""
    if isinstance(info, inspect.UnionType):
        rest = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
        assert len(rest) == 1, f"{root}: a field is of one type or null"
        return _convert(rest[0], root)[0], True
    if isinstance(info, inspect.StructType):
        return _struct(info, root), False
    if isinstance(info, inspect.ListType):
        return _list(*_convert(info.item_type, root), zero(info.item_type), root), False
    if isinstance(info, inspect.DictType):
        return _dict(*_convert(info.value_type, root), zero(info.value_type), root), False
    if isinstance(info, (inspect.AnyType, inspect.CustomType)):  # `object`, to msgspec, is custom
        return _as_is, True
    name, kind = _SCALARS[type(info)]
    return _scalar(name, kind, root), False


def _as_is(value: Any, path: str) -> Any:
    return value


def zero(info: inspect.Type) -> Any:
    """What Go leaves there for a null."""
    zeros: dict[type, Any] = {
        inspect.StrType: "",
        inspect.IntType: 0,
        inspect.BoolType: False,
        inspect.ListType: [],
        inspect.DictType: {},
        inspect.StructType: {},
    }
    return zeros.get(type(info))


def _list(convert: Convert, nullable: bool, empty: Any, root: str) -> Convert:
    def apply(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            _mismatch(value, root, path, "[]")
        return [(None if nullable else empty) if v is None else convert(v, path) for v in value]

    return apply


def _dict(convert: Convert, nullable: bool, empty: Any, root: str) -> Convert:
    def apply(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            _mismatch(value, root, path, "map")
        return {
            key: (None if nullable else empty) if v is None else convert(v, path)
            for key, v in value.items()
        }

    return apply


def _scalar(name: str, kind: type, root: str) -> Convert:
    def apply(value: Any, path: str) -> Any:
        # type() and not isinstance(): True is an int, to Python.
        if type(value) is not kind:
            _mismatch(value, root, path, name)
        return value

    def apply_integer(value: Any, path: str) -> Any:
        if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
            _mismatch(value, root, path, name)
        return value

    return apply_integer if kind is int else apply


def _mismatch(value: Any, root: str, path: str, wanted: str) -> NoReturn:
    kinds: dict[type, str] = {str: "string", bool: "bool", list: "array", dict: "object"}
    found = kinds.get(type(value), "number")
    if found == "number" and wanted == "int64":
        found = f"number {value}"  # of a kind that a number must have
    where = f"Go struct field {root}{path} of type" if path else "Go value of type"
    raise InvalidParameter(f"json: cannot unmarshal {found} into {where} {wanted}")
