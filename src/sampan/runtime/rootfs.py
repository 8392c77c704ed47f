"""The container's root: made detached by the parent, put over the old root, then pivoted into.

The host's mount table never shows it: until init attaches it in its own mount namespace it hangs on
a descriptor alone, and it goes when the last process of the container does.
"""

from __future__ import annotations

import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.idmap import IdMapping, map_mount
from sampan.runtime.mounts import clone_tree, overlay, set_attributes
from sampan.runtime.options import MountOptions
from sampan.spec.record import dataclass


@dataclass(frozen=True, slots=True)
class OverlayRoot(Operation):
    """`data` as mount(8)'s options; a `lowerdir=` a layer, topmost first."""

    source: str
    data: tuple[str, ...]
    attributes: int
    ids: IdMapping | None = None

    def describe(self) -> str:
        return "error mounting the root file system (overlay)"

    def prepare(self, kernel: Kernel, context: Context) -> None:
        source = self.source or "overlay"
        context.root_fd = overlay(kernel, context, self.data, self.attributes, source, self.ids)
        context.own_fds.append(context.root_fd)

    def execute(self, kernel: Kernel, context: Context) -> None:
        attach_root(kernel, context)


@dataclass(frozen=True, slots=True)
class BindRoot(Operation):
    source: str
    options: MountOptions
    root_propagation: int
    ids: IdMapping | None = None

    def describe(self) -> str:
        return f'error mounting "{self.source}" as the root file system'

    def prepare(self, kernel: Kernel, context: Context) -> None:
        context.root_fd = clone_tree(kernel, c.AT_FDCWD, self.source, recursive=True)
        context.own_fds.append(context.root_fd)
        if self.root_propagation:
            deep = c.AT_EMPTY_PATH | c.AT_RECURSIVE
            kernel.mount_setattr(context.root_fd, "", deep, propagation=self.root_propagation)
        set_attributes(kernel, context.root_fd, self.options)
        if self.ids is not None:
            map_mount(kernel, context.root_fd, self.ids, context.namespaces)

    def execute(self, kernel: Kernel, context: Context) -> None:
        attach_root(kernel, context)


def attach_root(kernel: Kernel, context: Context) -> None:
    """Over the old root, which is the one place that surely exists."""
    kernel.move_mount(context.root_fd, "", c.AT_FDCWD, "/", c.MOVE_MOUNT_F_EMPTY_PATH)


@dataclass(frozen=True, slots=True)
class PrivateMounts(Operation):
    """Nothing that init mounts or unmounts from here on reaches the host."""

    def describe(self) -> str:
        return "error making the mounts private"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)


@dataclass(frozen=True, slots=True)
class ReadOnlyRoot(Operation):
    def describe(self) -> str:
        return "error making the root file system read-only"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.mount_setattr(context.root_fd, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)


@dataclass(frozen=True, slots=True)
class PivotRoot(Operation):
    """pivot_root(2), "pivot_root(".", ".")": the old root lies over the new one, and is taken off."""

    def describe(self) -> str:
        return "error during pivot_root"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.fchdir(context.root_fd)
        kernel.pivot_root(".", ".")
        kernel.umount2(".", c.MNT_DETACH)
        kernel.chdir("/")


@dataclass(frozen=True, slots=True)
class ChrootOnly(Operation):
    """Where the root of this mount namespace is a ramdisk, which cannot be pivoted away (`--no-pivot`).

    The root lies over the old one already; what is below it stays mounted, out of reach by path.
    """

    def describe(self) -> str:
        return "error changing the root"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.fchdir(context.root_fd)
        kernel.chroot(".")
        kernel.chdir("/")


@dataclass(frozen=True, slots=True)
class RootPropagation(Operation):
    propagation: int

    def describe(self) -> str:
        return "error setting the propagation of the root file system"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.mount_setattr(context.root_fd, "", c.AT_EMPTY_PATH, propagation=self.propagation)


def root_from_mounts(
    mount_type: str,
    source: str,
    options: MountOptions,
    root_propagation: int,
    ids: IdMapping | None = None,
) -> Operation:
    """One `Mount` that makes the root."""
    if mount_type == "overlay":
        return OverlayRoot(source, options.data, options.attr_set & ~c.MOUNT_ATTR_RDONLY, ids)
    return BindRoot(os.path.abspath(source), options, root_propagation, ids)
