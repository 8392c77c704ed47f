"""Which cgroup hierarchies this host mounts, and what they can limit.

A host is `v1` (controllers in hierarchies of their own), `v2` (one hierarchy), or `hybrid`: v1 for
the controllers, with the v2 hierarchy mounted beside them for process tracking.
"""

from __future__ import annotations

import os

from sampan.linux.cgroup.files import read_or
from sampan.spec.typing import NamedTuple


class Hierarchy(NamedTuple):
    mountpoint: str
    controllers: frozenset[str]
    """v1: as in the mount options, a named one as `name=systemd`; empty for the v2 hierarchy."""

    root: str
    """The cgroup that is visible at the mount point: `/`, or more when a container bound a part."""


class Hierarchies(NamedTuple):
    mode: str
    """`v1`, `hybrid` or `v2`."""

    v1: tuple[Hierarchy, ...]
    unified: Hierarchy | None

    def mountpoint(self, controller: str) -> str | None:
        """Where a v1 controller's hierarchy is mounted."""
        for hierarchy in self.v1:
            if controller in hierarchy.controllers:
                return hierarchy.mountpoint
        return None


_NOT_CONTROLLERS = frozenset(
    [
        *("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "xattr", "all", "none"),
        *("clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "seclabel"),
    ]
)


def detect(mountinfo: str = "/proc/self/mountinfo") -> Hierarchies:
    """Look at the mounts of this process. Raises `FileNotFoundError` where no cgroup is mounted."""
    found = parse_mountinfo(read_or(mountinfo, ""))
    if found is None:
        raise FileNotFoundError(2, "no cgroup file system is mounted", "/sys/fs/cgroup")
    return found


def parse_mountinfo(text: str) -> Hierarchies | None:
    """The hierarchies in a text of proc_pid_mountinfo(5); None when there is none.

    A later mount on the same place hides the earlier one; of several mounts of the same hierarchy
    the first visible one is taken.
    """
    visible: dict[str, tuple[str, Hierarchy]] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(kind) < 3:
            continue
        mountpoint = _unescape(fields[4])
        visible.pop(mountpoint, None)
        if kind[0] in ("cgroup", "cgroup2"):
            names = _controllers(kind[2]) if kind[0] == "cgroup" else frozenset()
            visible[mountpoint] = (kind[0], Hierarchy(mountpoint, names, _unescape(fields[3])))
    v1: dict[frozenset[str], Hierarchy] = {}
    unified = None
    for kind_of, hierarchy in visible.values():
        if kind_of == "cgroup2":
            unified = unified or hierarchy
        elif hierarchy.controllers:
            v1.setdefault(hierarchy.controllers, hierarchy)
    if not v1 and unified is None:
        return None
    mode = "v2" if not v1 else "v1" if unified is None else "hybrid"
    return Hierarchies(mode, tuple(v1.values()), unified)


def _controllers(options: str) -> frozenset[str]:
    return frozenset(
        word
        for word in options.split(",")
        if word not in _NOT_CONTROLLERS and not word.startswith("release_agent=")
    )


def _unescape(field: str) -> str:
    if "\\" not in field:
        return field
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, plain)
    return field


def features(hierarchies: Hierarchies) -> frozenset[str]:
    """What can be limited here, in the words of the API's `/info`, and a few that it lacks.

    MemoryLimit SwapLimit MemoryReservation MemorySwappiness OomKillDisable PidsLimit CPUShares
    CpuCfsPeriod CpuCfsQuota CPUSet BlkioWeight BlkioWeightDevice BlkioReadBps BlkioWriteBps
    BlkioReadIOps BlkioWriteIOps CpuRealtime Devices
    """
    if hierarchies.mode == "v2":
        return _features_v2(hierarchies)
    names = set()
    for name, controller, file in _V1_FILES:
        mountpoint = hierarchies.mountpoint(controller)
        if mountpoint is not None and (not file or os.path.exists(f"{mountpoint}/{file}")):
            names.add(name)
    return frozenset(names)


_V1_FILES = (
    ("MemoryLimit", "memory", "memory.limit_in_bytes"),
    ("SwapLimit", "memory", "memory.memsw.limit_in_bytes"),
    ("MemoryReservation", "memory", "memory.soft_limit_in_bytes"),
    ("MemorySwappiness", "memory", "memory.swappiness"),
    ("OomKillDisable", "memory", "memory.oom_control"),
    ("PidsLimit", "pids", ""),
    ("CPUShares", "cpu", "cpu.shares"),
    ("CpuCfsPeriod", "cpu", "cpu.cfs_period_us"),
    ("CpuCfsQuota", "cpu", "cpu.cfs_quota_us"),
    ("CpuRealtime", "cpu", "cpu.rt_runtime_us"),
    ("CPUSet", "cpuset", ""),
    ("BlkioWeight", "blkio", "blkio.weight"),
    ("BlkioWeightDevice", "blkio", "blkio.weight_device"),
    ("BlkioReadBps", "blkio", "blkio.throttle.read_bps_device"),
    ("BlkioWriteBps", "blkio", "blkio.throttle.write_bps_device"),
    ("BlkioReadIOps", "blkio", "blkio.throttle.read_iops_device"),
    ("BlkioWriteIOps", "blkio", "blkio.throttle.write_iops_device"),
    ("Devices", "devices", ""),
)

_V2_CONTROLLERS = {
    "memory": ("MemoryLimit", "SwapLimit", "MemoryReservation"),
    "pids": ("PidsLimit",),
    "cpu": ("CPUShares", "CpuCfsPeriod", "CpuCfsQuota"),
    "cpuset": ("CPUSet",),
    "io": (
        "BlkioWeight",
        "BlkioWeightDevice",
        "BlkioReadBps",
        "BlkioWriteBps",
        "BlkioReadIOps",
        "BlkioWriteIOps",
    ),
}


def _features_v2(hierarchies: Hierarchies) -> frozenset[str]:
    assert hierarchies.unified is not None
    present = read_or(hierarchies.unified.mountpoint + "/cgroup.controllers", "").split()
    names = {"Devices"}
    for controller in present:
        names.update(_V2_CONTROLLERS.get(controller, ()))
    return frozenset(names)
