"""The two clocks: the wall's for what is shown, the monotonic one for waiting."""

from __future__ import annotations

import time


class Clock:
    """Nanoseconds. Tests have one of their own."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()
