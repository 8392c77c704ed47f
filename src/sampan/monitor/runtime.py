"""What a monitor asks of the OCI runtime, and nothing more. `helper.Runtime` does it; tests have a fake."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sampan.linux.cgroup.stats import Totals
from sampan.monitor.messages import Size
from sampan.monitor.records import MonitorRecord
from sampan.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class Plan:
    """A process to make in the container whose config.json lies in `directory`. Descriptors stay the caller's.

    `root`, `namespaces` and `runtime` are for its init, `process` (OCI's) for an exec'd one.
    """

    directory: str
    stdio: tuple[int, int, int]
    terminal: bool = False
    console_size: Size | None = None
    seccomp: bytes | None = None
    root: tuple[Mount, ...] = ()
    namespaces: dict[str, int] = field(default_factory=dict)
    process: dict[str, Any] | None = None
    runtime: tuple[str, ...] = ()  # another runtime's command; empty for our own
    group: str = ""  # of an exec'd process: its cgroup below the container's

    def to_message(self) -> dict[str, Any]:
        """The descriptors travel beside it: stdio, then the namespaces'."""
        seccomp = None if self.seccomp is None else base64.b64encode(self.seccomp).decode()
        return {
            "directory": self.directory,
            "terminal": self.terminal,
            "console_size": self.console_size,
            "seccomp": seccomp,
            "root": self.root,
            "namespaces": list(self.namespaces),
            "process": self.process,
            "runtime": self.runtime,
            "group": self.group,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any], fds: Sequence[int]) -> Plan:
        seccomp, size = message["seccomp"], message["console_size"]
        stdin, stdout, stderr, *namespaces = fds
        return cls(
            directory=message["directory"],
            stdio=(stdin, stdout, stderr),
            terminal=message["terminal"],
            console_size=None if size is None else (size[0], size[1]),
            seccomp=None if seccomp is None else base64.b64decode(seccomp),
            root=tuple(
                Mount(kind, source, tuple(o), at) for kind, source, o, at in message["root"]
            ),
            namespaces=dict(zip(message["namespaces"], namespaces, strict=True)),
            process=message["process"],
            runtime=tuple(message["runtime"]),
            group=message["group"],
        )


class Cgroup(Protocol):
    """As `linux.cgroup.Cgroup`."""

    def apply(self, resources: Any) -> list[str]: ...
    def kill(self, number: int = 9) -> None: ...
    def kill_below(self, name: str) -> bool: ...
    def remove_below(self, name: str) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def remove(self) -> None: ...
    def oom_kills(self) -> int: ...
    def totals(self) -> Totals: ...


@dataclass(frozen=True, slots=True)
class Process:
    """A child of the monitor, who owns the descriptors."""

    pid: int
    pidfd: int
    console: int | None


class Container(Protocol):
    """An init that waits to be started, then runs. Its descriptors are the monitor's."""

    @property
    def process(self) -> Process: ...

    @property
    def directory(self) -> str:
        """Where its config.json lies."""
        ...

    @property
    def record(self) -> MonitorRecord:
        """What stands in monitor.json."""
        ...

    @property
    def warnings(self) -> Sequence[str]: ...

    @property
    def cgroup(self) -> Cgroup | None: ...

    @property
    def oom_fd(self) -> int:
        """Readable when there may have been an OOM kill; -1: not to be had."""
        ...

    def start(self) -> None:
        """Returns when the command runs, with `started_at` in the record. Raises RuntimeFailure, undone."""
        ...

    def abort(self) -> None:
        """Kill it and undo everything. Its process is reaped."""
        ...


class Runtime(Protocol):
    """Both raise RuntimeFailure, with everything undone but a zombie that may have to be reaped."""

    def create(self, plan: Plan, container_id: str) -> Container: ...
    def execute(self, container: Container, plan: Plan) -> Process: ...

    def expect_exec(self, container: Container) -> None:
        """An `execute` is likely soon: do now what can be done before it is known. Never raises."""
        ...

    def forget_exec(self) -> None:
        """It did not come."""
        ...
