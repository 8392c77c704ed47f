"""The mounts of a container in the order in which they are made: defaults, then the user's by depth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.spec.container import HostConfig
from sampan.spec.defaults import MOUNTS, SHM_SIZE
from sampan.spec.mount import PART, Mount
from sampan.spec.tmpfs import merge_options, tmpfs_mount

# What stays writable with a read-only root, although nobody asked for it.
_WRITABLE = frozenset(("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"))


def bind_mount(
    source: str,
    destination: str,
    *,
    read_only: bool = False,
    read_only_below: bool = False,
    propagation: str = "rprivate",
    recursive: bool = True,
) -> Mount:
    """A bind or a volume; `propagation` may be "" (volumes: as the runtime has it).

    `read_only_below`: a read-only one's submounts too."""
    options = ["rbind" if recursive else "bind"]
    if read_only:
        options.append("ro")
        if read_only_below:
            options.append("rro")
    if propagation:
        options.append(propagation)
    return Mount("bind", source, tuple(options), destination)


def image_mount(root: Mount, destination: str, subpath: str = "") -> Mount:
    """`root`: the read-only file system of the image."""
    part = (PART + subpath,) if subpath else ()
    return root._replace(options=(*root.options, *part), destination=destination)


def build_mounts(
    host: HostConfig,
    mounts: Iterable[Mount],
    *,
    etc_files: Mapping[str, str],
    shm_path: str = "",
    mapped: bool = False,
    writable_cgroups: bool = False,
) -> list[dict[str, Any]]:
    """`mounts` are the user's; each hides the default at its place, and one on /dev all below it.

    `mapped`: the files of /etc belong to the container's root, whoever that is on the host."""
    if host.ipc_mode == "host":
        shm_path = shm_path or "/dev/shm"
    own = _user_mounts(host, mounts)
    places = {mount.destination for mount in own}
    added = [
        _etc_file(source, place, read_only=host.readonly_rootfs, mapped=mapped)
        for place, source in etc_files.items()
        if place not in places
    ]
    if shm_path and "/dev/shm" not in places and host.ipc_mode != "none":
        added.append(bind_mount(shm_path, "/dev/shm"))
    usual = [
        _adjusted(mount, host, writable_cgroups=writable_cgroups)
        for mount in MOUNTS
        if _wanted(mount.destination, places, host, shm_path)
    ]
    if mapped and host.ipc_mode == "host":
        # The host's message queues can be used, but only its own root could mount them.
        usual = [mount for mount in usual if mount.destination != "/dev/mqueue"]
    later = sorted([*own, *added], key=lambda mount: mount.destination.rstrip("/").count("/"))
    return [_entry(mount) for mount in [*usual, *later]]


def _etc_file(source: str, place: str, *, read_only: bool, mapped: bool) -> Mount:
    mount = bind_mount(source, place, read_only=read_only)
    return mount._replace(options=(*mount.options, "idmap")) if mapped else mount


def _user_mounts(host: HostConfig, mounts: Iterable[Mount]) -> list[Mount]:
    own = [
        mount._replace(options=merge_options(mount.options)) if mount.type == "tmpfs" else mount
        for mount in mounts
    ]
    places = {mount.destination for mount in own}
    for place, options in (host.tmpfs or {}).items():
        if place not in places:
            own.append(tmpfs_mount(place, options))
    return own


def _wanted(place: str, places: set[str], host: HostConfig, shm_path: str) -> bool:
    if place in places or ("/dev" in places and place.startswith("/dev/")):
        return False
    return place != "/dev/shm" or not (shm_path or host.ipc_mode == "none")


def _adjusted(mount: Mount, host: HostConfig, *, writable_cgroups: bool) -> Mount:
    options = list(mount.options)
    place = mount.destination
    if place == "/dev/shm":
        options.append(f"size={host.shm_size or SHM_SIZE}")
    if (place == "/sys" and host.privileged) or (
        mount.type == "cgroup" and (host.privileged or writable_cgroups)
    ):
        options.remove("ro")
    elif host.readonly_rootfs and place not in _WRITABLE and "ro" not in options:
        options.append("ro")
    return mount._replace(options=tuple(options))


def root_propagation(mounts: Iterable[Mount]) -> str:
    """A mount that is to receive or send events needs a root that does; else nothing passes."""
    words = {word for mount in mounts for word in mount.options}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else "rprivate"


def _entry(mount: Mount) -> dict[str, Any]:
    return {
        "destination": mount.destination,
        "type": mount.type,
        "source": mount.source,
        "options": list(mount.options),
    }
