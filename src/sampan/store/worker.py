"""Roles that run in children of the spawner: `unpack`, `remove`, `usage`, `copy_up`, `changes`.

Each gets `args` and descriptors, answers once on `fds[0]` and returns:

    unpack    fds: channel, source, folder     {"diff_id", "size", "entries", "whiteouts"}
    remove    fds: channel, trash              {}
    usage     fds: channel, folder             {"size", "inodes", "disk"}
    copy-up   fds: channel, destination        {"copied"}
    changes   fds: channel, upper, output      {}
    any       {"error": TEXT, "kind": "input" | "os", "errno": N}

Python inside a foreign root would import the attacker's modules and codecs; so everything is imported here
at the top, and before entering, the ways to import more are taken away. No exception leaves a role.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable
from typing import Any

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import LinuxKernel
from sampan.linux.libc import Int, Libc, check
from sampan.store import tree
from sampan.store.apply import Applier
from sampan.store.changes import encode, find_changes, open_lower
from sampan.store.copy_roles import COPY_ROLES
from sampan.store.copy_up import copy_tree, open_source
from sampan.store.intake import take_archive
from sampan.store.layer_roles import LAYER_ROLES
from sampan.store.mount_roles import MOUNT_ROLES
from sampan.store.role import answer, limit_self

# What the archive itself causes; everything else is the machine's trouble.
_INPUT_ERRNOS = frozenset(
    (
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EINVAL),
        *(errno.EEXIST, errno.EPERM, errno.EMLINK, errno.ERANGE, errno.E2BIG, errno.EXDEV),
        *(errno.EOVERFLOW, errno.EILSEQ),
    )
)


Role = Callable[[dict[str, Any], list[int]], None]


def unpack(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: `reserve`, bytes that must stay free; `base`, whether nothing is below the layer;
    `sync`, whether the answer means that everything is on the disk."""
    reserve, base, sync = int(args["reserve"]), bool(args["base"]), bool(args["sync"])
    answer(
        fds[0],
        lambda channel: _unpack(channel, fds[1], fds[2], reserve=reserve, base=base, sync=sync),
    )


def remove(args: dict[str, Any], fds: list[int]) -> None:
    """Empty a folder; the folder itself stays."""
    answer(fds[0], lambda channel: _remove(fds[1]))


def usage(args: dict[str, Any], fds: list[int]) -> None:
    answer(fds[0], lambda channel: tree.usage(fds[1])._asdict())


def copy_up(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: `lower`, folders topmost first; `path`, absolute in the image."""
    answer(fds[0], lambda channel: _copy_up(args["lower"], str(args["path"]), fds[1]))


def changes(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: `lower`, folders topmost first. The output is `changes.encode`'s."""
    answer(fds[0], lambda channel: _changes(args["lower"], fds[1], fds[2]))


def _unpack(
    channel: Channel, source: int, folder: int, *, reserve: int, base: bool, sync: bool
) -> Message:
    kernel = LinuxKernel()
    syncfs = Libc().function("syncfs", Int)
    limit_self(kernel)
    _enter(kernel, folder)
    applier = Applier(kernel, folder, reserve=reserve, base=base)
    digest = hashlib.sha256()
    try:
        take_archive(channel, source, applier, digest.update)
        size = tree.usage(folder).size if applier.replaced else applier.size
    except OSError as error:
        raise _entry_error(error, applier.name) from None
    if sync:
        check(syncfs(folder))
    return {
        "diff_id": f"sha256:{digest.hexdigest()}",
        "size": size,
        "entries": applier.entries,
        "whiteouts": applier.whiteouts,
    }


def _entry_error(error: OSError, name: bytes) -> Exception:
    """What the archive caused is its fault, and says at which entry."""
    if error.errno not in _INPUT_ERRNOS:
        return error
    shown = name[:200].decode("utf-8", "backslashreplace")
    return ProtocolError(f'cannot unpack "{shown}": {os.strerror(error.errno or 0)}')


def _enter(kernel: LinuxKernel, folder: int) -> None:
    """Make `folder` the root, and make sure that nothing in it is ever imported."""
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
    kernel.umask(0)
    kernel.fchdir(folder)
    kernel.chroot(".")
    kernel.chdir("/")


def _remove(folder: int) -> Message:
    """Everything is tried; the first failure is reported."""
    remover = tree.Remover(folder)
    first: OSError | None = None
    for name in os.listdir(folder):
        try:
            remover.remove(folder, os.fsencode(name))
        except OSError as error:
            first = first or error
    if first is not None:
        raise first
    return {}


def _copy_up(lower: list[str], path: str, destination: int) -> Message:
    kernel = LinuxKernel()
    source = open_source(kernel, lower, path)
    if source is None:
        return {"copied": False}
    kernel.umask(0)
    copy_tree(kernel, source, destination)
    check(Libc().function("syncfs", Int)(destination))
    return {"copied": True}


def _changes(lower: list[str], upper: int, output: int) -> Message:
    kernel = LinuxKernel()
    found = find_changes(kernel, upper, open_lower(kernel, lower))
    with open(output, "wb", closefd=False) as file:
        file.write(encode(found))
    return {}


ROLES: dict[str, Role] = {
    "unpack": unpack,
    "remove": remove,
    "usage": usage,
    "copy-up": copy_up,
    "changes": changes,
    **COPY_ROLES,
    **MOUNT_ROLES,
    **LAYER_ROLES,
}
