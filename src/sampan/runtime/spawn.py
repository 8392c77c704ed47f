"""A child by clone3, in namespaces of its own, its parent's signals and descriptors out of its way.

Callers have one thread. The child must leave by `os._exit` or execve, never by returning to where
its parent's code would go on.
"""

from __future__ import annotations

import errno
import gc
import os

from sampan.linux import constants as c
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.undo import kill_and_reap
from sampan.spec.typing import Callable, Iterable

_MAX_FD = (1 << 32) - 1


def clone_child(
    kernel: Kernel,
    flags: int,
    *,
    cgroup_fd: int = -1,
    pid_namespace: int = -1,
    through: Callable[[int], None] | None = None,
    time_offsets: str | None = None,
    hidden: bool = True,
) -> tuple[int, int]:
    """`(pid, pidfd)`, or `(0, -1)` in the child, which has all signals blocked.

    - `pid_namespace`: a descriptor of one, or a pidfd of a process in it, that the child is born in.
    - `through`: called in a process between us and the child, where it may join namespaces from which we could not
      come back: the child is born in them. Its argument is a descriptor that must stay open.
    - `time_offsets`: it is born in a new time namespace that has them (time_namespaces(7)).
    - not `hidden`: its files in /proc are its own user's for now, and it must hide itself.
    """
    # Inherited: the child must not be looked into by those whose namespaces it enters (CVE-2016-9962).
    if hidden:
        kernel.prctl(c.PR_SET_DUMPABLE, 0)
    homes: list[tuple[int, int]] = []  # where further children are born: descriptor, flag
    blocked: set[int] | None = None
    try:
        if pid_namespace >= 0:
            _leave(kernel, homes, "pid", c.CLONE_NEWPID)
            kernel.setns(pid_namespace, c.CLONE_NEWPID)
        if time_offsets is not None:
            _leave(kernel, homes, "time", c.CLONE_NEWTIME)
            _new_time_namespace(kernel, time_offsets)
        blocked = kernel.block_signals()
        if through is not None:
            pid, pidfd = _clone_through(kernel, flags, through, cgroup_fd)
        else:
            pid, pidfd = kernel.clone3(flags, cgroup=cgroup_fd)
    except BaseException:
        _come_home(kernel, homes, blocked)
        raise
    if pid == 0:
        # A collected socket object would close a number that is ours by now.
        gc.disable()
        return pid, pidfd
    try:
        _come_home(kernel, homes, blocked)
    except BaseException:
        kill_and_reap(kernel, pidfd)
        raise
    return pid, pidfd


def _leave(kernel: Kernel, homes: list[tuple[int, int]], name: str, flag: int) -> None:
    homes.append((kernel.openat2(c.AT_FDCWD, f"/proc/self/ns/{name}", os.O_RDONLY), flag))


def _new_time_namespace(kernel: Kernel, offsets: str) -> None:
    """Of the next child: the offsets can be set only before anybody is in it."""
    kernel.unshare(c.CLONE_NEWTIME)
    if offsets:
        fd = kernel.openat2(c.AT_FDCWD, "/proc/self/timens_offsets", os.O_WRONLY)
        try:
            kernel.write(fd, offsets.encode())
        finally:
            kernel.close(fd)


def _come_home(kernel: Kernel, homes: list[tuple[int, int]], blocked: set[int] | None) -> None:
    """Back to where further children are born, and to the signals of before."""
    try:
        while homes:
            home, flag = homes.pop()
            try:
                kernel.setns(home, flag)
            finally:
                kernel.close(home)
    finally:
        if blocked is not None:
            kernel.restore_signals(blocked)


def _clone_through(
    kernel: Kernel, flags: int, through: Callable[[int], None], cgroup_fd: int
) -> tuple[int, int]:
    """By a process that ends at once; the child is ours all the same (CLONE_PARENT)."""
    ours, theirs = Channel.pair()
    try:
        between, between_fd = kernel.clone3(0, cgroup=cgroup_fd)
        if between == 0:
            gc.disable()
            if _clone_and_tell(kernel, theirs, flags, through) == 0:
                ours.sock.detach()  # `through` has closed it by its number
                return 0, -1
            os._exit(0)
        theirs.close()
        received = ours.receive()
        kernel.close(between_fd)
        try:
            os.waitpid(between, 0)
        except ChildProcessError:
            pass  # its parent is ours, who reaps it
        if received is None:
            raise OSError(errno.ESRCH, "the process in between died")
        message, fds = received
        if not fds:
            raise RuntimeFailure.from_message(message)
        return int(message["pid"]), fds[0]
    finally:
        ours.close()
        theirs.close()


def _clone_and_tell(
    kernel: Kernel, channel: Channel, flags: int, through: Callable[[int], None]
) -> int:
    """In the process between. Nothing may leave it but the child, whose 0 this is."""
    try:
        through(channel.fileno())
        pid, pidfd = kernel.clone3(flags | c.CLONE_PARENT)
    except BaseException as error:
        failure = RuntimeFailure.during("error joining the namespaces", error, init=False)
        channel.send(failure.to_message())
        os._exit(0)
    if pid:
        channel.send({"pid": pid}, (pidfd,))
    return pid


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
