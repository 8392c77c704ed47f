"""Mounts of the container: file systems of its own and binds, each brought to an opened destination.

A mount is made detached, then moved onto a descriptor of its place: nobody who changes paths below
the root meanwhile can send it elsewhere (CVE-2021-30465, CVE-2023-28642). runtime-spec config.md, "Mounts".
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from sampan.linux import constants as c
from sampan.linux import inroot
from sampan.linux.filesystems import (
    clone_from_namespace,
    make_file_system,
    make_mapped_overlay,
    make_overlay,
)
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.runtime.copyup import copy_tree
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.idmap import IdMapping, in_namespace, map_mount
from sampan.runtime.options import MountOptions
from sampan.spec.record import dataclass
from sampan.spec.typing import Sequence

_ONTO = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
# What lxcfs and the like may replace with files of their own; runc's list.
_ALLOWED_INSIDE_PROC = frozenset(
    f"/proc/{name}"
    for name in (
        *("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"),
        *("sys/kernel/ns_last_pid", "sys/crypto/fips_enabled", "net/dev"),
    )
)


def _of_another(source: str) -> tuple[int, str] | None:
    """Whose and which, where it is a path of another container's (`/proc/PID/root/…`), for what containers share."""
    words = source.split("/", 4)
    if len(words) < 5 or words[:2] != ["", "proc"] or words[3] != "root":
        return None
    pid = words[2]
    return (int(pid), f"/{words[4]}") if pid.isascii() and pid.isdigit() else None


def attach(kernel: Kernel, mount_fd: int, place_fd: int) -> None:
    kernel.move_mount(mount_fd, "", place_fd, "", _ONTO)


def clone_tree(kernel: Kernel, dirfd: int, path: str, *, recursive: bool = False) -> int:
    """A detached copy of the mount at `path`; an empty path means `dirfd` itself."""
    flags = c.OPEN_TREE_CLONE | (0 if path else c.AT_EMPTY_PATH)
    return kernel.open_tree(dirfd, path, flags | (c.AT_RECURSIVE if recursive else 0))


def set_attributes(kernel: Kernel, mount_fd: int, options: MountOptions) -> None:
    """Flags and propagation of a detached mount."""
    plain = c.AT_EMPTY_PATH
    deep = c.AT_EMPTY_PATH | c.AT_RECURSIVE
    if options.attr_set or options.attr_clr:
        kernel.mount_setattr(
            mount_fd, "", plain, attr_set=options.attr_set, attr_clr=options.attr_clr
        )
    if options.recursive_set or options.recursive_clr:
        kernel.mount_setattr(
            mount_fd, "", deep, attr_set=options.recursive_set, attr_clr=options.recursive_clr
        )
    if options.propagation:
        flags = deep if options.propagation_recursive else plain
        kernel.mount_setattr(mount_fd, "", flags, propagation=options.propagation)


def open_place(kernel: Kernel, context: Context, destination: str, *, folder: bool) -> int:
    """A descriptor of where a mount goes, made if it is missing. Never inside procfs."""
    make = inroot.make_directory if folder else inroot.make_file
    place = make(kernel, context.root_fd, destination)
    inside_proc = kernel.fstatfs(place) == c.PROC_SUPER_MAGIC
    if inside_proc and posixpath.normpath(destination) not in _ALLOWED_INSIDE_PROC:
        kernel.close(place)
        raise RuntimeFailure(
            f"error during container init: {destination} cannot be mounted "
            "because it is inside /proc",
            step=f"error mounting to rootfs at {destination}",
            path=destination,
            errno=errno.EPERM,
        )
    return place


def open_ordinary_directory(kernel: Kernel, root_fd: int, kind: str, destination: str) -> int:
    """Where proc and sysfs go: through no link at all (CVE-2019-19921)."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS
    for attempt in range(2):
        try:
            return kernel.openat2(root_fd, destination, flags, resolve=resolve)
        except FileNotFoundError:
            if attempt:
                raise
            kernel.close(inroot.make_directory(kernel, root_fd, destination))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise RuntimeFailure(
                f'error during container init: error mounting "{kind}" to rootfs at '
                f'"{destination}": filesystem "{kind}" must be mounted on ordinary directory',
                step=f"mount {kind} at {destination}",
                path=destination,
                errno=error.errno,
            ) from None
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class BindMount(Operation):
    source: str
    destination: str
    options: MountOptions
    root_propagation: int  # what the copy is before its own propagation applies
    ids: IdMapping | None = None

    def describe(self) -> str:
        return f'error mounting "{self.source}" to rootfs at "{self.destination}"'

    def prepare(self, kernel: Kernel, context: Context) -> None:
        tree = self._clone(kernel)
        context.prepared[id(self)] = tree
        # A copy belongs to its source's peer group: what is mounted in it would show on the host.
        settled = self.options.propagation and self.options.propagation != c.MS_SHARED
        if not (settled and self.options.propagation_recursive) and self.root_propagation:
            deep = c.AT_EMPTY_PATH | c.AT_RECURSIVE
            kernel.mount_setattr(tree, "", deep, propagation=self.root_propagation)
        set_attributes(kernel, tree, self.options)
        if self.ids is not None:
            map_mount(kernel, tree, self.ids, context.namespaces)

    def _clone(self, kernel: Kernel) -> int:
        recursive = self.options.recursive
        other = _of_another(self.source)
        if other is not None:
            return clone_from_namespace(kernel, *other, recursive=recursive)
        return clone_tree(kernel, c.AT_FDCWD, self.source, recursive=recursive)

    def execute(self, kernel: Kernel, context: Context) -> None:
        tree = context.prepared[id(self)]
        folder = stat.S_ISDIR(kernel.fstat(tree).st_mode)
        if posixpath.normpath(self.destination) == "/proc":
            _require_proc(kernel, tree, self.describe())
        place = open_place(kernel, context, self.destination, folder=folder)
        if not folder and stat.S_ISDIR(kernel.fstat(place).st_mode):
            # move_mount says EINVAL; mount(2), runc, and so its clients, know ENOTDIR.
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self.destination)
        attach(kernel, tree, place)
        kernel.close(place)


def _require_proc(kernel: Kernel, tree: int, step: str) -> None:
    if kernel.fstatfs(tree) != c.PROC_SUPER_MAGIC:
        raise RuntimeFailure(
            f'error during container init: {step}: "/proc" cannot be mounted because it is not '
            "of type proc",
            step=step,
            path="/proc",
            errno=errno.EPERM,
        )


@dataclass(frozen=True, slots=True)
class FileSystemMount(Operation):
    kind: str
    source: str
    destination: str
    options: MountOptions

    def describe(self) -> str:
        return f'error mounting "{self.source or self.kind}" to rootfs at "{self.destination}"'

    def execute(self, kernel: Kernel, context: Context) -> None:
        place = self._open_place(kernel, context)
        options = self.options
        # Read-only comes last (`ReadOnlyMount`), since other mounts may need places in it.
        attributes = options.attr_set & ~c.MOUNT_ATTR_RDONLY
        mount_fd = self._take_private_proc(kernel, context, attributes)
        if mount_fd < 0:
            mount_fd = make_file_system(
                kernel, self.kind, self.source or self.kind, options.data, attributes
            )
        if options.propagation:
            kernel.mount_setattr(mount_fd, "", c.AT_EMPTY_PATH, propagation=options.propagation)
        if options.copy_up:
            copy_tree(kernel, place, mount_fd)
        attach(kernel, mount_fd, place)
        kernel.close(place)
        if self.kind == "devpts":
            context.devpts_fd = mount_fd
        else:
            kernel.close(mount_fd)

    def _open_place(self, kernel: Kernel, context: Context) -> int:
        if self.kind in ("proc", "sysfs"):
            return open_ordinary_directory(kernel, context.root_fd, self.kind, self.destination)
        if posixpath.normpath(self.destination) == "/proc":
            raise RuntimeFailure(
                f'error during container init: {self.describe()}: "/proc" cannot be mounted '
                "because it is not of type proc",
                step=self.describe(),
                path="/proc",
                errno=errno.EPERM,
            )
        return open_place(kernel, context, self.destination, folder=True)

    def _take_private_proc(self, kernel: Kernel, context: Context, attributes: int) -> int:
        """The procfs that the sysctls went through will do; nothing has been mounted in it."""
        if self.kind != "proc" or self.options.data or context.proc_fd < 0:
            return -1
        mount_fd, context.proc_fd = context.proc_fd, -1
        kernel.mount_setattr(mount_fd, "", c.AT_EMPTY_PATH, attr_set=attributes)
        return mount_fd


def overlay(
    kernel: Kernel,
    context: Context,
    data: Sequence[str],
    attributes: int,
    source: str,
    ids: IdMapping | None,
) -> int:
    """Detached; `ids`: what its files' owners are in the container."""
    if ids is None:
        return make_overlay(kernel, data, attributes, source=source)
    root = ids.root
    return in_namespace(
        kernel,
        ids,
        context.namespaces,
        lambda fd: make_mapped_overlay(
            kernel, data, attributes, user_namespace=fd, root=root, source=source
        ),
    )


@dataclass(frozen=True, slots=True)
class OverlayMount(Operation):
    """An image's layers, read-only. `part`: only what lies there in it, "" for all."""

    source: str
    destination: str
    options: MountOptions
    part: str = ""
    ids: IdMapping | None = None

    def describe(self) -> str:
        return f'error mounting "{self.source or "overlay"}" to rootfs at "{self.destination}"'

    def prepare(self, kernel: Kernel, context: Context) -> None:
        attributes = self.options.attr_set
        data = (*self.options.data, *(("ro",) if self.options.read_only else ()))
        source = self.source or "overlay"
        context.prepared[id(self)] = overlay(kernel, context, data, attributes, source, self.ids)

    def execute(self, kernel: Kernel, context: Context) -> None:
        tree = context.prepared[id(self)]
        if self.part:
            tree = self._take_part(kernel, context, tree)
        folder = stat.S_ISDIR(kernel.fstat(tree).st_mode)
        place = open_place(kernel, context, self.destination, folder=folder)
        attach(kernel, tree, place)
        kernel.close(place)

    def _take_part(self, kernel: Kernel, context: Context, tree: int) -> int:
        """A part can be cloned only of what hangs in this mount namespace: so it hangs there, for a moment."""
        attach(kernel, tree, context.root_fd)
        resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS
        found = kernel.openat2(tree, self.part, os.O_PATH, resolve=resolve)
        part = clone_tree(kernel, found, "")
        kernel.close(found)
        context.prepared[id(self)] = part
        kernel.umount2(f"/proc/self/fd/{tree}", c.MNT_DETACH)
        kernel.close(tree)
        return part


@dataclass(frozen=True, slots=True)
class ReadOnlyMount(Operation):
    """Close a file system that had to stay writable while places were made in it."""

    destination: str

    def describe(self) -> str:
        return f'error making "{self.destination}" read-only'

    def execute(self, kernel: Kernel, context: Context) -> None:
        flags = os.O_PATH | os.O_DIRECTORY
        place = inroot.open_in_root(kernel, context.root_fd, self.destination, flags)
        kernel.mount_setattr(place, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)
        kernel.close(place)
