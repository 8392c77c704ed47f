"""A cgroup on the unified hierarchy (v2)."""

from __future__ import annotations

import errno
import os
import time

from sampan.linux import inotify
from sampan.linux import signals as signal
from sampan.linux.cgroup import devices, devices_bpf, files
from sampan.linux.cgroup.hierarchies import Hierarchies
from sampan.linux.cgroup.resources import Resources, plan_v2
from sampan.linux.cgroup.stats import Statistics, Totals, statistics_v2, totals_v2
from sampan.linux.cgroup.tree import apply_step, kill_at_once, make_folders, remove_folders
from sampan.linux.cgroup.v1 import FREEZE_DEADLINE
from sampan.spec.typing import Any

_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
_NOT_TO_BE_HAD = (errno.EBUSY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT)


class GroupV2:
    def __init__(self, path: str, hierarchies: Hierarchies) -> None:
        assert hierarchies.unified is not None
        self._mountpoint = hierarchies.unified.mountpoint
        self._own = hierarchies.unified.root.rstrip("/") + path
        self._folder = self._mountpoint + path
        self._parents: list[str] = []
        self._fresh = False

    def folder(self, controller: str) -> str | None:
        return self._folder

    def begin(self) -> None:
        parent = os.path.dirname(self._folder)
        # Folders first, then the controllers: making them again is harmless should a parent vanish.
        self._parents = make_folders(self._mountpoint, self._folder)
        _delegate(self._mountpoint, parent)
        self._fresh = True

    def finish(self) -> None:
        """`begin` has made all of it."""

    def apply(self, resources: Resources) -> list[str]:
        self._check_usage(resources.get("memory") or {})
        warnings = []
        for step in plan_v2(resources):
            warnings += apply_step(step, lambda _: self._folder, fresh=self._fresh)
        rules = devices.parse_rules(resources.get("devices") or [])
        if rules and not _allows_all(rules):
            devices_bpf.attach(self._folder, rules)
        self._fresh = False
        return warnings

    def _check_usage(self, memory: dict[str, Any]) -> None:
        """`checkBeforeUpdate`: no limit below what is used; the kernel would kill for it, where v1's refuses."""
        if not memory.get("checkBeforeUpdate"):
            return
        file = self._folder + "/memory.current"
        usage = int(files.read_or(file, "0"))
        for what, limit in (("memory+swap", memory.get("swap")), ("memory", memory.get("limit"))):
            if limit and 0 < limit <= usage:
                text = f"rejecting {what} limit {limit} <= usage {usage}"
                raise OSError(errno.EBUSY, text, file)

    def add(self, pid: int) -> None:
        files.write_text(self._folder + "/cgroup.procs", str(pid))

    def enter(self) -> None:
        self.add(0)

    def unified_folder(self) -> str | None:
        return self._folder

    def clone_fd(self) -> int | None:
        return open_folder(self._folder)

    def clone_fd_beside(self, pid: int) -> int | None:
        place = unified_path(files.read_text(f"/proc/{pid}/cgroup"))
        if not (place + "/").startswith(self._own + "/"):
            raise OSError(
                errno.EBUSY, f"process {pid} has left its cgroup, it is in {place}", self._folder
            )
        return open_folder(self._folder + place[len(self._own) :])

    def processes(self) -> list[int]:
        return files.processes(self._folder)

    def kill(self, number: int) -> None:
        if number == signal.SIGKILL and kill_at_once(self._folder):
            return
        frozen = self._freeze_quietly()
        try:
            for pid in self.processes():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        finally:
            if frozen:
                self.thaw()

    def _freeze_quietly(self) -> bool:
        """Nobody forks meanwhile. True when this call froze it."""
        if self.frozen():
            return False
        try:
            self.freeze()
        except OSError:
            return False
        return True

    def freeze(self) -> None:
        files.write_text(self._folder + "/cgroup.freeze", "1")
        until = time.monotonic() + FREEZE_DEADLINE
        pause = 0.0
        while files.read_table(self._folder + "/cgroup.events").get("frozen") != 1:
            if time.monotonic() >= until:
                self.thaw()
                raise OSError(errno.EBUSY, "unable to freeze", self._folder)
            time.sleep(pause)
            pause = min(pause * 2 or 0.0001, 0.01)

    def thaw(self) -> None:
        files.write_text(self._folder + "/cgroup.freeze", "0")

    def frozen(self) -> bool:
        return files.read_or(self._folder + "/cgroup.freeze", "0").strip() == "1"

    def remove(self) -> None:
        remove_folders([self._folder], self._parents)

    def folders(self) -> list[str]:
        return [self._folder]

    def exists(self) -> bool:
        return os.path.isdir(self._folder)

    def oom_events_fd(self) -> int | None:
        events = self._folder + "/memory.events"
        if not os.path.exists(events):
            return None
        return inotify.watch(events, inotify.IN_MODIFY)

    def oom_kills(self) -> int:
        return files.read_table(self._folder + "/memory.events").get("oom_kill", 0)

    def totals(self) -> Totals:
        return totals_v2(self._folder)

    def statistics(self) -> Statistics:
        return statistics_v2(self._folder)


def open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def unified_path(text: str) -> str:
    """The v2 cgroup in a text of /proc/PID/cgroup, `/`-rooted at this process's cgroup namespace."""
    return next(line[3:] for line in text.splitlines() if line.startswith("0::"))


def _allows_all(rules: list[devices.Rule]) -> bool:
    left = devices.effective(rules)
    return left[0].everything and all(rule.allow for rule in left)


def _delegate(mountpoint: str, parent: str) -> None:
    """Hand the controllers down from the mount point to the children of `parent`."""
    current = mountpoint
    below = [part for part in parent[len(mountpoint) :].split("/") if part]
    for part in ["", *below]:
        current = f"{current}/{part}" if part else current
        available = files.read_or(current + "/cgroup.controllers", "").split()
        enabled = files.read_or(current + "/cgroup.subtree_control", "").split()
        wanted = [name for name in _WANTED if name in available and name not in enabled]
        if wanted:
            _enable(current + "/cgroup.subtree_control", wanted)


def _enable(file: str, controllers: list[str]) -> None:
    try:
        files.write_text(file, " ".join("+" + name for name in controllers))
        return
    except OSError as error:
        if error.errno == errno.EBUSY:
            # Processes are in a cgroup that is not the root. The kernel would still enable the threaded
            # controllers, but the cgroups below could then hold no process at all (`domain invalid`).
            # Limits are reported as unsupported by `apply`. See `aside.py` for our own processes.
            return
        if error.errno not in _NOT_TO_BE_HAD:
            raise
    # One of them cannot be had (real-time tasks with cpu): take the rest.
    for name in controllers:
        try:
            files.write_text(file, "+" + name)
        except OSError as error:
            if error.errno not in _NOT_TO_BE_HAD:
                raise
