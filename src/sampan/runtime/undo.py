"""Taking back what was done, when a later step fails."""

from __future__ import annotations

from sampan.linux import signals as signal
from sampan.linux.kernel import Kernel
from sampan.runtime.request import wait_exit
from sampan.spec.typing import Callable


class Undo:
    """Steps back, run last first. A failure of one is a note on the error that made them run."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = []

    def add(
        self, name: str, step: Callable[[], object], *, settled: Callable[[], object] | None = None
    ) -> None:
        """`settled`: what is done instead once the step is out of the question, see `settle`."""
        self._steps.append((name, step, settled))

    def settle(self) -> None:
        """All went well: from here on only those steps count that end what runs."""
        for _, _, settled in self._steps:
            if settled is not None:
                settled()
        self._steps = [entry for entry in self._steps if entry[2] is None]

    def run(self, error: BaseException | None = None) -> None:
        while self._steps:
            name, step, _ = self._steps.pop()
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
