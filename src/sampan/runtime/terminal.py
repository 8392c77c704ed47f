"""The container's terminal: made in its own devpts, its console bound over /dev/console by descriptor.

Nothing is looked up by name twice: the peer comes from the kernel (TIOCGPTPEER), not from
/dev/pts/N, which an image could have bent (CVE-2025-52565).
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.linux import constants as c
from sampan.linux import inroot, pty
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.mounts import attach, clone_tree
from sampan.spec.record import dataclass
from sampan.spec.typing import NamedTuple


class Console(NamedTuple):
    master: int
    slave: int


def open_console(
    kernel: Kernel, folder_fd: int, multiplexer: str, size: tuple[int, int] | None
) -> Console:
    """A new terminal by the multiplexer at that path below `folder_fd`, which must be a devpts's own."""
    handle = inroot.open_in_root(kernel, folder_fd, multiplexer, os.O_PATH)
    status = kernel.fstat(handle)
    kernel.close(handle)
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    genuine = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(*c.PTMX_DEVICE)
    if not genuine:
        raise OSError(errno.ENOTTY, "not a terminal multiplexer", multiplexer)
    master = inroot.open_in_root(kernel, folder_fd, multiplexer, flags)
    same = kernel.fstat(master).st_rdev == status.st_rdev
    if not same or kernel.fstatfs(master) != c.DEVPTS_SUPER_MAGIC:
        raise OSError(errno.ENOTTY, "not a terminal multiplexer", multiplexer)
    pty.unlock(kernel, master)
    slave = pty.open_peer(kernel, master)
    if size is not None and size != (0, 0):
        pty.set_size(kernel, master, *size)
    return Console(master, slave)


@dataclass(frozen=True, slots=True)
class MakeConsole(Operation):
    size: tuple[int, int] | None

    def describe(self) -> str:
        return "error creating the console"

    def execute(self, kernel: Kernel, context: Context) -> None:
        if context.devpts_fd < 0:
            raise OSError(errno.ENODEV, "a terminal needs a devpts mount", "/dev/pts")
        console = open_console(kernel, context.devpts_fd, "ptmx", self.size)
        context.console = console
        place = inroot.make_file(kernel, context.root_fd, "/dev/console", mode=0o666)
        tree = clone_tree(kernel, console.slave, "")
        attach(kernel, tree, place)
        kernel.close(tree)
        kernel.close(place)
