"""What a helper that is kept ready does while it waits: plan a container like most, and throw the plan away.

The point is the memory: CPython copies, a page fault each, every page whose objects it looks at, and
those that planning looks at are the helper's own when the real request comes.
"""

from __future__ import annotations

import json
from typing import Any

from sampan.linux.cgroup import Hierarchies
from sampan.linux.kernel import Kernel
from sampan.runtime.create import rehearse as rehearse_create
from sampan.runtime.request import Request
from sampan.spec.mount import Mount

_CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]

# Of the shape that `spec.oci.build_config` gives; the values do not matter.
CONFIG: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {
        "user": {"uid": 0, "gid": 0, "additionalGids": [0, 10], "umask": 18},
        "args": ["true"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
        "cwd": "/",
        "capabilities": {kind: _CAPABILITIES for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        "oomScoreAdj": 0,
    },
    "root": {"path": "rootfs"},
    "hostname": "rehearsal",
    "mounts": [
        {"destination": at, "type": kind, "source": kind, "options": options}
        for at, kind, options in (
            ("/proc", "proc", ["nosuid", "noexec", "nodev"]),
            ("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5"]),
            ("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
            ("/sys/fs/cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"]),
            ("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
            ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777"]),
        )
    ]
    + [
        {
            "destination": f"/etc/{name}",
            "type": "bind",
            "source": f"/run/{name}",
            "options": ["rbind", "rprivate"],
        }
        for name in ("resolv.conf", "hostname", "hosts")
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
        "resources": {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "access": "m"},
            ]
        },
        "cgroupsPath": "/sampan/rehearsal",
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
    },
}
_TEXT = json.dumps(CONFIG)
_ROOT = (Mount("overlay", "overlay", ("lowerdir=/l", "upperdir=/u", "workdir=/w")),)


def rehearse(kernel: Kernel, hierarchies: Hierarchies) -> None:
    config = json.loads(_TEXT)
    rehearse_create(kernel, Request(config, root=_ROOT, seccomp=b"", hierarchies=hierarchies))
