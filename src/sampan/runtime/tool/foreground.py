"""`run` and `exec` in the foreground: signals and terminal are passed on until the process has ended."""

from __future__ import annotations

import os

from sampan.linux import signals as signal
from sampan.linux.kernel import Kernel
from sampan.runtime.request import wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_NOT_FORWARDED = frozenset(
    [
        *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGWINCH, signal.SIGKILL, signal.SIGSTOP),
        # What these mean for this process is that it has a fault of its own.
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT),
        *(signal.SIGTRAP, signal.SIGSYS, signal.SIGURG),
        # Job control of the shell that started us.
        *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    ]
)


def forward_signals(kernel: Kernel, pidfd: int) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            kernel.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass

    for number in signal.valid_signals() - _NOT_FORWARDED:
        try:
            signal.signal(number, forward)
        except (OSError, ValueError):
            pass  # the C library's own


def attend(kernel: Kernel, pidfd: int, console: int | None) -> int:
    """The exit status, as a shell counts it."""
    if console is not None:
        from sampan.runtime.console import relay

        relay(console)
    status = wait_exit(kernel, pidfd)
    os.close(pidfd)
    return status
