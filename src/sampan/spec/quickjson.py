"""`loads` and `dumps` of json, by the same C code, without the regular expressions that its package loads (7 ms).

For `sampan-runtime`, whose every call pays for what is imported. The results are json's, and so are the errors:
`ValueError`, with json's words. Where an interpreter has not that C code, or has it differently, json itself is used.
"""

from __future__ import annotations

from sampan.spec.typing import Any

_SPACE = " \t\n\r"


def _plain_loads(text: str) -> Any:
    import json

    return json.loads(text)


def _plain_dumps(value: Any, *, separators: tuple[str, str] = (", ", ": ")) -> str:
    import json

    return json.dumps(value, separators=separators)


class _Context:
    """What the scanner asks its decoder for; as `json.JSONDecoder()`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own, emptied by it

    @staticmethod
    def parse_constant(word: str) -> float:
        return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}[word]


def _refuse(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    _scan = make_scanner(_Context)  # type: ignore[arg-type]

    def loads(text: str) -> Any:
        start = len(text) - len(text.lstrip(_SPACE))
        try:
            value, end = _scan(text, start)
        except StopIteration:
            return _plain_loads(text)  # which says what is wrong
        if text[end:].strip(_SPACE):
            return _plain_loads(text)
        return value

    def dumps(value: Any, *, separators: tuple[str, str] = (", ", ": ")) -> str:
        item, key = separators
        encode = make_encoder(
            {}, _refuse, encode_basestring_ascii, None, key, item, False, False, True
        )
        return "".join(encode(value, 0))

    if loads(dumps({"a": [1, None]})) != {"a": [1, None]}:
        raise ImportError("not as expected")
except (ImportError, TypeError, AttributeError):
    loads, dumps = _plain_loads, _plain_dumps
