"""The seccomp filter of a process: the caller's bytes, or compiled from the configuration; and who listens to it.

With SCMP_ACT_NOTIFY in the profile the kernel gives a descriptor when the filter is loaded, seccomp_unotify(2). The
process sends it to its parent, who hands it to the program at `listenerPath`, with the document of config-linux.md,
"The Container Process State".
"""

from __future__ import annotations

import os

from sampan.linux import constants as c
from sampan.linux.channel import rights
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
# What our own process needs between loading the filter and the listener's having it.
_NOT_BEFORE_LISTENED = frozenset(
    ["brk", "close", "futex", "madvise", "mmap", "munmap", "sendmsg", "write"]
)


@dataclass(frozen=True, slots=True)
class Listener:
    path: str
    metadata: str


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
    if clash := sorted(names & _NOT_BEFORE_LISTENED):
        raise ValueError(f"linux.seccomp.syscalls: {NOTIFY} cannot be used for {clash[0]}")
    return Listener(path, profile.get("listenerMetadata") or "")


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
