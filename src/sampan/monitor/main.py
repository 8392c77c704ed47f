"""The role `monitor`: a process of the spawner becomes one container's monitor."""

from __future__ import annotations

import os
from typing import Any

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.monitor import records
from sampan.monitor.crash import describe_crash
from sampan.monitor.helper import Runtime
from sampan.monitor.messages import Arguments
from sampan.monitor.monitor import Monitor
from sampan.monitor.runtime import Runtime as RuntimeDoor
from sampan.monitor.title import Title
from sampan.runtime.failure import RuntimeFailure

OOM_SCORE = b"-500"


class MonitorRole:
    """`run(args, fds)`; `fds`: the control channel, then the namespaces that `args` names.

    `warm` is called once, in the spawner: what it makes is shared by all monitors. `prepare` is called in
    a child that is kept ready: all that does not depend on the container, its helper included.
    """

    def __init__(self) -> None:
        self._tools: tuple[Runtime, Kernel, Title] | None = None
        self._prepared = False

    def warm(self) -> None:
        runtime = Runtime()
        runtime.warm()
        self._tools = (runtime, LinuxKernel(), Title())

    def prepare(self) -> None:
        runtime, kernel, title = self._warm_tools()
        leave_daemon(kernel)
        title.set("sampan-monitor ready")
        runtime.prepare()
        self._prepared = True

    def __call__(self, args: dict[str, Any], fds: list[int]) -> None:
        """Returns at the very end."""
        runtime, kernel, title = self._warm_tools()
        if not self._prepared:
            leave_daemon(kernel)
        serve(args, fds, runtime, title)

    def _warm_tools(self) -> tuple[Runtime, Kernel, Title]:
        if self._tools is None:
            self.warm()
        assert self._tools is not None
        return self._tools


run = MonitorRole()


def serve(args: dict[str, Any], fds: list[int], runtime: RuntimeDoor, title: Title) -> None:
    channel = Channel.adopt(fds[0])
    try:
        arguments = Arguments.from_message(args)
        given = len(fds) - 1
        if len(arguments.namespaces) != given:
            raise ProtocolError(f"expected {len(arguments.namespaces)} namespaces, got {given}")
        title.set(arguments.title or f"sampan-monitor [{arguments.id[:12]}]")
        monitor = Monitor(arguments, runtime)
    except (ProtocolError, OSError) as error:
        failure = RuntimeFailure(str(error), step="start the monitor")
        channel.send({**failure.to_message(), "type": "failed"})
        return
    try:
        monitor.run(channel, fds[1:])
    except BaseException as error:
        # Init dies with us (PR_SET_PDEATHSIG); the daemon sees EOF and clears up.
        records.append_error(arguments.directory, describe_crash(error))
        raise


def leave_daemon(kernel: Kernel) -> None:
    """Away from the daemon's session, terminal, output and place in the OOM killer's list."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, OOM_SCORE)
    except PermissionError:
        pass  # needs CAP_SYS_RESOURCE, which a daemon in a container may lack
    finally:
        os.close(fd)
