"""A child by clone3, in namespaces of its own, its parent's signals and descriptors out of its way.

Callers have one thread. The child must leave by `os._exit` or execve, never by returning to where
its parent's code would go on.
"""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterable

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.undo import kill_and_reap

_MAX_FD = (1 << 32) - 1


def clone_child(
    kernel: Kernel, flags: int, *, cgroup_fd: int = -1, pid_namespace: int = -1
) -> tuple[int, int]:
    """`(pid, pidfd)`, or `(0, -1)` in the child, which has all signals blocked.

    `pid_namespace` is a descriptor of one, or a pidfd of a process in it, that the child is born in.
    """
    # Inherited: the child must not be looked into by those whose namespaces it enters (CVE-2016-9962).
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    home = -1
    if pid_namespace >= 0:
        home = kernel.openat2(c.AT_FDCWD, "/proc/self/ns/pid", os.O_RDONLY)
        try:
            kernel.setns(pid_namespace, c.CLONE_NEWPID)
        except BaseException:
            kernel.close(home)
            raise
    blocked = kernel.block_signals()
    try:
        pid, pidfd = kernel.clone3(flags, cgroup=cgroup_fd)
    except BaseException:
        _come_home(kernel, home, blocked)
        raise
    if pid == 0:
        # A collected socket object would close a number that is ours by now.
        gc.disable()
        return pid, pidfd
    try:
        _come_home(kernel, home, blocked)
    except BaseException:
        kill_and_reap(kernel, pidfd)
        raise
    return pid, pidfd


def _come_home(kernel: Kernel, home: int, blocked: set[int]) -> None:
    """Back to where further children are born, and to the signals of before."""
    try:
        if home >= 0:
            try:
                kernel.setns(home, c.CLONE_NEWPID)
            finally:
                kernel.close(home)
    finally:
        kernel.restore_signals(blocked)


def fill_standard_descriptors(kernel: Kernel) -> None:
    """Open /dev/null as 0, 1 and 2 where they are closed: else our own would come to lie there."""
    for fd in (0, 1, 2):
        try:
            kernel.fstat(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            kernel.openat2(c.AT_FDCWD, "/dev/null", os.O_RDWR)


def keep_only(kernel: Kernel, fds: Iterable[int]) -> None:
    """Close everything but 0, 1, 2 and `fds`: a child has no use for its parent's sockets."""
    low = 3
    for fd in sorted({fd for fd in fds if fd > 2}):
        if fd > low:
            kernel.close_range(low, fd - 1, 0)
        low = fd + 1
    kernel.close_range(low, _MAX_FD, 0)
