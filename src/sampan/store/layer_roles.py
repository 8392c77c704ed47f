"""Worker roles of `docker commit`, `export`, `save` and `push`: folders as tars, and copies of what containers wrote.

pack  fds: channel[, output]           {"diff_id", "size", "content", "entries"}
copy  fds: channel, source, folder     {}
"""

from __future__ import annotations

import errno
import hashlib
import os
import select
from typing import Any

from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import LinuxKernel
from sampan.linux.libc import Int, Libc, check
from sampan.store.changes import open_lower, remove_places
from sampan.store.copy_up import copy_tree
from sampan.store.layer_pack import FolderPacker
from sampan.store.role import PeerGone, answer


def pack(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: `folders` topmost first; `layer`, whether the one folder is overlayfs's and the tar OCI's; `lower`, the
    folders below a layer that a container has just left, to take away what the runtime made in it; `sync`;
    `folder_times`, without which those of folders are 0."""
    answer(fds[0], lambda channel: _pack(channel, args, fds[1] if len(fds) > 1 else None))


def copy(args: dict[str, Any], fds: list[int]) -> None:
    """A container's writable layer, as it is now, into an empty folder. `args`: `sync`."""
    answer(fds[0], lambda channel: _copy(bool(args["sync"]), fds[1], fds[2]))


def _pack(channel: Channel, args: dict[str, Any], output: int | None) -> Message:
    kernel = LinuxKernel()
    root = open_lower(kernel, args["folders"])
    if root is None:
        raise OSError(errno.EINVAL, "no folder to pack")
    if args.get("lower") is not None:
        remove_places(kernel, root, open_lower(kernel, args["lower"]))
    digest = hashlib.sha256()
    size = 0
    poll = select.poll()
    poll.register(channel.fileno(), 0)  # only whether the other end is closed

    def write(data: bytes | memoryview) -> None:
        nonlocal size
        if poll.poll(0):
            raise PeerGone
        digest.update(data)
        size += len(data)
        while output is not None and data:
            data = memoryview(data)[os.write(output, data) :]

    times = bool(args.get("folder_times", True))
    packer = FolderPacker(kernel, root, write, layer=bool(args["layer"]), folder_times=times)
    try:
        packer.run()
    except BrokenPipeError:
        raise PeerGone from None
    if args["sync"]:
        check(Libc().function("syncfs", Int)(root))
    return {
        "diff_id": f"sha256:{digest.hexdigest()}",
        "size": size,
        "content": packer.content,
        "entries": packer.entries,
    }


def _copy(sync: bool, source: int, destination: int) -> Message:
    kernel = LinuxKernel()
    kernel.umask(0)
    copy_tree(kernel, source, destination, layer=True)
    if sync:
        check(Libc().function("syncfs", Int)(destination))
    return {}


LAYER_ROLES = {"pack": pack, "copy": copy}
