"""Configurations and root file systems for tests of the runtime: Docker's defaults on Debian's busybox."""

from __future__ import annotations

import os
import shutil
from copy import deepcopy
from typing import Any

BUSYBOX = "/bin/busybox"
APPLETS = ("sh", "cat", "ls", "true", "sleep", "id", "mount", "stat", "readlink", "pwd", "head")

DEFAULT_CAPABILITIES = [
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW"),
    *("CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"),
    *("CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"),
]
MASKED = [
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_SAFE = ["nosuid", "noexec", "nodev"]
_CONFIG: dict[str, Any] = {
    "ociVersion": "1.2.0",
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "capabilities": {
            "bounding": DEFAULT_CAPABILITIES,
            "effective": DEFAULT_CAPABILITIES,
            "permitted": DEFAULT_CAPABILITIES,
        },
        "oomScoreAdj": 0,
    },
    "hostname": "box",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": _SAFE},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_SAFE, "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["ro", *_SAFE],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _SAFE},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*_SAFE, "mode=1777", "size=67108864"],
        },
    ],
    "linux": {
        "sysctl": {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        },
        "resources": {
            "devices": [
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "access": "m"},
                {"allow": True, "type": "b", "access": "m"},
                *(
                    {"allow": True, "type": "c", "major": 1, "minor": minor, "access": "rwm"}
                    for minor in (3, 5, 7, 8, 9)
                ),
                {"allow": True, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
                {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
                {"allow": True, "type": "c", "major": 136, "access": "rwm"},
            ]
        },
        "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    },
}


def make_config(container_id: str, *args: str, **process: Any) -> dict[str, Any]:
    """Docker's configuration for `args`; other fields of `process` by keyword."""
    config = deepcopy(_CONFIG)
    config["linux"]["cgroupsPath"] = f"/sampan-test/{container_id}"
    config["process"].update(process)
    if args:
        config["process"]["args"] = list(args)
    return config


def make_rootfs(path: str) -> str:
    """A busybox root file system at `path`, which is made."""
    for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "var"):
        os.makedirs(f"{path}/{folder}")
    shutil.copy2(BUSYBOX, f"{path}/bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", f"{path}/bin/{name}")
    with open(f"{path}/etc/passwd", "w", encoding="ascii") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\n")
    os.chmod(f"{path}/tmp", 0o1777)
    return path
