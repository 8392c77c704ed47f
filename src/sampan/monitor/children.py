"""The monitor's children: SIGCHLD as an event of the loop, and every one of them reaped.

The monitor is a child subreaper: besides init and exec'd processes it gets the orphans of those that
entered the container from outside, and reaps them too.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from sampan.monitor.loop import IN, Loop


class Children:
    """`on_exit(pid, status)` with waitpid's status, for every child, known or not.

    `catch_sigchld` was called in this process or, as in a child of the spawner, before it was forked.
    """

    def __init__(self, loop: Loop, on_exit: Callable[[int, int], None]) -> None:
        self.held = False  # nobody is reaped: somebody else waits for a child by its pid
        self._loop = loop
        self._on_exit = on_exit
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        loop.watch(self._wake, IN, self._on_wake)

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._loop.forget(self._wake)
        os.close(self._wake)
        os.close(self._waker)

    def reap(self) -> None:
        """All that have ended by now."""
        while not self.held:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._on_exit(pid, status)

    def _on_wake(self, _events: int) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        self.reap()


def catch_sigchld(wake: int) -> None:
    """From now on every child's end writes a byte to the non-blocking descriptor `wake`."""
    signal.signal(signal.SIGCHLD, _nothing)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)


def _nothing(_number: int, _frame: object) -> None:
    """Without a handler in Python no byte would be written."""


def exit_code(status: int) -> int:
    """As a shell counts it, from waitpid's status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
