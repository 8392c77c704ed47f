"""Worker roles of `docker cp`: look at a path of a container, pack what is there, unpack into it.

    copy-stat  fds: channel, WHERE…            {"name", "mode", "size", "mtime_ns", "link"}
    copy-out   fds: channel, output, WHERE…    the same, then the tar stream in `output`, then {}
    copy-in    fds: channel, input, WHERE…     {}

`args`: `path` in the container and, for one that does not run, `view` (`View.to_message`). WHERE: root and user
namespace of its process, or the user namespace that `open_view` wants, if it does. Nothing runs inside the foreign
root; it is only ever a descriptor to look things up below. The archive is decompressed here, before anything of it
is looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from sampan.linux import constants as c
from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.store import places
from sampan.store.copy_in import CopyIn
from sampan.store.intake import take_archive
from sampan.store.pack import Packer
from sampan.store.role import PeerGone, answer, limit_self
from sampan.store.view import View, open_view

RESERVE = 64 << 20  # bytes that stay free on the file system of the root


def copy_stat(args: dict[str, Any], fds: list[int]) -> None:
    def work(channel: Channel) -> Message:
        kernel = LinuxKernel()
        return _describe(kernel, _root(kernel, args, fds[1:], writable=False), str(args["path"]))

    answer(fds[0], work)


def copy_out(args: dict[str, Any], fds: list[int]) -> None:
    def work(channel: Channel) -> Message:
        kernel = LinuxKernel()
        root = _root(kernel, args, fds[2:], writable=False)
        place = places.find(kernel, root, str(args["path"]))
        channel.send(_describe(kernel, root, str(args["path"])))
        packer = Packer(kernel, fds[1], hidden=_devices(root))
        try:
            packer.pack(place.above, place.leaf, os.fsencode(place.name))
            packer.finish()
        except BrokenPipeError:
            raise PeerGone from None
        return {}

    answer(fds[0], work)


def copy_in(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: `overwrite`, whether a folder may take the place of a file and the other way round; `owner`, of
    everything, or null."""

    def work(channel: Channel) -> Message:
        kernel = LinuxKernel()
        limit_self(kernel)
        kernel.umask(0)
        root = _root(kernel, args, fds[2:], writable=True)
        owner = args["owner"]
        applier = CopyIn(
            kernel,
            root,
            _destination(kernel, root, str(args["path"])),
            reserve=RESERVE,
            overwrite=bool(args["overwrite"]),
            owner=None if owner is None else (owner[0], owner[1]),
        )
        take_archive(channel, fds[1], applier)
        return {}

    answer(fds[0], work)


COPY_ROLES = {"copy-stat": copy_stat, "copy-out": copy_out, "copy-in": copy_in}


def _root(kernel: Kernel, args: dict[str, Any], fds: list[int], *, writable: bool) -> int:
    if "view" in args:
        view = View.from_message(args["view"])
        return open_view(kernel, view, writable=writable, host_ids=fds[0] if fds else -1)
    root, user_namespace = fds
    own = os.stat("/proc/self/ns/user")
    if not os.path.samestat(os.fstat(user_namespace), own):
        # So owners are what they are in there, and what is root there may no more than it: no group of the host's
        # comes along, which might be able to write what is root's.
        kernel.setgroups([])
        kernel.setns(user_namespace, c.CLONE_NEWUSER)
        kernel.setresgid(0, 0, 0)
        kernel.setresuid(0, 0, 0)
    return root


def _devices(root: int) -> list[tuple[int, int]]:
    """The runtime's /dev, which is no part of what anybody wants copied; one of the image's own is."""
    try:
        found = os.stat("dev", dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return []
    return [(found.st_dev, found.st_ino)] if found.st_dev != os.fstat(root).st_dev else []


def _describe(kernel: LinuxKernel, root: int, path: str) -> Message:
    place = places.find(kernel, root, path)
    found = places.status(place)
    link = ""
    if stat.S_ISLNK(found.st_mode):
        link = places.evaluate(kernel, root, places.absolute(path))
    return {
        "name": place.name,
        "mode": found.st_mode,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "link": link,
    }


def _destination(kernel: LinuxKernel, root: int, path: str) -> str:
    """The folder's path without links. Raises OSError; EROFS when nothing can be written there."""
    folder = places.evaluate(kernel, root, places.absolute(path))
    fd = kernel.openat2(root, folder.strip("/") or ".", os.O_PATH, resolve=CopyIn.resolve)
    try:
        places.refuse_kernels(fd, path)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
    finally:
        os.close(fd)
    return folder
