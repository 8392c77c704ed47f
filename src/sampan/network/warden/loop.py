"""A small event loop on epoll: callbacks by descriptor, and timers. One thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import select
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

READ = select.EPOLLIN
BOTH_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
BATCH = 256


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._soon: list[Callable[[], None]] = []
        self._number = itertools.count()
        self.running = True

    def watch(self, fd: int, callback: Callable[[], None], events: int = READ) -> None:
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Before the descriptor is closed. What is not watched is no error."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._number), callback))

    def soon(self, callback: Callable[[], None]) -> None:
        """In the next round, after others had their turn."""
        self._soon.append(callback)

    def run(self) -> None:
        """Until `running` is False."""
        while self.running:
            for fd, _ in self._epoll.poll(self._patience(), BATCH):
                callback = self._callbacks.get(fd)
                if callback is not None:  # else an earlier callback of this round closed it
                    self._call(callback)
            soon, self._soon = self._soon, []
            for callback in soon:
                self._call(callback)
            while self._timers and self._timers[0][0] <= time.monotonic():
                self._call(heapq.heappop(self._timers)[2])

    def _patience(self) -> float:
        if self._soon:
            return 0
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else -1

    def _call(self, callback: Callable[[], None]) -> None:
        """One client's failure is not the others'."""
        try:
            callback()
        except Exception:
            log.exception("an event was not handled")
