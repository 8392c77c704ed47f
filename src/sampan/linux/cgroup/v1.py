"""A cgroup on v1 hierarchies, and on the v2 hierarchy beside them where the host is hybrid."""

from __future__ import annotations

import errno
import os
import time

from sampan.linux import signals as signal
from sampan.linux.cgroup import devices, files
from sampan.linux.cgroup.hierarchies import Hierarchies
from sampan.linux.cgroup.resources import Resources, plan_v1
from sampan.linux.cgroup.stats import Statistics, Totals, statistics_v1, totals_v1
from sampan.linux.cgroup.tree import apply_step, kill_at_once, make_folders, remove_folders

FREEZE_DEADLINE = 5.0


class GroupV1:
    def __init__(self, path: str, hierarchies: Hierarchies) -> None:
        self._folders = {h.mountpoint: h.mountpoint + path for h in hierarchies.v1}
        self._by_controller = {
            name: self._folders[h.mountpoint] for h in hierarchies.v1 for name in h.controllers
        }
        self._unified: str | None = None
        if hierarchies.unified is not None:
            self._unified = hierarchies.unified.mountpoint + path
            self._own_unified = hierarchies.unified.root.rstrip("/") + path
            self._folders[hierarchies.unified.mountpoint] = self._unified
        self._parents: list[str] = []
        self._fresh = False

    def folder(self, controller: str) -> str | None:
        return self._by_controller.get(controller)

    def begin(self) -> None:
        if self._unified is not None:
            mountpoint = next(m for m, folder in self._folders.items() if folder == self._unified)
            self._parents += make_folders(mountpoint, self._unified)

    def finish(self) -> None:
        cpuset, memory = self._by_controller.get("cpuset"), self._by_controller.get("memory")
        for mountpoint, folder in self._folders.items():
            if folder == self._unified:
                continue
            made = make_folders(mountpoint, folder)
            self._parents += made
            if folder == cpuset:
                _fill_cpuset(mountpoint, folder, made)
            elif folder == memory and made:
                _account_hierarchically(made[0])
        self._fresh = True

    def apply(self, resources: Resources) -> list[str]:
        warnings = []
        for step in plan_v1(resources):
            warnings += apply_step(step, self._by_controller.get, fresh=self._fresh)
        rules = devices.parse_rules(resources.get("devices") or [])
        device_folder = self._by_controller.get("devices")
        if device_folder is not None:
            warnings += devices.apply_v1(device_folder, rules)
        elif any(not rule.allow for rule in rules):
            raise OSError(errno.ENODEV, "the device cgroup is not mounted", "devices")
        self._fresh = False
        return warnings

    def add(self, pid: int) -> None:
        for folder in self._folders.values():
            files.write_text(folder + "/cgroup.procs", str(pid))

    def enter(self) -> None:
        for folder in self._folders.values():
            if folder == self._unified:
                if not self._in_unified():
                    files.write_text(folder + "/cgroup.procs", "0")
            else:
                # `0` into v1's `tasks` is the one way that takes no global lock, whose first taker
                # waits for an RCU grace period (about 10 ms).
                files.write_text(folder + "/tasks", "0")

    def _in_unified(self) -> bool:
        own = files.read_text("/proc/self/cgroup").rpartition("0::")[2].strip()
        return own == self._own_unified or own.startswith(self._own_unified + "/")

    def unified_folder(self) -> str | None:
        return self._unified

    def clone_fd(self) -> int | None:
        if self._unified is None:
            return None
        return os.open(self._unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def clone_fd_beside(self, pid: int) -> int | None:
        return self.clone_fd()

    def processes(self) -> list[int]:
        return files.processes(self._process_folder())

    def _process_folder(self) -> str:
        freezer = self._by_controller.get("freezer")
        return freezer or self._unified or next(iter(self._folders.values()))

    def kill(self, number: int) -> None:
        if number == signal.SIGKILL and self._unified:
            # Listed first: who enters the v2 hierarchy only after the kill was not killed by it. Who
            # may write to the cgroup file systems can also leave it and stay in the others.
            reached = set(files.processes(self._unified))
            if kill_at_once(self._unified):
                self._thaw_quietly()
                if reached.issuperset(self.processes()):
                    return
        frozen = self._freeze_quietly()
        try:
            for pid in self.processes():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        finally:
            # A frozen process takes even SIGKILL only when it thaws.
            if frozen or number == signal.SIGKILL:
                self._thaw_quietly()

    def freeze(self) -> None:
        folder = self._by_controller.get("freezer")
        if folder is None:
            raise OSError(errno.ENODEV, "the freezer cgroup is not mounted", "freezer")
        state = folder + "/freezer.state"
        until = time.monotonic() + FREEZE_DEADLINE
        pause = 0.0
        try:
            while True:
                # Writing it again picks up tasks that were born or moved in meanwhile.
                files.write_text(state, "FROZEN")
                if files.read_text(state).strip() == "FROZEN":
                    return
                if time.monotonic() >= until:
                    raise OSError(errno.EBUSY, "unable to freeze", state)
                time.sleep(pause)
                pause = min(pause * 2 or 0.0001, 0.01)
        except BaseException:
            self._thaw_quietly()
            raise

    def thaw(self) -> None:
        folder = self._by_controller.get("freezer")
        if folder is None:
            raise OSError(errno.ENODEV, "the freezer cgroup is not mounted", "freezer")
        files.write_text(folder + "/freezer.state", "THAWED")

    def frozen(self) -> bool:
        folder = self._by_controller.get("freezer")
        return folder is not None and (
            files.read_or(folder + "/freezer.state", "THAWED").strip() != "THAWED"
        )

    def _freeze_quietly(self) -> bool:
        """True when this call froze it: a container that was paused before stays paused."""
        if self.frozen():
            return False
        try:
            self.freeze()
        except OSError:
            return False
        return True

    def _thaw_quietly(self) -> None:
        try:
            self.thaw()
        except OSError:
            pass

    def remove(self) -> None:
        remove_folders(list(self._folders.values()), self._parents)

    def folders(self) -> list[str]:
        return list(self._folders.values())

    def exists(self) -> bool:
        return os.path.isdir(self._process_folder())

    def oom_events_fd(self) -> int | None:
        folder = self._by_controller.get("memory")
        if folder is None:
            return None
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(folder + "/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                files.write_text(folder + "/cgroup.event_control", f"{event} {control}")
            finally:
                os.close(control)
        except BaseException:
            os.close(event)
            raise
        return event

    def oom_kills(self) -> int:
        folder = self._by_controller.get("memory")
        if folder is None:
            return 0
        return files.read_table(folder + "/memory.oom_control").get("oom_kill", 0)

    def totals(self) -> Totals:
        return totals_v1(self._by_controller)

    def statistics(self) -> Statistics:
        return statistics_v1(self._by_controller)


def _fill_cpuset(mountpoint: str, folder: str, made: list[str]) -> None:
    """A v1 cpuset is born empty and takes no task; copy its parents' sets, from the top down.

    Parents of our making hand theirs down by themselves from then on (`cgroup.clone_children`).
    """
    for file in ("/cpuset.cpus", "/cpuset.mems"):
        _inherit(mountpoint, folder, file)
    for parent in made:
        files.write_text(parent + "/cgroup.clone_children", "1")


def _inherit(mountpoint: str, folder: str, file: str) -> str:
    value = files.read_text(folder + file).strip()
    if not value and folder != mountpoint:
        value = _inherit(mountpoint, os.path.dirname(folder), file)
        files.write_text(folder + file, value)
    return value


def _account_hierarchically(parent: str) -> None:
    """Before kernel 5.11 the limit of a v1 memory cgroup held for its children only on request."""
    if files.read_or(parent + "/memory.use_hierarchy", "1").strip() == "0":
        files.write_text(parent + "/memory.use_hierarchy", "1")
