"""`--device` and `--gpus`."""

from __future__ import annotations

import os

from sampan.cli.container import csv
from sampan.cli.kinds import Kind, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")


def split_devices(texts: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Mappings of device nodes, and names of CDI devices (`vendor.com/class=name`)."""
    names = [text for text in texts if _is_cdi(text)]
    return [_mapping(text) for text in texts if not _is_cdi(text)], names


def parse_gpus(text: str) -> dict[str, Any]:
    """`all`, a number, or `device=…,capabilities=…`. Raises ValueError with docker's text."""
    request: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": None,
        "Options": {},
    }
    seen: set[str] = set()
    for field in csv.split(text):
        name, equals, value = field.partition("=")
        if not equals:
            name, value = "count", name
        if name in seen:
            raise ValueError(f"gpu request key '{name}' can be specified only once")
        seen.add(name)
        _take(request, name, value, field)
    if not seen & {"count", "device"}:
        request["Count"] = 1
    # The daemon finds a driver by capability; "gpu" is the one that every request needs.
    request["Capabilities"] = [[*(request["Capabilities"] or []), "gpu"]]
    return request


def _take(request: dict[str, Any], name: str, value: str, field: str) -> None:
    if name == "count":
        request["Count"] = _count(value)
    elif name == "device":
        request["DeviceIDs"] = value.split(",")
    elif name == "driver":
        request["Driver"] = value
    elif name == "capabilities":
        request["Capabilities"] = value.split(",")
    elif name == "options":
        pairs = (pair.partition("=") for pair in csv.split(value))
        request["Options"] = {key: option for key, _, option in pairs}
    else:
        raise ValueError(f"unexpected key '{name}' in '{field}'")


def _count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return parse_int(text)
    except ValueError as error:
        reason = str(error).rpartition(": ")[2]
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer: {reason}'
        ) from None


def _mapping(text: str) -> dict[str, str]:
    """`/host[:/container][:rwm]`"""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {text}")
    mode = "rwm"
    if len(parts) == 3:
        if not _is_mode(parts[2]):
            raise ValueError(f"bad mode specified: {parts[2]}")
        mode = parts.pop()
    elif len(parts) == 2 and _is_mode(parts[1]):
        mode = parts.pop()
    inside = parts[-1]
    if not inside.startswith("/"):
        raise ValueError(f"{inside} is not an absolute path")
    if text.count(":") < 2:
        inside = "/" + os.path.normpath(inside).lstrip("/")
    outside = parts[0] if len(parts) == 2 else inside
    return {"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": mode}


def _is_mode(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def _is_cdi(text: str) -> bool:
    """`vendor/class=name`; the device path of a plain mapping starts with a slash."""
    kind, equals, name = text.partition("=")
    vendor, slash, class_ = kind.partition("/")
    if not (equals and slash) or "/" in class_:
        return False
    return _is_word(vendor, "_-.") and _is_word(class_, "_-") and _is_name(name)


def _is_word(text: str, inner: str) -> bool:
    if not text or text[0] not in _LETTERS or text[-1] not in _LETTERS | _DIGITS:
        return False
    return all(c in _LETTERS or c in _DIGITS or c in inner for c in text)


def _is_name(text: str) -> bool:
    ends = _LETTERS | _DIGITS
    if not text or text[0] not in ends or text[-1] not in ends:
        return False
    return all(c in ends or c in "_-.:" for c in text)


GPUS = Kind("gpu-request", parse_gpus, many=True)
