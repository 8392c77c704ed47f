"""Facts about the machine that do not change while the daemon runs, looked up once."""

from __future__ import annotations

import itertools
import logging
import os
import resource
from dataclasses import dataclass, field

from sampan.linux import capabilities, process
from sampan.linux.cgroup import Hierarchies, detect, features, step_aside

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    boot_id: str
    cpu_set: str  # as the kernel lists them: "0-3"
    memory_nodes: str
    memory: int  # bytes
    kernel: str
    architecture: str  # as `uname -m` says
    operating_system: str
    os_version: str = ""
    possible: str = "0"  # CPUs
    capabilities: frozenset[str] = frozenset()  # what the daemon holds
    hierarchies: Hierarchies | None = None
    cgroup_features: frozenset[str] = field(default_factory=frozenset)

    @property
    def unified_cgroups(self) -> bool:
        return self.hierarchies is not None and self.hierarchies.mode == "v2"

    @property
    def possible_cpus(self) -> int:
        """How many there may ever be."""
        return int(self.possible.rpartition("-")[2].rpartition(",")[2] or 0) + 1

    @property
    def kernel_version(self) -> tuple[int, int]:
        major, _, rest = self.kernel.partition(".")
        minor = "".join(itertools.takewhile(str.isdigit, rest))
        return int(major), int(minor or 0)

    @property
    def cpus(self) -> int:
        return os.cpu_count() or 1

    def name(self) -> str:
        """The host's name now; it may change."""
        return os.uname().nodename


def look_around() -> Host:
    """Blocking, a few small files. Raises FileNotFoundError when the host has no cgroups."""
    system = os.uname()
    hierarchies = detect()
    return Host(
        boot_id=process.boot_id(),
        cpu_set=_read("/sys/devices/system/cpu/online", f"0-{(os.cpu_count() or 1) - 1}"),
        memory_nodes=_read("/sys/devices/system/node/online", "0"),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=system.release,
        architecture=system.machine,
        operating_system=_os_release("PRETTY_NAME") or "Linux",
        os_version=_os_release("VERSION_ID"),
        possible=_read("/sys/devices/system/cpu/possible", "0"),
        capabilities=capabilities.held(),
        hierarchies=hierarchies,
        cgroup_features=features(hierarchies),
    )


def _read(path: str, default: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip() or default
    except FileNotFoundError:
        return default


def _os_release(wanted: str) -> str:
    """os-release(5)."""
    for line in _read("/etc/os-release", "").splitlines():
        key, _, value = line.partition("=")
        if key == wanted:
            return value.strip("\"'")
    return ""


def raise_own_limits(oom_score: int) -> None:
    """Of the daemon: descriptors, and its place in the OOM killer's list. What is not allowed is left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(oom_score))
    except PermissionError:
        pass  # needs CAP_SYS_RESOURCE, which a daemon in a container may lack


def leave_cgroup_above(parent: str, hierarchies: Hierarchies | None) -> None:
    """With cgroup v2 the daemon must not sit above its containers. Where that fails, limits will be lost."""
    if hierarchies is None:
        return
    try:
        leaf = step_aside("/" + parent.strip("/"), hierarchies)
    except OSError as error:
        log.warning("cannot leave the cgroup above the containers': %s", error)
        return
    if leaf is not None:
        log.info("moved to the cgroup %s, out of the way of controllers", leaf)
