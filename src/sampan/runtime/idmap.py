"""Id-mapped mounts: files of a bind appear with other owners (mount_setattr(2), "ID-mapped mounts").

The kernel takes the mapping as a user namespace; one is made for the mount and goes with it. runtime-spec config.md,
"Mounts", `uidMappings` and the options `idmap`, `ridmap`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.host import write_id_maps
from sampan.runtime.options import MountOptions
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, NoReturn

_Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class IdMapping:
    """Empty mappings are those of the container's user namespace, which it joins."""

    uids: tuple[tuple[int, int, int], ...]  # in the container, on the disk, how many
    gids: tuple[tuple[int, int, int], ...]
    recursive: bool


def parse_mappings(
    entry: Mapping[str, Any], options: MountOptions, linux: Mapping[str, Any]
) -> IdMapping | None:
    """Of one of `mounts`. Without mappings of its own the container's apply. Raises ValueError."""
    uids, gids = entry.get("uidMappings") or [], entry.get("gidMappings") or []
    if not (uids or gids or options.idmap):
        return None
    if bool(uids) != bool(gids):
        raise ValueError("mounts: uidMappings and gidMappings go together")
    if not uids:
        kinds = {item["type"] for item in linux.get("namespaces") or []}
        if "user" not in kinds:
            raise ValueError("mounts: idmap needs mappings, or a user namespace that has some")
        uids, gids = linux.get("uidMappings") or [], linux.get("gidMappings") or []
    return IdMapping(_triples(uids), _triples(gids), options.idmap == "ridmap")


def _triples(entries: _Entries) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(e["containerID"]), int(e["hostID"]), int(e["size"])) for e in entries)


def map_mount(kernel: Kernel, tree: int, mapping: IdMapping, namespaces: Mapping[str, int]) -> None:
    """Of a detached mount that nobody uses yet."""
    own = bool(mapping.uids)
    fd = _make_user_namespace(kernel, mapping) if own else namespaces["user"]
    flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if mapping.recursive else 0)
    try:
        kernel.mount_setattr(tree, "", flags, attr_set=c.MOUNT_ATTR_IDMAP, userns_fd=fd)
    finally:
        if own:
            kernel.close(fd)


def _make_user_namespace(kernel: Kernel, mapping: IdMapping) -> int:
    """Of a child that lives only as long as this takes."""
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
        _hold_user_namespace(kernel, tell, stay)
    try:
        os.close(tell)
        if not os.read(ready, 1):
            raise OSError(1, "a user namespace for the mapping cannot be made")
        keys = ("containerID", "hostID", "size")
        maps = {
            name: [dict(zip(keys, triple)) for triple in triples]
            for name, triples in (("uidMappings", mapping.uids), ("gidMappings", mapping.gids))
        }
        write_id_maps(kernel, pid, maps)
        return kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/ns/user", os.O_RDONLY)
    finally:
        for fd in (ready, stay, let_go, pidfd):
            os.close(fd)
        os.waitpid(pid, 0)


def _hold_user_namespace(kernel: Kernel, tell: int, stay: int) -> NoReturn:
    try:
        kernel.unshare(c.CLONE_NEWUSER)
        os.write(tell, b"1")
        os.read(stay, 1)
    finally:
        os._exit(0)
