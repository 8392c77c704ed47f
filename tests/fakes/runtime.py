"""A runtime without namespaces and root: containers are plain processes of /bin/sh.

Its `process.args` of config.json is executed when `start` is called. `fail` names a step that raises.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import termios
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sampan.linux import constants as c
from sampan.linux.cgroup.stats import Totals
from sampan.linux.kernel import LinuxKernel
from sampan.linux.process import boot_id, start_time
from sampan.monitor.records import MonitorRecord, write_record
from sampan.monitor.runtime import Container, Plan, Process
from sampan.runtime.failure import RuntimeFailure


@dataclass
class FakeCgroup:
    """Remembers what was asked of it."""

    pid: int
    calls: list[str] = field(default_factory=list)
    kills: int = 0
    late: bool = False

    def apply(self, resources: Any) -> list[str]:
        self.calls.append(f"apply {json.dumps(resources)}")
        return ["a limit was left out"]

    def kill(self, number: int = 9) -> None:
        self.calls.append(f"kill {number}")
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def freeze(self) -> None:
        self.calls.append("freeze")

    def thaw(self) -> None:
        raise OSError(16, "Device or resource busy")

    def remove(self) -> None:
        self.calls.append("remove")

    def totals(self) -> Totals:
        return Totals(4096, 1_000_000, 10, 20)

    def kill_below(self, name: str) -> bool:
        return False  # as on pure v1

    def remove_below(self, name: str) -> None:
        self.calls.append(f"remove {name}")

    def oom_kills(self) -> int:
        """With `late` the kill is counted after the first look."""
        seen = self.kills
        self.kills += self.late
        self.late = False
        return seen


@dataclass
class FakeContainer:
    process: Process
    record: MonitorRecord
    directory: str
    gate: int
    fail: str
    warnings: list[str] = field(default_factory=lambda: ["be warned"])
    cgroup: FakeCgroup | None = None
    oom_fd: int = -1

    def start(self) -> None:
        if self.fail == "start":
            self.abort()
            raise RuntimeFailure("no such command", step="execve", errno=2, exit_code=127)
        self.record = replace(self.record, started_at="2026-01-01T00:00:00Z")
        write_record(self.directory, self.record)
        os.write(self.gate, b"x")
        os.close(self.gate)

    def abort(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        os.waitpid(self.process.pid, 0)
        os.close(self.gate)
        os.close(self.process.pidfd)
        if self.process.console is not None:
            os.close(self.process.console)


@dataclass
class FakeRuntime:
    fail: str = ""
    expected: int = 0  # execs that were announced and did not come yet
    containers: list[FakeContainer] = field(default_factory=list)

    def create(self, plan: Plan, container_id: str) -> Container:
        if self.fail == "create":
            raise RuntimeFailure("no root", step="mount", path="/", errno=20)
        config = json.loads((Path(plan.directory) / "config.json").read_text())
        gate_read, gate = os.pipe2(os.O_CLOEXEC)
        process = spawn(config["process"]["args"], plan, gate_read)
        os.close(gate_read)
        record = MonitorRecord(
            version=1,
            pid=os.getpid(),
            start_time=start_time(os.getpid()),
            boot_id=boot_id(),
            container_id=container_id,
            cgroup="",
            init_pid=process.pid,
            init_start_time=start_time(process.pid),
        )
        write_record(plan.directory, record)
        made = FakeContainer(process, record, plan.directory, gate, self.fail)
        made.cgroup = FakeCgroup(process.pid, late=self.fail == "late oom")
        made.oom_fd = os.eventfd(int(made.cgroup.late), os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.containers.append(made)
        return made

    def expect_exec(self, container: Container) -> None:
        self.expected += 1

    def forget_exec(self) -> None:
        self.expected = 0

    def execute(self, container: Container, plan: Plan) -> Process:
        if self.fail == "execute":
            raise RuntimeFailure("no such command", step="execve", errno=2, exit_code=127)
        assert plan.process is not None
        return spawn(plan.process["args"], plan, None)


def spawn(args: list[str], plan: Plan, gate: int | None) -> Process:
    master, slave = pty.openpty() if plan.terminal else (-1, -1)
    if plan.terminal and plan.console_size is not None:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *plan.console_size, 0, 0))
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            LinuxKernel().prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
            for target, fd in enumerate((slave,) * 3 if plan.terminal else plan.stdio):
                os.dup2(fd, target)
            if plan.terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if gate is None or os.read(gate, 1):
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.execv(args[0], args)
        finally:
            os._exit(1)
    if plan.terminal:
        os.close(slave)
    return Process(pid, os.pidfd_open(pid), master if plan.terminal else None)
