"""The role `monitor`: a process of the spawner becomes one container's monitor."""

from __future__ import annotations

import os
from typing import Any

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.channel import Channel
from sampan.linux.kernel import LinuxKernel
from sampan.linux.process import set_title
from sampan.monitor import records
from sampan.monitor.messages import Arguments
from sampan.monitor.monitor import Monitor
from sampan.monitor.runtime import BuiltIn, Runtime
from sampan.monitor.spawner import describe_crash
from sampan.runtime.failure import RuntimeFailure

OOM_SCORE = -500


def run(args: dict[str, Any], fds: list[int]) -> None:
    """`fds`: the control channel, then the namespaces that `args` names. Returns at the very end."""
    kernel = LinuxKernel()
    serve(args, fds, BuiltIn(kernel), kernel)


def serve(args: dict[str, Any], fds: list[int], runtime: Runtime, kernel: LinuxKernel) -> None:
    channel = Channel.adopt(fds[0])
    try:
        arguments = Arguments.from_message(args)
        if len(arguments.namespaces) != len(fds) - 1:
            raise ProtocolError(
                f"expected {len(arguments.namespaces)} namespaces, got {len(fds) - 1}"
            )
        become_monitor(kernel, arguments)
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


def become_monitor(kernel: LinuxKernel, arguments: Arguments) -> None:
    """Away from the daemon's session, terminal, output and place in the OOM killer's list."""
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    kernel.prctl(c.PR_SET_CHILD_SUBREAPER, 1)
    set_title(arguments.title or f"sampan-monitor [{arguments.id[:12]}]")
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(OOM_SCORE))
    except PermissionError:
        pass  # needs CAP_SYS_RESOURCE, which a daemon in a container may lack
