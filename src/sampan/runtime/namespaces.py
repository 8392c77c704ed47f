"""Which namespaces a container gets anew, which it joins, and by what. config-linux.md, "Namespaces"."""

from __future__ import annotations

import _socket as socket
import _struct as struct
import fcntl
import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.context import Context, Operation
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping

FLAGS = {
    "user": c.CLONE_NEWUSER,
    "mount": c.CLONE_NEWNS,
    "network": c.CLONE_NEWNET,
    "ipc": c.CLONE_NEWIPC,
    "uts": c.CLONE_NEWUTS,
    "pid": c.CLONE_NEWPID,
    "cgroup": c.CLONE_NEWCGROUP,
    "time": c.CLONE_NEWTIME,
}
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


@dataclass(frozen=True, slots=True)
class Namespaces:
    """`new` and `joined` are kinds; `paths` says where to find those joined that were not handed over."""

    new: frozenset[str]
    joined: tuple[str, ...]
    paths: Mapping[str, str]
    time_offsets: str | None = (
        None  # of a new time namespace, as the kernel takes them; "" for none
    )

    @property
    def own(self) -> frozenset[str]:
        """Kinds that are not the host's, as far as the configuration says."""
        return self.new | frozenset(self.joined)

    @property
    def clone_flags(self) -> int:
        """For clone3. The cgroup namespace comes later: it is rooted where init is at that moment; that of time
        comes before, see `spawn.clone_child`."""
        flags = 0
        for kind in self.new - {"cgroup", "time"}:
            flags |= FLAGS[kind]
        return flags


def parse_namespaces(config: dict[str, Any], given: Mapping[str, int]) -> Namespaces:
    """`given` are kinds to join by descriptor, over what the configuration says of them."""
    new: set[str] = set()
    paths: dict[str, str] = {}
    for entry in config.get("linux", {}).get("namespaces", []):
        kind = entry["type"]
        if kind not in FLAGS:
            raise ValueError(f'namespace type "{kind}" is not supported')
        if kind in new or kind in paths:
            raise ValueError(f'namespace "{kind}" is listed twice')
        if kind in given:
            continue
        if entry.get("path"):
            paths[kind] = entry["path"]
        else:
            new.add(kind)
    for kind in given:
        if kind not in FLAGS:
            raise ValueError(f'namespace type "{kind}" is not supported')
    if "mount" not in new:
        raise ValueError("a container needs a new mount namespace")
    linux = config.get("linux", {})
    shared_user = "user" in paths or "user" in given
    if not shared_user and ("user" in new) != bool(
        linux.get("uidMappings") and linux.get("gidMappings")
    ):
        raise ValueError("a user namespace and its uidMappings and gidMappings go together")
    joined = tuple(kind for kind in FLAGS if kind in paths or kind in given)
    return Namespaces(frozenset(new), joined, paths, _time_offsets(linux, new))


def _time_offsets(linux: Mapping[str, Any], new: set[str]) -> str | None:
    offsets = linux.get("timeOffsets") or {}
    if "time" not in new:
        if offsets:
            raise ValueError("linux.timeOffsets: they need a new time namespace")
        return None
    return "".join(
        f"{clock} {int(entry.get('secs') or 0)} {int(entry.get('nanosecs') or 0)}\n"
        for clock, entry in offsets.items()
        if clock in ("monotonic", "boottime") and entry
    )


@dataclass(frozen=True, slots=True)
class JoinNamespace(Operation):
    """Not for "pid": its members are born into it, so the parent joins for its next child."""

    kind: str

    def describe(self) -> str:
        return f"error joining the {self.kind} namespace"

    def execute(self, kernel: Kernel, context: Context) -> None:
        kernel.setns(context.namespaces[self.kind], FLAGS[self.kind])


@dataclass(frozen=True, slots=True)
class LoopbackUp(Operation):
    """A new network namespace has `lo`, down."""

    def describe(self) -> str:
        return "error bringing the loopback interface up"

    def execute(self, kernel: Kernel, context: Context) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            request = struct.pack("16sH14x", b"lo", 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request))[1]
            request = struct.pack("16sH14x", b"lo", flags | _IFF_UP)
            kernel.ioctl(sock.fileno(), _SIOCSIFFLAGS, request)
        finally:
            sock.close()


def open_namespaces(
    kernel: Kernel, namespaces: Namespaces, given: Mapping[str, int], opened: list[int]
) -> dict[str, int]:
    """Descriptors of all that are joined; those opened here are added to `opened`, the caller's to close."""
    descriptors = dict(given)
    for kind, path in namespaces.paths.items():
        descriptors[kind] = kernel.openat2(c.AT_FDCWD, path, os.O_RDONLY)
        opened.append(descriptors[kind])
    return descriptors
