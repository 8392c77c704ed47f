"""Id-mapped mounts: files of a bind appear with other owners (mount_setattr(2), "ID-mapped mounts").

The kernel takes the mapping as a user namespace; one is made for the mount and goes with it. runtime-spec config.md,
"Mounts", `uidMappings` and the options `idmap`, `ridmap`.
"""

from __future__ import annotations

import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.host import write_id_maps
from sampan.runtime.options import MountOptions
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Callable, Mapping, NoReturn, Sequence

_Entries = Sequence[Mapping[str, Any]]
_Triples = Sequence[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class IdMapping:
    """Empty mappings are those of the container's user namespace, which it joins."""

    uids: tuple[tuple[int, int, int], ...]  # in the container, on the disk, how many
    gids: tuple[tuple[int, int, int], ...]
    recursive: bool
    of_container: bool = False  # they are those of the container's own user namespace

    @property
    def root(self) -> tuple[int, int]:
        """Who on the host is the container's root, uid and gid."""
        return host_id(self.uids, 0), host_id(self.gids, 0)


def parse_mappings(
    entry: Mapping[str, Any], options: MountOptions, linux: Mapping[str, Any]
) -> IdMapping | None:
    """Of one of `mounts`. Without mappings of its own the container's apply. Raises ValueError."""
    uids, gids = entry.get("uidMappings") or [], entry.get("gidMappings") or []
    if not (uids or gids or options.idmap):
        return None
    if bool(uids) != bool(gids):
        raise ValueError("mounts: uidMappings and gidMappings go together")
    own = not uids
    if own:
        kinds = {item["type"] for item in linux.get("namespaces") or []}
        if "user" not in kinds:
            raise ValueError("mounts: idmap needs mappings, or a user namespace that has some")
        uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    return IdMapping(_triples(uids), _triples(gids), options.idmap == "ridmap", own)


def _triples(entries: _Entries) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(e["containerID"]), int(e["hostID"]), int(e["size"])) for e in entries)


def map_mount(kernel: Kernel, tree: int, mapping: IdMapping, namespaces: Mapping[str, int]) -> None:
    """Of a detached mount that nobody uses yet."""
    flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if mapping.recursive else 0)

    def set_mapping(fd: int) -> int:
        kernel.mount_setattr(tree, "", flags, attr_set=c.MOUNT_ATTR_IDMAP, userns_fd=fd)
        return tree

    in_namespace(kernel, mapping, namespaces, set_mapping)


def in_namespace(
    kernel: Kernel,
    mapping: IdMapping,
    namespaces: Mapping[str, int],
    use: Callable[[int], int],
) -> int:
    """What `use` gives for a user namespace with this mapping: the container's, where it joins one, else one that
    passes."""
    if "user" in namespaces and (mapping.of_container or not mapping.uids):
        return use(namespaces["user"])
    (fd,) = make_user_namespace(kernel, mapping.uids, mapping.gids)
    try:
        return use(fd)
    finally:
        kernel.close(fd)


def host_id(mappings: _Triples, inside: int) -> int:
    """Raises ValueError for one without a mapping."""
    for first, outside, size in mappings:
        if first <= inside < first + size:
            return outside + inside - first
    raise ValueError(f"the id {inside} has no mapping in the user namespace")


def host_uid(config: Mapping[str, Any], uid: int) -> int:
    """Of a user of the container that `config` describes."""
    entries = (config.get("linux") or {}).get("uidMappings") or []
    return host_id(_triples(entries), uid) if entries else uid


def make_user_namespace(
    kernel: Kernel, uids: _Triples, gids: _Triples, *, network: bool = False
) -> tuple[int, ...]:
    """Of a child that lives only as long as this takes. `network`: and a network namespace that belongs to it."""

    def enter() -> None:
        kernel.unshare(c.CLONE_NEWUSER | (c.CLONE_NEWNET if network else 0))

    def set_up(pid: int) -> None:
        keys = ("containerID", "hostID", "size")
        maps = {
            name: [dict(zip(keys, triple)) for triple in triples]
            for name, triples in (("uidMappings", uids), ("gidMappings", gids))
        }
        write_id_maps(kernel, pid, maps)

    return _of_child(kernel, ("user", "net") if network else ("user",), enter, set_up)


def make_network_in(kernel: Kernel, user_namespace: int) -> int:
    """A network namespace that belongs to a user namespace that is there already."""

    def enter() -> None:
        kernel.setns(user_namespace, c.CLONE_NEWUSER)
        kernel.unshare(c.CLONE_NEWNET)

    return _of_child(kernel, ("net",), enter, lambda _pid: None)[0]


def _of_child(
    kernel: Kernel, kinds: Sequence[str], enter: Callable[[], None], set_up: Callable[[int], None]
) -> tuple[int, ...]:
    """The namespaces of a child in which `enter` was called, then `set_up` for it out here."""
    ready, tell = os.pipe2(os.O_CLOEXEC)
    stay, let_go = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = kernel.fork()
    except OSError:
        for fd in (ready, tell, stay, let_go):
            os.close(fd)
        raise
    if pid == 0:
        os.close(let_go)
        _hold_namespaces(enter, tell, stay)
    try:
        os.close(tell)
        if not os.read(ready, 1):
            raise OSError(1, "a user namespace for the mapping cannot be made")
        set_up(pid)
        return tuple(
            kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
            for name in kinds
        )
    finally:
        for fd in (ready, stay, let_go, pidfd):
            os.close(fd)
        os.waitpid(pid, 0)


def _hold_namespaces(enter: Callable[[], None], tell: int, stay: int) -> NoReturn:
    try:
        enter()
        os.write(tell, b"1")
        os.read(stay, 1)
    finally:
        os._exit(0)
