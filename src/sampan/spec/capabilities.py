"""From `--cap-add`, `--cap-drop` and `--privileged` to the list of capabilities of a container."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.errors import InvalidParameter
from sampan.spec.defaults import ALL_CAPABILITIES, CAPABILITIES

_KNOWN = frozenset(ALL_CAPABILITIES)


def choose_capabilities(
    add: Iterable[str] | None,
    drop: Iterable[str] | None,
    *,
    privileged: bool,
    held: frozenset[str],
) -> list[str]:
    """Never more than `held`, what the daemon itself has. Raises `InvalidParameter`, in Docker's words.

    With ALL added everything but what is dropped; with ALL dropped nothing but what is added.
    """
    added, dropped = normalise(add, "CapAdd"), normalise(drop, "CapDrop")
    if privileged:
        chosen: Iterable[str] = ALL_CAPABILITIES
    elif "ALL" in added:
        chosen = (name for name in ALL_CAPABILITIES if name not in dropped)
    elif "ALL" in dropped:
        chosen = added
    else:
        kept = [name for name in CAPABILITIES if name not in dropped]
        chosen = kept + [name for name in added if name not in kept]
    return [name for name in chosen if name in held]


def normalise(names: Iterable[str] | None, field: str) -> list[str]:
    """`net_admin`, `CAP_NET_ADMIN` are the same; doubles are dropped, the order is kept."""
    result: dict[str, None] = {}
    for name in names or ():
        upper = name.upper()
        if upper != "ALL" and not upper.startswith("CAP_"):
            upper = "CAP_" + upper
        if upper != "ALL" and upper not in _KNOWN:
            raise InvalidParameter(f'invalid {field}: unknown capability: "{upper}"')
        result[upper] = None
    return list(result)
