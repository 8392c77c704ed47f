"""The API's `filters` parameter, decoded: {"label": ["a=b"], "status": ["running"]}.

Rules of moby's `api/types/filters`.
Values of one key are alternatives (labels: all must hold), keys must all hold, an absent key holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sampan.errors import InvalidParameter

Filters = Mapping[str, list[str]]


def check_filters(filters: Filters, accepted: Collection[str]) -> None:
    """Raises InvalidParameter for a key that is not accepted here."""
    for key in filters:
        if key not in accepted:
            raise InvalidParameter(f"invalid filter '{key}'")


def exact(filters: Filters, key: str, value: str) -> bool:
    wanted = filters.get(key)
    return not wanted or value in wanted


def prefix(filters: Filters, key: str, *values: str) -> bool:
    """One of `values` begins with one of the wanted."""
    wanted = filters.get(key)
    return not wanted or any(value.startswith(tuple(wanted)) for value in values)


def labels_hold(filters: Filters, key: str, labels: Mapping[str, str]) -> bool:
    """Every wanted "name" or "name=value" is there."""
    return all(_label_holds(wanted, labels) for wanted in filters.get(key, ()))


def label_exists(wanted: Iterable[str], labels: Mapping[str, str]) -> bool:
    """Any of "name" or "name=value" is there."""
    return any(_label_holds(item, labels) for item in wanted)


def _label_holds(wanted: str, labels: Mapping[str, str]) -> bool:
    name, separator, value = wanted.partition("=")
    return name in labels and (not separator or labels[name] == value)


def boolean(filters: Filters, key: str) -> bool | None:
    """None when the key is absent. Raises InvalidParameter unless it is one of Go's booleans, given once."""
    values = filters.get(key)
    if not values:
        return None
    words = {"1": True, "true": True, "True": True, "0": False, "false": False, "False": False}
    if len(values) != 1 or values[0] not in words:
        shown = " ".join(values)
        raise InvalidParameter(f"invalid filter '{key}=[{shown}]'")
    return words[values[0]]
