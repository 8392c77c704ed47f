"""What a caller asks of the runtime, and the two things it gets back."""

from __future__ import annotations

import os

from sampan.linux.cgroup import Cgroup, Hierarchies
from sampan.linux.kernel import Kernel
from sampan.spec.mount import Mount
from sampan.spec.record import dataclass, field
from sampan.spec.typing import Any, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from sampan.linux.systemd import Scope

NO_STDIO = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Request:
    """A container to create. Descriptors stay the caller's."""

    config: dict[str, Any]  # OCI config.json
    root: tuple[Mount, ...] = ()  # makes the root file system; empty: config["root"]["path"]
    namespaces: dict[str, int] = field(default_factory=dict)  # kind → descriptor to join
    stdio: tuple[int, int, int] = NO_STDIO  # become 0, 1, 2; ignored with a terminal
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # rows, columns
    seccomp: bytes | None = None  # compiled; else from the config
    die_with_parent: bool = True  # SIGKILL for init when the calling process ends
    hierarchies: Hierarchies | None = None  # `cgroup.detect()`, when the caller has it at hand
    state: dict[str, Any] | None = None  # OCI state without pid and status, for hooks
    gate: _socket.socket | None = None  # listening: there init waits after `Created.leave()`
    preserve_fds: int = 0  # so many descriptors from 3 on stay open
    new_keyring: bool = True
    pivot: bool = True
    scope: Scope | None = None  # systemd makes the cgroup, which `cgroupsPath` leads to


@dataclass(frozen=True, slots=True)
class Target:
    """A running container to bring a process into."""

    pid: int
    pidfd: int
    config: dict[str, Any]
    cgroup: Cgroup | None


@dataclass(frozen=True, slots=True)
class Executed:
    """A running process of a container, a child of the caller, who reaps it and owns the descriptors."""

    pid: int
    pidfd: int
    console: int | None
    warnings: Sequence[str] = ()


def wait_exit(kernel: Kernel, pidfd: int) -> int:
    """The exit status as a shell counts it. Blocks, and reaps."""
    status = kernel.waitid(pidfd, os.WEXITED)
    assert status is not None
    return status
