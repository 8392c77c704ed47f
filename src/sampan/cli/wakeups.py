"""Waiting for a descriptor so that no signal is missed.

A handler in Python runs between two instructions. A signal that comes after the last of them and before the kernel
waits would be handled when the waiting ends, which may be never: Ctrl-C would do nothing. So the C handler also writes
to a pipe (`signal.set_wakeup_fd`), and whoever waits here waits for that pipe too.
"""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

_pipe: list[int] = []


def open_pipe() -> None:
    """Once for the process, in its main thread, before handlers are set."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _pipe.append(reader)


def wait_for(descriptor: int, events: int) -> int:
    """Until one of `events` (of poll(2), errors besides) has come to the descriptor; handlers run meanwhile.

    Only for the main thread: another one would take the bytes that were to wake it.
    """
    poll = select.poll()
    poll.register(descriptor, events)
    for reader in _pipe:
        poll.register(reader, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        for reader in _pipe:
            if reader in ready:
                os.read(reader, 4096)
        if descriptor in ready:
            return ready[descriptor]
