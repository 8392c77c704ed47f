"""Waiting so that no signal is missed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from sampan.cli.wakeups import wait_for

# The signal is taken in another thread, so the system call of the main thread is not interrupted: as with one that
# comes just before the call, only the pipe can wake it.
CHILD = """
import _thread, os, select, signal, sys
from sampan.cli import wakeups

wakeups.open_pipe()
signal.signal(signal.SIGUSR1, lambda number, frame: os._exit(7))
reader, writer = os.pipe()
ready = _thread.allocate_lock()
ready.acquire()

def take():
    ready.acquire()
    while True:
        signal.sigtimedwait([], 60)

_thread.start_new_thread(take, ())
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
ready.release()
os.write(1, b"x")
wakeups.wait_for(reader, select.POLLIN)
"""


def test_a_signal_that_does_not_interrupt() -> None:
    """It wakes the waiting one all the same."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        child.send_signal(signal.SIGUSR1)
        try:
            assert child.wait(60) == 7
        finally:
            child.kill()


@pytest.mark.parametrize("events", [1, 4])
def test_what_came(events: int) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.send(b"x")
        assert wait_for(one.fileno(), events) == events
