"""Kernel settings of the container's own namespaces: names and sysctls.

Sysctls go through a procfs that init mounts for itself before any mount of the container exists: no
image can put a file of its own, or another part of procfs, in the way (CVE-2019-19921, CVE-2025-52881).
Out of scope: which sysctls are allowed (`engine`).
"""

from __future__ import annotations

import errno
import os

from sampan.linux import constants as c
from sampan.linux.filesystems import make_file_system
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure, reason
from sampan.spec.record import dataclass

_INSIDE = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_XDEV


@dataclass(frozen=True, slots=True)
class OpenProc(Operation):
    """A procfs of the container's pid namespace on a descriptor alone."""

    def describe(self) -> str:
        return "error opening a private procfs"

    def execute(self, kernel: Kernel, context: Context) -> None:
        context.proc_fd = make_file_system(kernel, "proc", "proc", (), 0)


@dataclass(frozen=True, slots=True)
class SetSysctl(Operation):
    key: str
    value: str

    def describe(self) -> str:
        return f"error setting sysctl {self.key}"

    def execute(self, kernel: Kernel, context: Context) -> None:
        path = "sys/" + self.key.replace(".", "/")
        action = "open"
        try:
            fd = kernel.openat2(context.proc_fd, path, os.O_WRONLY, resolve=_INSIDE)
            try:
                action = "write"
                kernel.write(fd, self.value.encode())
            finally:
                kernel.close(fd)
        except OSError as error:
            number = error.errno or errno.EIO
            raise RuntimeFailure(
                f"error during container init: {action} /proc/{path}: {reason(number)}",
                step=self.describe(),
                path=f"/proc/{path}",
                errno=number,
            ) from None


@dataclass(frozen=True, slots=True)
class SetHostname(Operation):
    name: str

    def describe(self) -> str:
        return "error setting the host name"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.sethostname(self.name)


@dataclass(frozen=True, slots=True)
class SetDomainname(Operation):
    name: str

    def describe(self) -> str:
        return "error setting the domain name"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.setdomainname(self.name)
