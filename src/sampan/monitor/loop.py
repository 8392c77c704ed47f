"""An epoll loop of a hundred lines: descriptors with callbacks, and timers on the monotonic clock.

asyncio costs an idle monitor more memory than all the rest of it. A callback that raises loses its
descriptor or timer, and nothing else: one bad client must not end a container's monitor.
"""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

IN, OUT = select.EPOLLIN, select.EPOLLOUT
RDHUP, HUP, ERR = select.EPOLLRDHUP, select.EPOLLHUP, select.EPOLLERR

Callback = Callable[[int], None]


class Timer:
    __slots__ = ("action", "moment")

    def __init__(self, moment: float, action: Callable[[], None]) -> None:
        self.moment = moment
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """`on_error(error)` is told what a callback raised."""

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._on_error = on_error
        self._stopped = False

    def fileno(self) -> int:
        return self._epoll.fileno()

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback(events)` when `fd` is ready; again for the same `fd` replaces the events."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Before `fd` is closed. No error when it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watching(self, fd: int) -> bool:
        return fd in self._callbacks

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, (timer.moment, next(self._order), timer))
        return timer

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped:
            self.step()

    def step(self, timeout: float | None = None) -> None:
        """Wait once, at most `timeout` seconds, and call what is due."""
        until = self._until_timer()
        if until is not None:
            timeout = until if timeout is None else min(timeout, until)
        for fd, events in self._epoll.poll(-1 if timeout is None else timeout):
            callback = self._callbacks.get(fd)
            if callback is None:
                continue  # forgotten by a callback of this round
            try:
                callback(events)
            except Exception as error:
                self.forget(fd)
                self._on_error(error)
        self._run_timers()

    def close(self) -> None:
        self._epoll.close()

    def _until_timer(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            action = heapq.heappop(self._timers)[2].action
            if action is None:
                continue
            try:
                action()
            except Exception as error:
                self._on_error(error)
