"""What a monitor asks of the OCI runtime, and nothing more. `BuiltIn` is sampan's own; tests have a fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.monitor.messages import Size
from sampan.runtime.create import create
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Request, Target
from sampan.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class Plan:
    """A process to make; descriptors stay the caller's. `root` and `namespaces` are for containers only."""

    config: dict[str, Any]  # config.json, or OCI's process
    stdio: tuple[int, int, int]
    terminal: bool = False
    console_size: Size | None = None
    seccomp: bytes | None = None
    root: tuple[Mount, ...] = ()
    namespaces: dict[str, int] = field(default_factory=dict)


class Cgroup(Protocol):
    """As `linux.cgroup.Cgroup`."""

    path: str

    def apply(self, resources: Any) -> list[str]: ...
    def kill(self, number: int = 9) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def remove(self) -> None: ...
    def oom_events_fd(self) -> int | None: ...
    def oom_kills(self) -> int: ...


class Process(Protocol):
    """A child of the monitor. The descriptors are the monitor's to close."""

    @property
    def pid(self) -> int: ...
    @property
    def pidfd(self) -> int: ...
    @property
    def console(self) -> int | None: ...


class Container(Process, Protocol):
    """Its init waits. `abort` closes the descriptors and undoes everything; so does `start` when it raises."""

    @property
    def cgroup(self) -> Cgroup | None: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    def start(self) -> None: ...
    def abort(self) -> None: ...


class Runtime(Protocol):
    """Both raise RuntimeFailure, with everything undone."""

    def create(self, plan: Plan) -> Container: ...
    def execute(self, container: Container, config: dict[str, Any], plan: Plan) -> Process: ...
    def signal(self, pidfd: int, number: int) -> None: ...


class BuiltIn:
    def __init__(self, kernel: Kernel | None = None) -> None:
        self.kernel = kernel or LinuxKernel()

    def create(self, plan: Plan) -> Container:
        request = Request(
            plan.config,
            root=plan.root,
            namespaces=plan.namespaces,
            stdio=plan.stdio,
            terminal=plan.terminal,
            console_size=plan.console_size,
            seccomp=plan.seccomp,
        )
        return create(self.kernel, request)

    def execute(self, container: Container, config: dict[str, Any], plan: Plan) -> Process:
        target = Target(container.pid, container.pidfd, config, container.cgroup)  # type: ignore[arg-type]
        return exec_process(
            self.kernel,
            target,
            plan.config,
            stdio=plan.stdio,
            terminal=plan.terminal,
            console_size=plan.console_size,
            seccomp=plan.seccomp,
        )

    def signal(self, pidfd: int, number: int) -> None:
        """Raises ProcessLookupError when it has ended."""
        self.kernel.pidfd_send_signal(pidfd, number)
