"""`--filter`, as the API takes it."""

from __future__ import annotations

from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def encode_filters(pairs: Iterable[tuple[str, str]]) -> str | None:
    """`{"name":{"a":true}}`, or None when there is none."""
    grouped: dict[str, set[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, set()).add(value)
    if not grouped:
        return None
    return jsontext.dumps(
        {name: dict.fromkeys(sorted(grouped[name]), True) for name in sorted(grouped)}
    )
