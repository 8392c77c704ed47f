"""Exec'd processes: started on request, each with streams of its own, announced when they end.

exec ─▶ exec_started ─▶ (its end) reap ─▶ drain ─▶ exec_exit ─▶ the clients' end of output
     └▶ exec_failed
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from sampan.linux.channel import Message
from sampan.monitor.children import exit_code
from sampan.monitor.loop import Loop, Timer
from sampan.monitor.messages import ExecOptions
from sampan.monitor.runtime import Plan, Process
from sampan.monitor.stdio import Stdio
from sampan.runtime.failure import RuntimeFailure


@dataclass(slots=True)
class Exec:
    exec_id: str
    process: Process
    stdio: Stdio
    arguments: list[str]
    running: bool = True
    reason: str = ""  # why it was killed, when that was ours to decide
    timer: Timer | None = None

    @property
    def group(self) -> str:
        return group_of(self.exec_id)


def group_of(exec_id: str) -> str:
    """Its cgroup below the container's."""
    return f"exec-{exec_id[:32]}"


class Execs:
    """`spawn` makes the process; `announce` tells every connection."""

    def __init__(
        self,
        loop: Loop,
        directory: str,
        spawn: Callable[[Plan], Process],
        announce: Callable[[Message], None],
        adopt: Callable[[Stdio], None],
        kill_group: Callable[[str], bool],
        forget_group: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._spawn = spawn
        self._announce = announce
        self._adopt = adopt
        self._kill_group = kill_group
        self._forget_group = forget_group
        self._by_pid: dict[int, Exec] = {}
        self._by_id: dict[str, Exec] = {}

    def start(self, options: ExecOptions, client: int | None) -> Message:
        """The answer. `client` is taken over; when nothing was started it is closed, not shut down,
        since the daemon has something to say to it."""
        try:
            execution = self._start(options, client is not None)
        except RuntimeFailure as failure:
            if client is not None:
                os.close(client)
            return {**failure.to_message(), "type": "exec_failed", "exec_id": options.exec_id}
        if client is not None and options.attach is not None:
            execution.stdio.attach(client, options.attach)
            if options.die_with_client:
                self._watch_client(execution)
        if options.timeout > 0:
            execution.timer = self._loop.later(
                options.timeout, lambda: self._end(execution, "timeout")
            )
        pid = execution.process.pid
        return {"type": "exec_started", "exec_id": options.exec_id, "pid": pid}

    def _start(self, options: ExecOptions, attached: bool) -> Exec:
        if options.exec_id in self._by_id:
            raise RuntimeFailure(f"exec {options.exec_id} runs already", step="exec")
        attach = options.attach if attached else None
        wanted = (attach.stdout, attach.stderr) if attach is not None else (False, False)
        try:
            stdio = Stdio(
                self._loop,
                terminal=options.terminal,
                open_stdin=options.open_stdin and attach is not None,
                stdin_once=True,
                streams=tuple(number for number, want in zip((1, 2), wanted) if want),
                on_detached=lambda: self._announce(
                    {"type": "detached", "exec_id": options.exec_id}
                ),
            )
        except OSError as error:
            raise RuntimeFailure.during("error making its pipes", error, init=False) from None
        plan = Plan(
            self._directory,
            stdio.child,
            options.terminal,
            options.console_size,
            options.seccomp,
            process=options.process,
            group=group_of(options.exec_id),
        )
        try:
            process = self._spawn(plan)
        except BaseException:
            stdio.abandon()
            raise
        stdio.started(process.console)
        self._adopt(stdio)
        execution = Exec(
            options.exec_id, process, stdio, [str(a) for a in options.process.get("args") or ()]
        )
        self._by_pid[process.pid] = self._by_id[options.exec_id] = execution
        return execution

    def get(self, exec_id: str) -> Exec:
        """One that runs. Raises OSError(ESRCH)."""
        execution = self._by_id.get(exec_id)
        if execution is None or not execution.running:
            raise ProcessLookupError(errno.ESRCH, f"No such exec instance: {exec_id}")
        return execution

    def _watch_client(self, execution: Exec) -> None:
        before = execution.stdio.on_idle

        def idle() -> None:
            before()
            self._end(execution, "its client is gone")

        execution.stdio.on_idle = idle
        if not execution.stdio.clients:
            idle()

    def _end(self, execution: Exec, reason: str) -> None:
        if execution.running:
            execution.reason = reason
            self.kill(execution)

    def kill(self, execution: Exec) -> None:
        """It and all that it has started."""
        if not self._kill_group(execution.group):
            signal.pidfd_send_signal(execution.process.pidfd, signal.SIGKILL)

    def reaped(self, pid: int, status: int) -> bool:
        """Whether it was one of these."""
        execution = self._by_pid.pop(pid, None)
        if execution is None:
            return False
        execution.running = False
        if execution.timer is not None:
            execution.timer.cancel()
        os.close(execution.process.pidfd)
        execution.stdio.drain(lambda: self._ended(execution, exit_code(status)))
        return True

    def _ended(self, execution: Exec, code: int) -> None:
        del self._by_id[execution.exec_id]
        self._forget_group(execution.group)
        message: Message = {"type": "exec_exit", "exec_id": execution.exec_id, "exit_code": code}
        if execution.reason:
            message["reason"] = execution.reason
        self._announce(message)
        # After the message: a client that sees the end may ask for the exit code at once.
        execution.stdio.finish()

    def states(self) -> list[Message]:
        return [
            {"exec_id": each.exec_id, "pid": each.process.pid, "arguments": each.arguments}
            for each in self._by_id.values()
            if each.running
        ]
