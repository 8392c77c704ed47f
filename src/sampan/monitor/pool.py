"""Children of the spawner that are kept ready for a role, so that a request does not wait for a fork.

A fork is quick; what costs is that CPython copies, one page fault each, every page whose objects the child
looks at. A ready child has had most of these faults: it has run its role's `prepare()` and waits for a
request, which it gets as the daemon wrote it. With nothing ready the spawner forks as for any role.

    spawner                       ready child
      │ ── fork ─────────────────▶ │  prepare()
      │ ── request + fds ────────▶ │  becomes what was asked for
      │    (EOF: ends)             │
"""

from __future__ import annotations

import array
import gc
import json
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from sampan.linux.channel import LIMIT, MAX_FDS
from sampan.monitor.crash import report_crash

_RIGHTS = int(socket.SCM_RIGHTS)
_SOCKET = int(socket.SOL_SOCKET)
_NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)

Ready = tuple[int, int, socket.socket]  # pid, pidfd, our end


class Pool:
    """`role` has `prepare()`. `size` children are kept; each costs what a monitor and its helper cost."""

    def __init__(self, name: str, role: Any, size: int = 1) -> None:
        # What `Channel.send` makes of a request for this role begins so.
        self.start = b'{"role":"%s",' % name.encode()
        self._role = role
        self._size = size
        self._ready: list[Ready] = []

    def wants_more(self) -> bool:
        return len(self._ready) < self._size

    def refill(self, leave_parent: Callable[[], None]) -> None:
        """Fork one. `leave_parent` is called in it first. Where that fails, a request will say why."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            return
        if pid == 0:
            ours.close()
            self._wait(theirs, leave_parent)
        theirs.close()
        self._ready.append((pid, os.pidfd_open(pid), ours))

    def hand_over(self, data: bytes, fds: array.array[int]) -> tuple[int, int] | None:
        """The pid and the pidfd (the caller's now) of a child that has the request; None: none is ready."""
        while self._ready:
            pid, pidfd, ours = self._ready.pop()
            try:
                ours.sendmsg((data,), ((_SOCKET, _RIGHTS, fds),), _NO_SIGNAL)
            except OSError:
                os.close(pidfd)  # somebody has killed it
                continue
            finally:
                ours.close()
            return pid, pidfd
        return None

    def close(self) -> None:
        for _, pidfd, ours in self._ready:
            os.close(pidfd)
            ours.close()
        self._ready.clear()

    def _wait(self, theirs: socket.socket, leave_parent: Callable[[], None]) -> NoReturn:
        """The life of a ready child."""
        status = 70
        try:
            gc.disable()
            leave_parent()
            self._role.prepare()
            space = socket.CMSG_SPACE(MAX_FDS * 4)
            data, ancillary, _, _ = theirs.recvmsg(LIMIT + 1, space, _CLOSE_ON_EXEC)
            theirs.close()
            if data:
                fds = array.array("i")
                for _, _, payload in ancillary:
                    fds.frombytes(payload)
                message = json.loads(data.decode("utf-8", "surrogateescape"))
                self._role(message["args"], list(fds))
            status = 0
        except BaseException as error:
            report_crash(error)
        finally:
            os._exit(status)
