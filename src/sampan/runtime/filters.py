"""The seccomp filter of a process: the caller's bytes, or compiled from the configuration; and who listens to it.

With SCMP_ACT_NOTIFY in the profile the kernel gives a descriptor when the filter is loaded, seccomp_unotify(2). The
parent takes it out of the process (`sync.py`), and hands it to the program at `listenerPath`, with the document of
config-linux.md, "The Container Process State".
"""

from __future__ import annotations

import errno
import os

from sampan.linux import constants as c
from sampan.linux.channel import Channel, rights
from sampan.linux.kernel import Kernel
from sampan.spec import quickjson
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping

NOTIFY = "SCMP_ACT_NOTIFY"
FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": c.SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": c.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    # One thread has the filter, and it is the only one there is.
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": c.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}
# What a process calls between loading the filter and its listener's having the descriptor, if it must send it.
_NEEDED_TO_SEND = frozenset(
    ["brk", "close", "futex", "madvise", "mmap", "munmap", "recvmsg", "sendmsg", "write"]
)


@dataclass(frozen=True, slots=True)
class Listener:
    path: str
    metadata: str
    cannot_send: str  # a call for which it would wait for ever, if it had to send the descriptor


@dataclass(frozen=True, slots=True)
class HandOver:
    """The way of the descriptor out of process `pid` to the listening program; a `sync.Listening`."""

    kernel: Kernel
    listener: Listener
    pid: int
    state: Mapping[str, Any]

    def take(self, channel: Channel, number: int) -> int | None:
        import select  # outside, and for the few that have a listener

        pidfd = self.kernel.pidfd_open(self.pid)
        try:
            while not select.select([channel.sock], [], [], 0.001)[0]:
                try:
                    return self.kernel.pidfd_getfd(pidfd, number)
                except OSError as error:
                    if error.errno == errno.EPERM:
                        break
                    if error.errno != errno.EBADF:  # not loaded yet
                        raise
            else:
                return None
            self._require_sendable()
            return None
        finally:
            self.kernel.close(pidfd)

    def _require_sendable(self) -> None:
        if self.listener.cannot_send:
            raise ValueError(
                f"linux.seccomp.syscalls: {NOTIFY} cannot be used for {self.listener.cannot_send} by who may not"
                " take descriptors out of other processes (CAP_SYS_PTRACE)"
            )

    def give(self, fd: int) -> None:
        hand_over(self.listener, fd, self.pid, self.state)


def seccomp_filter(config: dict[str, Any], given: bytes | None) -> tuple[bytes | None, int]:
    """`(program, flags)` for seccomp(2); no program when the configuration has no profile."""
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile:
        return given, 0
    flags = 0
    for name in profile.get("flags") or []:
        if name not in FLAGS:
            raise ValueError(f"seccomp flag {name!r} is not supported")
        flags |= FLAGS[name]
    if listener_of(profile) is not None:
        flags |= c.SECCOMP_FILTER_FLAG_NEW_LISTENER
    elif flags & c.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV:
        raise ValueError(f"linux.seccomp.flags: WAIT_KILLABLE_RECV is for profiles with {NOTIFY}")
    if given is None:
        # Here, since most callers of the engine's kind have it compiled, and the tables take milliseconds.
        from sampan.linux.seccomp import compile_profile

        given = compile_profile(profile, arch=os.uname().machine)
    return given, flags


def listener_of(profile: Mapping[str, Any] | None) -> Listener | None:
    """Raises ValueError with the field's path."""
    profile = profile or {}
    notified = [entry for entry in profile.get("syscalls") or [] if entry["action"] == NOTIFY]
    path = profile.get("listenerPath") or ""
    if profile.get("defaultAction") == NOTIFY:
        raise ValueError(f"linux.seccomp.defaultAction: {NOTIFY} cannot be the default action")
    if not notified:
        return None
    if not path:
        raise ValueError(f"linux.seccomp.listenerPath: {NOTIFY} needs one")
    names = {name for entry in notified for name in entry["names"]}
    cannot = next(iter(sorted(names & _NEEDED_TO_SEND)), "")
    return Listener(path, profile.get("listenerMetadata") or "", cannot)


def hand_over(listener: Listener, fd: int, pid: int, state: Mapping[str, Any]) -> None:
    """Give the listening program the descriptor, and close ours."""
    document: dict[str, Any] = {
        "ociVersion": state.get("ociVersion", ""),
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": listener.metadata,
        "state": dict(state),
    }
    import socket

    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(listener.path)
            text = quickjson.dumps(document).encode("utf-8", "surrogateescape")
            sock.sendmsg([text], [rights([fd])])
    finally:
        os.close(fd)
