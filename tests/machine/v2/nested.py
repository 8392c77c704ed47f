"""`python -m tests.machine.v2.nested CGROUP COMMAND…`: run a command at the root of a cgroup namespace."""

from __future__ import annotations

import os
import sys

from sampan.linux import constants as c
from sampan.linux.kernel import LinuxKernel

MOUNT = "/sys/fs/cgroup"

cgroup, *command = sys.argv[1:]
with open(f"{MOUNT}{cgroup}/cgroup.procs", "w") as file:
    file.write("0")
kernel = LinuxKernel()
kernel.unshare(c.CLONE_NEWCGROUP | c.CLONE_NEWNS)
kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
kernel.umount2(MOUNT, c.MNT_DETACH)
kernel.mount("cgroup2", MOUNT, "cgroup2", 0, None)
os.execvp(command[0], command)
