"""What the operations of one container share while they run, first in the parent, then in init.

An operation is planned without touching anything, then
- `prepare` runs in the parent, with the host's paths and rights, and leaves detached mounts,
- `execute` runs in init, in the container's new namespaces, before the old root goes away.
"""

from __future__ import annotations

from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.spec.record import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.linux.cgroup import Cgroup
    from sampan.runtime.terminal import Console


@dataclass(slots=True)
class Context:
    cgroup: Cgroup | None = None
    channel: Channel | None = None  # init's end
    namespaces: dict[str, int] = field(default_factory=dict)  # kind → descriptor to join
    root_fd: int = -1  # the container's root folder, a detached mount until `AttachRoot`
    proc_fd: int = -1  # a procfs of the container's that nobody else can reach yet
    devpts_fd: int = -1
    cwd_fd: int = -1
    console: Console | None = None
    prepared: dict[int, int] = field(default_factory=dict)  # id of an operation → detached mount
    own_fds: list[int] = field(default_factory=list)  # opened for this container alone

    def close(self, kernel: Kernel) -> None:
        """Close what was opened in this process. Detached mounts vanish with their descriptor."""
        fds = [*self.prepared.values(), *self.own_fds]
        self.prepared.clear()
        self.own_fds.clear()
        for fd in fds:
            kernel.close(fd)


class Operation:
    """One step. Subclasses are frozen data; `describe()` is what a failure of it is called."""

    __slots__ = ()

    def describe(self) -> str:
        raise NotImplementedError

    def prepare(self, kernel: Kernel, context: Context) -> None:
        """In the parent, before init exists."""

    def execute(self, kernel: Kernel, context: Context) -> None:
        """In init."""
        raise NotImplementedError
