"""The spawner: a small, warm, single-threaded process that does nothing but fork roles.

    daemon → spawner   {"role": NAME, "args": {…}} + fds        fds[0] is the role's control channel
    spawner → daemon   {"pid": N} + [pidfd]   |   {"error": TEXT, "errno": N}

`launch` is called before the daemon imports anything heavy: all that it is to have in memory is imported
by then, and children share those pages. It makes two equal processes, the *spawner* that works and a
*keeper* that sleeps. Every spawner has a role SPAWNER by which it forks another one: when one of the two
dies the daemon, which must not fork, has the other make a new one, as small and warm as the first
(`client.Spawner`). Both end when the daemon's end of their channel is closed; their children go on.
Out of scope: what roles do, and waiting for them (the daemon has their pidfds).
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sampan.linux import seal
from sampan.linux.channel import LIMIT, MAX_FDS, Channel
from sampan.monitor.children import catch_sigchld
from sampan.monitor.crash import report_crash
from sampan.monitor.pool import Pool
from sampan.monitor.title import Title

Role = Callable[[dict[str, Any], list[int]], None]
"""A function, or an object with `warm()`, which is called once in every spawner before it serves, and
with `prepare()`, which is called in children that are kept ready (`pool.Pool`)."""

SPAWNER = "spawner"
ANEW_DEADLINE = 10.0  # seconds
CRASHED = 70  # exit status of a child whose role raised
# Milliseconds without a request before a child is made ready: whoever asks again at once, asks a
# spawner that is busy with the container it has just been asked for.
REFILL_DELAY = 20

# Plain integers: the enumerations of `socket` are Python code, and pages.
_SOCKET, _RIGHTS = int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS)
_RECEIVE_FLAGS = int(socket.MSG_CMSG_CLOEXEC)
_SEND_FLAGS = int(socket.MSG_NOSIGNAL)
_TRUNCATED = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_FDS_SPACE = socket.CMSG_SPACE(MAX_FDS * 4)


@dataclass(frozen=True, slots=True)
class SpawnerProcess:
    """The daemon's ends of the channels of both processes."""

    channel: Channel
    keeper: Channel

    def close(self) -> None:
        """Both processes end; what they have forked goes on."""
        self.channel.close()
        self.keeper.close()


def launch(roles: Mapping[str, Role]) -> SpawnerProcess:
    """Fork the keeper, and the spawner from it. First of all in the daemon, single-threaded.

    Raises OSError. The caller's stdin, stdout and stderr stay open in both and in every role.
    """
    ours, theirs = Channel.pair()
    pid = os.fork()
    if pid == 0:
        _become(theirs, roles)
    theirs.close()
    channel = new_spawner(ours)
    return SpawnerProcess(channel, ours)


def new_spawner(channel: Channel) -> Channel:
    """Ask the (blocking) spawner at `channel` for another one; the daemon's end of that one's channel."""
    ours, theirs = Channel.pair()
    try:
        channel.send({"role": SPAWNER, "args": {}}, [theirs.fileno()])
        answer = channel.receive()
        if answer is None:
            raise BrokenPipeError("the spawner died while it made another")
        message, fds = answer
        for fd in fds:
            os.close(fd)
        if "pid" not in message:
            raise OSError(message.get("errno", 0), message.get("error", "no answer"))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours


def launch_anew(argv: Sequence[str]) -> SpawnerProcess:
    """As `launch`, for a daemon that must not fork any more and has lost both processes at once: a new
    program, `argv` with a descriptor's number behind it, which calls `take_over`. Blocks some 100 ms.
    """
    ours, theirs = Channel.pair()
    try:
        os.set_inheritable(theirs.fileno(), True)
        command = [*argv, str(theirs.fileno())]
        # Not by the path in it: what it forks enters containers, and runs from a sealed file as we do.
        os.posix_spawn(seal.SELF, command, os.environ, setsigdef=[signal.SIGCHLD])
        ours.sock.settimeout(ANEW_DEADLINE)
        channel = new_spawner(ours)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return SpawnerProcess(channel, ours)


def take_over(fd: int, roles: Mapping[str, Role]) -> NoReturn:
    """In the program that `launch_anew` started: be the keeper. Never returns."""
    os.set_inheritable(fd, False)
    _become(Channel.adopt(fd), roles)


def _become(channel: Channel, roles: Mapping[str, Role], *, keep_ready: bool = False) -> NoReturn:
    """The life of a freshly forked spawner; a keeper keeps nothing ready."""
    status = CRASHED
    try:
        # The daemon's terminal must not end us with Ctrl-C, nor its end of a channel survive in us.
        os.setsid()
        # Before descriptors are closed by number: what garbage closes must still be its own.
        gc.collect()
        _close_others(channel.fileno())
        Server(channel, roles, keep_ready=keep_ready).run()
        status = 0
    except BaseException as error:
        report_crash(error)
    finally:
        os._exit(status)


def _close_others(keep: int) -> None:
    fds = [int(name) for name in os.listdir("/proc/self/fd")]
    for fd in fds:
        if fd > 2 and fd != keep:
            try:
                os.close(fd)
            except OSError:
                pass  # the listing's own


class Server:
    """Does as little as it can between two forks: a page that it writes to then is one more that its
    earlier children do not share any longer. So it does not even read a request; its child does.
    """

    def __init__(
        self, channel: Channel, roles: Mapping[str, Role], *, keep_ready: bool = False
    ) -> None:
        self.channel = channel
        self.roles: dict[str, Role] = {**roles, SPAWNER: self._another}
        preparing = {name: role for name, role in roles.items() if hasattr(role, "prepare")}
        self._pools = [Pool(*item) for item in preparing.items()] if keep_ready else []
        # What `Channel.send` makes of a request begins so.
        self._starts = tuple(b'{"role":"%s",' % name.encode() for name in self.roles)
        # A child's end writes a byte here: children are reaped between requests only, so that a pid
        # that was just forked is still its own when its pidfd is opened.
        self._wake, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> None:
        for role in self.roles.values():
            warm = getattr(role, "warm", None)
            if warm is not None:
                warm()
        catch_sigchld(self._waker)
        Title().set("sampan-spawner")
        # Objects that exist now are never looked at by a collector again, here or in a child: looking
        # would write to their headers and so copy the pages that all of them share.
        gc.freeze()
        socket_fd = self.channel.fileno()
        poller = select.poll()
        poller.register(socket_fd, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        while True:
            wanting = next((pool for pool in self._pools if pool.wants_more()), None)
            events = poller.poll(None if wanting is None else REFILL_DELAY)
            if not events and wanting is not None:
                wanting.refill(self._close_own)
            for fd, _ in events:
                if fd == self._wake:
                    self._reap()
                elif not self._serve_one():
                    return

    def _reap(self) -> None:
        try:
            os.read(self._wake, 4096)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except (BlockingIOError, ChildProcessError):
            pass

    def _serve_one(self) -> bool:
        """False when the daemon is gone."""
        try:
            data, ancillary, flags, _ = self.channel.sock.recvmsg(
                LIMIT + 1, _FDS_SPACE, _RECEIVE_FLAGS
            )
        except ConnectionError:
            return False
        fds = array.array("i")
        for _level, _kind, payload in ancillary:
            fds.frombytes(payload)
        if not data and not fds:
            return False
        try:
            if flags & _TRUNCATED or not fds or not data.startswith(self._starts):
                return self._refuse(data)
            return self._spawn(data, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _refuse(self, data: bytes) -> bool:
        text = f"expected one of the roles {', '.join(sorted(self.roles))} with a channel"
        return self._answer(
            json.dumps({"error": f"{text}, got {data[:80]!r}", "errno": 0}).encode()
        )

    def _spawn(self, data: bytes, fds: array.array[int]) -> bool:
        for pool in self._pools:
            if data.startswith(pool.start):
                taken = pool.hand_over(data, fds)
                if taken is not None:
                    pid, pidfd = taken
                    try:
                        return self._answer(b'{"pid":%d}' % pid, pidfd)
                    finally:
                        os.close(pidfd)
        try:
            pid = os.fork()
        except OSError as error:
            answer = {"error": f"fork: {error.strerror}", "errno": error.errno}
            return self._answer(json.dumps(answer).encode())
        if pid == 0:
            self._child(data, fds)
        pidfd = os.pidfd_open(pid)
        try:
            return self._answer(b'{"pid":%d}' % pid, pidfd)
        finally:
            os.close(pidfd)

    def _answer(self, data: bytes, pidfd: int | None = None) -> bool:
        rights = () if pidfd is None else ((_SOCKET, _RIGHTS, array.array("i", (pidfd,))),)
        try:
            self.channel.sock.sendmsg((data,), rights, _SEND_FLAGS)
        except ConnectionError:
            return False
        return True

    def _child(self, data: bytes, fds: array.array[int]) -> NoReturn:
        status = CRASHED
        try:
            self._close_own()
            message = json.loads(data.decode("utf-8", "surrogateescape"))
            self.roles[message["role"]](message["args"], list(fds))
            status = 0
        except BaseException as error:
            report_crash(error)
        finally:
            os._exit(status)

    def _close_own(self) -> None:
        """In a child: what belongs to the spawner alone."""
        # The handler of SIGCHLD does nothing and may stay: `signal.signal` touches many a page.
        signal.set_wakeup_fd(-1)
        for fd in (self.channel.fileno(), self._wake, self._waker):
            os.close(fd)
        for pool in self._pools:
            pool.close()

    def _another(self, _args: dict[str, Any], fds: list[int]) -> None:
        """The role SPAWNER."""
        roles = {name: role for name, role in self.roles.items() if name != SPAWNER}
        _become(Channel.adopt(fds[0]), roles, keep_ready=True)
