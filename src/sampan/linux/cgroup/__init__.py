"""Control groups: limits, accounting, a container's processes; v1, hybrid and v2 alike.

Use: `group = Cgroup.create("/sampan/ID")`, `warnings = group.apply(config["linux"]["resources"])`,
then bring processes in, and at the end `group.kill(SIGKILL)`, wait for them, `group.remove()`.
Out of scope: systemd's slices by D-Bus, threaded cgroups.
"""

from __future__ import annotations

import os

from sampan.linux import signals as signal
from sampan.linux.cgroup import members
from sampan.linux.cgroup.aside import step_aside
from sampan.linux.cgroup.hierarchies import Hierarchies, Hierarchy, detect, features
from sampan.linux.cgroup.resources import Resources
from sampan.linux.cgroup.stats import Statistics, Totals
from sampan.linux.cgroup.v1 import GroupV1
from sampan.linux.cgroup.v2 import GroupV2

__all__ = ["Cgroup", "Hierarchies", "Hierarchy", "detect", "features", "step_aside"]


class Cgroup:
    """One cgroup: on v1 a folder in every hierarchy, on v2 one folder. Paths are worked out once.

    `path` is absolute below the root that is visible here. Errors: `OSError` with the file's path.
    """

    def __init__(self, path: str, hierarchies: Hierarchies | None = None) -> None:
        """The cgroup at `path`, which need not exist yet."""
        self.path = checked_path(path)
        self.hierarchies = hierarchies or detect()
        self._group: GroupV1 | GroupV2
        if self.hierarchies.mode == "v2":
            self._group = GroupV2(self.path, self.hierarchies)
        else:
            self._group = GroupV1(self.path, self.hierarchies)

    @classmethod
    def create(cls, path: str, hierarchies: Hierarchies | None = None) -> Cgroup:
        """Make it, with its parents, in every hierarchy. One that exists already is taken over.

        When it fails half-way, what was made is removed again.
        """
        cgroup = cls(path, hierarchies)
        try:
            cgroup.begin()
            cgroup.finish()
        except BaseException:
            try:
                cgroup.remove()
            except OSError:
                pass
            raise
        return cgroup

    def begin(self) -> None:
        """The first half of `create`: what `clone_fd` needs. When it fails, `remove` is the caller's.

        The other half can then be done while a child that was born here is under way.
        """
        self._group.begin()

    def finish(self) -> None:
        """The second half of `create`. When it fails, `remove` is the caller's."""
        self._group.finish()

    def exists(self) -> bool:
        return self._group.exists()

    def folder(self, controller: str) -> str | None:
        """The folder in a controller's hierarchy ("memory", "cpu", …; v2: always the one)."""
        return self._group.folder(controller)

    def apply(self, resources: Resources) -> list[str]:
        """Set what `resources` (OCI `linux.resources`) names and leave the rest.

        Returns warnings, in Docker's words, for limits that this host cannot set. `ValueError`: the
        request contradicts itself; `OSError`: the kernel refused a value.
        """
        return self._group.apply(resources)

    def add(self, pid: int) -> None:
        """Move a process in (0: the caller). May wait some 10 ms for the kernel's global lock."""
        self._group.add(pid)

    def enter(self) -> None:
        """Move the calling process in. It must have one thread.

        With `clone_fd` used at its birth this takes no global lock on v1 and hybrid hosts (0.3 ms
        instead of 10 ms), and on v2 it is not needed at all.
        """
        self._group.enter()

    def clone_fd(self) -> int | None:
        """A descriptor for `clone3(CLONE_INTO_CGROUP)`, the caller's to close; None on pure v1."""
        return self._group.clone_fd()

    def clone_fd_beside(self, pid: int) -> int | None:
        """The same for v2's cgroup that `pid` is in, which is this one or below it.

        A container that has divided its cgroup (systemd does) has no place for processes in it itself:
        clone3 fails with EBUSY, or EOPNOTSUPP where it is threaded.
        """
        return self._group.clone_fd_beside(pid)

    def clone_fd_below(self, name: str) -> int | None:
        """The same for the cgroup `name` in this one, which is made: for a process that is to be killed with its
        children. Only in the v2 hierarchy, so that all limits stay this one's; None on pure v1."""
        folder = self._group.unified_folder()
        return None if folder is None else members.open_member(folder, name)

    def kill_below(self, name: str) -> bool:
        """SIGKILL for everything in it; False when there is no such cgroup."""
        folder = self._group.unified_folder()
        return folder is not None and members.kill_member(folder, name)

    def remove_below(self, name: str) -> None:
        """Nothing to remove, and a cgroup with processes, which outlive their parent, are no errors."""
        folder = self._group.unified_folder()
        if folder is not None:
            members.remove_member(folder, name)

    def processes(self) -> list[int]:
        """All processes in it and below it."""
        return self._group.processes()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal every process in it; with SIGKILL none escapes by forking. Does not wait."""
        self._group.kill(int(number))

    def freeze(self) -> None:
        """Stop all processes; returns when all stand. `OSError(EBUSY)` after 5 s, thawed again."""
        self._group.freeze()

    def thaw(self) -> None:
        self._group.thaw()

    def frozen(self) -> bool:
        return self._group.frozen()

    def remove(self) -> None:
        """Remove it, the cgroups below it, and those parents that `create` made, if they are empty.

        Nothing to remove is no error. Retries for 2 s while processes are going away, then EBUSY.
        """
        self._group.remove()

    def remove_unless_used(self) -> None:
        """Remove its folders as far as they are empty: of parents that several containers share."""
        for folder in self._group.folders():
            try:
                os.rmdir(folder)
            except OSError:
                pass  # somebody else's container is in it, or it is gone

    def oom_events_fd(self) -> int | None:
        """A descriptor that turns readable when there may have been an OOM kill.

        To arm it again `os.read(fd, 4096)`, then ask `oom_kills()`. It turns readable too when the
        cgroup goes. None without a memory cgroup.
        """
        return self._group.oom_events_fd()

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        return self._group.oom_kills()

    def totals(self) -> Totals:
        """What it has used in all, for a receipt."""
        return self._group.totals()

    def statistics(self) -> Statistics:
        """Raw numbers, see `stats.py`."""
        return self._group.statistics()


def checked_path(path: str) -> str:
    parts = path.split("/")
    if (
        not path.startswith("/")
        or path == "/"
        or any(part in ("", ".", "..") for part in parts[1:])
    ):
        raise ValueError(f"invalid cgroup path: {path!r}")
    return path
