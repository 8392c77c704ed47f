"""The standard library's `signal` with plain numbers: without the enumerations, whose import takes 5 ms.

For the type checker it is `signal`. `number_of(name)` is what its `Signals[name]` is for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import *  # noqa: F403
else:
    from _signal import *  # noqa: F403


def number_of(name: str) -> int | None:
    """Of `SIGTERM` and the like."""
    import _signal  # type: ignore[import-not-found]

    number = getattr(_signal, name, None)
    special = name in ("SIG_DFL", "SIG_IGN", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK")
    return number if isinstance(number, int) and name.startswith("SIG") and not special else None
