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

import gc
import os
import select
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.linux.process import set_title

Role = Callable[[dict[str, Any], list[int]], None]

SPAWNER = "spawner"
CRASHED = 70  # exit status of a child whose role raised


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


def _become(channel: Channel, roles: Mapping[str, Role]) -> NoReturn:
    """The life of a freshly forked spawner."""
    status = CRASHED
    try:
        # The daemon's terminal must not end us with Ctrl-C, nor its end of a channel survive in us.
        os.setsid()
        _close_others(channel.fileno())
        serve(channel, roles)
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


def serve(channel: Channel, roles: Mapping[str, Role]) -> None:
    """Fork what is asked for until the daemon's end is closed. Returns then."""
    Server(channel, roles, LinuxKernel()).run()


class Server:
    def __init__(self, channel: Channel, roles: Mapping[str, Role], kernel: Kernel) -> None:
        self.channel = channel
        self.roles: dict[str, Role] = {**roles, SPAWNER: self._another}
        self.kernel = kernel
        # A child's end writes a byte here: children are reaped between requests only, so that a pid
        # that was just forked is still its own when its pidfd is opened.
        self.wake, self.waker = socket.socketpair()
        self.wake.setblocking(False)
        self.waker.setblocking(False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        set_title("sampan-spawner")
        # Objects that exist now are never looked at by a collector again, here or in a child: looking
        # would write to their headers and so copy the pages that all of them share.
        gc.collect()
        gc.freeze()
        poller = select.poll()
        poller.register(self.channel.fileno(), select.POLLIN)
        poller.register(self.wake.fileno(), select.POLLIN)
        while True:
            ready = [fd for fd, _ in poller.poll()]
            if self.wake.fileno() in ready:
                self._reap()
            if self.channel.fileno() in ready and not self._serve_one():
                return

    def _reap(self) -> None:
        try:
            self.wake.recv(4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return

    def _serve_one(self) -> bool:
        """False when the daemon is gone."""
        try:
            received = self.channel.receive()
        except ConnectionError:
            return False
        except ProtocolError as error:
            return self._answer({"error": str(error), "errno": 0})
        if received is None:
            return False
        message, fds = received
        try:
            return self._spawn(message, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _spawn(self, message: Message, fds: list[int]) -> bool:
        role = self.roles.get(str(message.get("role")))
        args = message.get("args")
        if role is None or not isinstance(args, dict) or not fds:
            known = ", ".join(sorted(self.roles))
            text = (
                f"expected a role of {known} with args and a channel, got {message.get('role')!r}"
            )
            return self._answer({"error": text, "errno": 0})
        try:
            pid = os.fork()
        except OSError as error:
            return self._answer({"error": f"fork: {error.strerror}", "errno": error.errno})
        if pid == 0:
            self._child(role, args, fds)
        pidfd = self.kernel.pidfd_open(pid)
        try:
            return self._answer({"pid": pid}, [pidfd])
        finally:
            os.close(pidfd)

    def _answer(self, message: Message, fds: list[int] | None = None) -> bool:
        try:
            self.channel.send(message, fds or [])
        except ConnectionError:
            return False
        return True

    def _child(self, role: Role, args: dict[str, Any], fds: list[int]) -> NoReturn:
        status = CRASHED
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self.channel.close()
            self.wake.close()
            self.waker.close()
            role(args, fds)
            status = 0
        except BaseException as error:
            report_crash(error)
        finally:
            os._exit(status)

    def _another(self, _args: dict[str, Any], fds: list[int]) -> None:
        """The role SPAWNER."""
        roles = {name: role for name, role in self.roles.items() if name != SPAWNER}
        _become(Channel.adopt(fds[0]), roles)


def describe_crash(error: BaseException) -> str:
    """Where it came from and what it says; the traceback module would open source files."""
    lines = []
    place = error.__traceback__
    while place is not None:
        code = place.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{place.tb_lineno} in {code.co_name}\n")
        place = place.tb_next
    return "".join(lines) + f"{type(error).__name__}: {error}\n"


def report_crash(error: BaseException) -> None:
    try:
        os.write(2, f"sampan process {os.getpid()}:\n{describe_crash(error)}".encode())
    except OSError:
        pass  # nobody listens; the exit status tells
