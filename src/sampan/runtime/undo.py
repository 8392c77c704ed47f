"""Taking back what was done, when a later step fails."""

from __future__ import annotations

from collections.abc import Callable

from sampan.linux import signals as signal
from sampan.linux.kernel import Kernel
from sampan.runtime.request import wait_exit


class Undo:
    """Steps back, run last first. A failure of one is a note on the error that made them run."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def add(self, name: str, step: Callable[[], object]) -> None:
        self._steps.append((name, step))

    def run(self, error: BaseException | None = None) -> None:
        while self._steps:
            name, step = self._steps.pop()
            try:
                step()
            except Exception as failure:
                if error is not None:
                    error.add_note(f"while undoing ({name}): {failure}")


def kill_and_reap(kernel: Kernel, pidfd: int) -> None:
    """End a child and forget it; `pidfd` is closed."""
    try:
        kernel.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_exit(kernel, pidfd)
    except (ProcessLookupError, ChildProcessError):
        pass  # it has been reaped already
    kernel.close(pidfd)
