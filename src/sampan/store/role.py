"""What all worker roles share: the answer on their channel, whatever happens, and limits before hostile input."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import LinuxKernel

MEMORY_LIMIT = 1 << 30  # bytes of address space; xz and zstd windows included
_DESCRIPTORS = 1024


class PeerGone(Exception):
    """The daemon is not there any more, and nobody wants the answer."""


def answer(channel_fd: int, work: Callable[[Channel], Message]) -> None:
    """Run `work` and send what it returns, or why it failed."""
    channel = Channel.adopt(channel_fd)
    try:
        message = work(channel)
    except PeerGone:
        return
    except BaseException as error:  # a traceback would read source files of the foreign root
        message = failure(error)
    try:
        channel.send(message)
    except OSError:
        pass  # the daemon died; its successor sweeps


def failure(error: BaseException) -> Message:
    if isinstance(error, ProtocolError):
        return {"error": str(error), "kind": "input"}
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {os.fsdecode(error.filename)}" if error.filename else ""
        return {"error": f"{error.strerror}{where}", "kind": "os", "errno": error.errno}
    if isinstance(error, MemoryError):
        return {"error": "the archive needs too much memory to unpack", "kind": "input"}
    return {"error": f"{type(error).__name__}: {error}", "kind": "os", "errno": errno.EIO}


def limit_self(kernel: LinuxKernel) -> None:
    kernel.prctl(c.PR_SET_DUMPABLE, 0)
    for number, wanted in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY_LIMIT),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
    ):
        hard = resource.getrlimit(number)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(number, (limit, limit))
