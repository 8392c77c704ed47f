"""A container's file system as a descriptor of its root. Runs in a worker.

One that runs is entered by its process's root: volumes and tmpfs are in it as it sees them. One that does not is put
together here, in a mount namespace that nobody else has and that goes with the worker: its layers, and upon them
its volumes, each cloned by its own descriptor onto a place that the kernel looks up inside the root (security: no path
of the host is ever made of a container's). To look only, the writable layer is one of the lower ones, so that
what has to be made for the mounts is made in memory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sampan.linux import constants as c
from sampan.linux.filesystems import make_file_system, make_overlay
from sampan.linux.inroot import make_directory, make_file
from sampan.linux.kernel import Kernel

_CLONE = c.OPEN_TREE_CLONE | c.AT_RECURSIVE
_ONTO = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Attached:
    """Something of the host at a place in the container."""

    source: str
    destination: str
    read_write: bool
    host_ids: bool = False  # of the host's users, some of whom the container's user namespace knows


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen. `layers` are an overlay's options, `folder` is instead of them where it has no layers;
    `place` is a folder of the host that the view may hide for its worker."""

    layers: tuple[str, ...] = ()
    folder: str = ""
    mounts: tuple[Attached, ...] = ()
    place: str = ""
    read_only: bool = False  # but for the mounts

    def to_message(self) -> dict[str, Any]:
        return {
            "layers": list(self.layers),
            "folder": self.folder,
            "mounts": [[m.source, m.destination, m.read_write, m.host_ids] for m in self.mounts],
            "place": self.place,
            "read_only": self.read_only,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> View:
        mounts = tuple(Attached(*fields) for fields in message["mounts"])
        return cls(
            tuple(message["layers"]),
            message["folder"],
            mounts,
            message["place"],
            message["read_only"],
        )


def open_view(kernel: Kernel, view: View, *, writable: bool, host_ids: int = -1) -> int:
    """The root of a container that does not run. The process is in a mount namespace of its own afterwards.

    `host_ids`, where a mount has such: a user namespace that leads from the host's ids to the container's."""
    kernel.unshare(c.CLONE_NEWNS)
    kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
    # Cloned first: what hides the place must not hide them.
    sources = [_clone(kernel, mount, host_ids) for mount in view.mounts]
    made = _make_root(kernel, view, writable=writable)
    _attach(kernel, made, view.place)
    kernel.close(made)
    root = kernel.openat2(c.AT_FDCWD, view.place, _FOLDER)
    for mount, source in zip(view.mounts, sources):
        _put(kernel, root, mount, source)
        kernel.close(source)
    if view.read_only:
        kernel.mount_setattr(root, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)
    return root


def _make_root(kernel: Kernel, view: View, *, writable: bool) -> int:
    if view.folder:
        return kernel.open_tree(c.AT_FDCWD, view.folder, _CLONE)
    if writable:
        return make_overlay(kernel, view.layers, 0)
    scratch = make_file_system(kernel, "tmpfs", "tmpfs", ["size=1m", "mode=700"], 0)
    _attach(kernel, scratch, view.place)
    kernel.close(scratch)
    folders = {}
    for name in ("upper", "work"):
        folders[name] = os.path.join(view.place, name)
        os.mkdir(folders[name], 0o755)
    return make_overlay(kernel, _looking(view.layers, folders["upper"], folders["work"]), 0)


def _looking(layers: Sequence[str], upper: str, work: str) -> list[str]:
    """The same layers, the writable one among the lower, under another one."""
    found = [f"upperdir={upper}", f"workdir={work}"]
    found += [f"lowerdir={o[9:]}" for o in layers if o.startswith("upperdir=")]
    return found + [option for option in layers if option.startswith("lowerdir=")]


def _attach(kernel: Kernel, mount: int, place: str) -> None:
    kernel.move_mount(mount, "", c.AT_FDCWD, place, c.MOVE_MOUNT_F_EMPTY_PATH)


def _clone(kernel: Kernel, mount: Attached, host_ids: int) -> int:
    """As the container would have it: what belongs to users whom it does not know is nobody's, and is not written to,
    whatever the worker may do elsewhere."""
    tree = kernel.open_tree(c.AT_FDCWD, mount.source, _CLONE)
    flags = c.AT_EMPTY_PATH | c.AT_RECURSIVE
    read_write = mount.read_write
    if mount.host_ids:
        try:
            kernel.mount_setattr(tree, "", flags, attr_set=c.MOUNT_ATTR_IDMAP, userns_fd=host_ids)
        except OSError:
            # Not every file system can, and it would be written to as the host's root.
            read_write = False
    if not read_write:
        kernel.mount_setattr(tree, "", flags, attr_set=c.MOUNT_ATTR_RDONLY)
    return tree


def _put(kernel: Kernel, root: int, mount: Attached, source: int) -> None:
    is_folder = stat.S_ISDIR(os.fstat(source).st_mode)
    make = make_directory if is_folder else make_file
    try:
        target = make(kernel, root, mount.destination)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EOVERFLOW):
            raise
        return  # its place is missing in a volume that is not written to, as in `_clone`
    try:
        kernel.move_mount(source, "", target, "", _ONTO)
    finally:
        kernel.close(target)
