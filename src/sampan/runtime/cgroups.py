"""The container's cgroup from inside: entering it, a cgroup namespace, and what /sys/fs/cgroup shows.

Out of scope: making and limiting it (`linux/cgroup`).
"""

from __future__ import annotations

import posixpath

from sampan.linux import constants as c
from sampan.linux.filesystems import make_file_system
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.context import Context, Operation
from sampan.runtime.mounts import attach, clone_tree, open_place
from sampan.runtime.options import MountOptions
from sampan.spec.record import dataclass


@dataclass(frozen=True, slots=True)
class AwaitCgroup(Operation):
    """The parent makes and limits it meanwhile."""

    def describe(self) -> str:
        return "error waiting for the cgroup"

    def execute(self, kernel: Kernel, context: Context) -> None:
        if context.channel is not None:
            sync.expect_alive(context.channel, sync.LIMITED)


@dataclass(frozen=True, slots=True)
class EnterCgroup(Operation):
    """By the host's paths, which init sees until it pivots."""

    def describe(self) -> str:
        return "error entering the cgroup"

    def execute(self, kernel: Kernel, context: Context) -> None:
        if context.cgroup is not None:
            context.cgroup.enter()


@dataclass(frozen=True, slots=True)
class NewCgroupNamespace(Operation):
    """After entering: the cgroup one is in at that moment becomes the root of the namespace."""

    def describe(self) -> str:
        return "error creating the cgroup namespace"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.unshare(c.CLONE_NEWCGROUP)


@dataclass(frozen=True, slots=True)
class UnifiedCgroupMount(Operation):
    """Cgroup v2: the one hierarchy, rooted at the container's cgroup when its namespace is private."""

    destination: str
    options: MountOptions

    def describe(self) -> str:
        return f'error mounting "cgroup2" to rootfs at "{self.destination}"'

    def execute(self, kernel: Kernel, context: Context) -> None:
        place = open_place(kernel, context, self.destination, folder=True)
        mount_fd = self._make(kernel, context)
        attach(kernel, mount_fd, place)
        kernel.close(place)
        kernel.close(mount_fd)

    def _make(self, kernel: Kernel, context: Context) -> int:
        try:
            return make_file_system(kernel, "cgroup2", "cgroup", (), self.options.attr_set)
        except PermissionError:
            # In a user namespace with the host's cgroup namespace: show the host's own mount instead.
            if context.cgroup is None or context.cgroup.hierarchies.unified is None:
                raise
            mountpoint = context.cgroup.hierarchies.unified.mountpoint
        tree = clone_tree(kernel, c.AT_FDCWD, mountpoint)
        kernel.mount_setattr(tree, "", c.AT_EMPTY_PATH, attr_set=self.options.attr_set)
        return tree


@dataclass(frozen=True, slots=True)
class SplitCgroupMount(Operation):
    """Cgroup v1: a tmpfs with the container's own cgroup of every hierarchy, and links to joint ones."""

    destination: str
    options: MountOptions

    def describe(self) -> str:
        return f'error mounting "cgroup" to rootfs at "{self.destination}"'

    def execute(self, kernel: Kernel, context: Context) -> None:
        attributes = self.options.attr_set
        writable = attributes & ~c.MOUNT_ATTR_RDONLY
        place = open_place(kernel, context, self.destination, folder=True)
        tmpfs = make_file_system(kernel, "tmpfs", "cgroup", ("mode=755",), writable)
        attach(kernel, tmpfs, place)
        kernel.close(place)
        for mountpoint, path, controllers in self._hierarchies(context):
            name = posixpath.basename(mountpoint)
            kernel.mkdirat(tmpfs, name, 0o755)
            tree = clone_tree(kernel, c.AT_FDCWD, mountpoint + path)
            # By name: nobody else has seen this tmpfs yet.
            kernel.move_mount(tree, "", tmpfs, name, c.MOVE_MOUNT_F_EMPTY_PATH)
            kernel.close(tree)
            for controller in sorted(controllers - {name}):
                if not controller.startswith("name="):
                    kernel.symlinkat(name, tmpfs, controller)
        kernel.mount_setattr(tmpfs, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, attr_set=attributes)
        kernel.close(tmpfs)

    @staticmethod
    def _hierarchies(context: Context) -> list[tuple[str, str, frozenset[str]]]:
        if context.cgroup is None:
            return []
        path = context.cgroup.path
        return [(h.mountpoint, path, h.controllers) for h in context.cgroup.hierarchies.v1]
