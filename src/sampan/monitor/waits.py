"""Clients that wait for the container's end over the API, so that they get their answer whatever becomes of the daemon.

The daemon answers by its own descriptor of the connection; ours is a duplicate. A wait becomes ours to answer
when the daemon that brought it goes before the container was deleted: at the exit, or, when the client wants
the removal, once a later daemon deletes the container; with no daemon there to do that, the exit is all there is.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from sampan.monitor.loop import Loop
from sampan.monitor.messages import WaitOptions


@dataclass(slots=True)
class _Wait:
    fd: int
    options: WaitOptions
    owner: object | None  # None: whoever would have answered is gone


class Waits:
    """`owner` is the connection that a wait came by."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waits: list[_Wait] = []
        self._exit_code: int | None = None

    def add(self, owner: object, fd: int, options: WaitOptions) -> None:
        """Takes `fd` over."""
        wait = _Wait(fd, options, owner)
        self._waits.append(wait)
        self._loop.watch(fd, 0, lambda _events: self._drop(wait))  # the client has gone

    def lost(self, owner: object, *, last: bool) -> None:
        """Its daemon is gone; `last`: no other is connected."""
        for wait in self._waits:
            if wait.owner is owner:
                wait.owner = None
        self._answer(also_removals=last)

    def exited(self, exit_code: int, *, alone: bool) -> None:
        """`alone`: no daemon is connected."""
        self._exit_code = exit_code
        self._answer(also_removals=alone)

    def close(self) -> None:
        """The container is deleted, or was never started."""
        self._answer(also_removals=True)
        for wait in list(self._waits):
            self._drop(wait)

    def _answer(self, *, also_removals: bool) -> None:
        if self._exit_code is None:
            return
        for wait in list(self._waits):
            if wait.owner is None and (also_removals or not wait.options.removal):
                _write(wait.fd, answer(self._exit_code, chunked=wait.options.chunked))
                self._drop(wait)

    def _drop(self, wait: _Wait) -> None:
        self._waits.remove(wait)
        self._loop.forget(wait.fd)
        os.close(wait.fd)


def answer(exit_code: int, *, chunked: bool) -> bytes:
    """The rest of an HTTP answer whose head is sent: the body that the daemon would have written."""
    body = b'{"StatusCode":%d}\n' % exit_code
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body


def _write(fd: int, data: bytes) -> None:
    """A few bytes, which a socket whose client waits has room for."""
    client = socket.socket(fileno=os.dup(fd))
    try:
        client.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        pass  # it is gone, or takes nothing
    finally:
        client.close()
