"""Objects to JSON as dockerd writes it: UTF-8, a newline behind, what is not UTF-8 replaced."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_SURROGATE = re.compile("[\ud800-\udfff]")


def json(body: Any) -> bytes:
    try:
        return _encoder.encode(body) + b"\n"
    except UnicodeEncodeError:
        # A name or a line of a container's that is not UTF-8 came in by surrogateescape.
        return _encoder.encode(_clean(body)) + b"\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value
