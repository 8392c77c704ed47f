"""How often to try again, and when: exponential, with jitter, and never longer than anybody wants to wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from sampan.distribution.failures import Throttled, passing
from sampan.distribution.options import Options
from sampan.errors import SampanError


class Retry:
    """One for each request. `after(error)` is the time to wait, or raises `error` when that is pointless."""

    def __init__(self, options: Options, choose: Callable[[], float] = random.random) -> None:
        self._attempts = options.attempts
        self._times = options.timeouts
        self._choose = choose
        self._failed = 0

    def reset(self) -> None:
        """There was progress: the count begins again."""
        self._failed = 0

    def after(self, error: SampanError) -> float:
        """Seconds. A registry's Retry-After counts, up to a limit; above it there is no other try."""
        self._failed += 1
        if self._failed >= self._attempts or not passing(error):
            raise error
        delay = min(self._times.retry_base * 2.0 ** (self._failed - 1), self._times.retry_cap)
        if isinstance(error, Throttled) and error.after is not None:
            if error.after > self._times.retry_after:
                raise error
            delay = max(delay, error.after)
        return delay * (1 + self._choose() / 2)

    async def wait(self, error: SampanError) -> None:
        """Raises `error` when there is no other try."""
        await asyncio.sleep(self.after(error))
