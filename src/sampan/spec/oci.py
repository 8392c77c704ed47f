"""From what the engine knows of a container to its OCI `config.json`: one pure function.

Everything that has to be looked up (devices, users, namespaces, what the daemon may do) is in the `Intent`
already. Shape: runtime-spec 1.2, `config.md` and `config-linux.md`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from sampan.spec import defaults
from sampan.spec.capabilities import choose_capabilities
from sampan.spec.container import ContainerConfig, HostConfig
from sampan.spec.environment import build_environment
from sampan.spec.mount import Mount
from sampan.spec.oci_mounts import build_mounts, root_propagation
from sampan.spec.resources import build_limits, build_rlimits, device_rules, parse_device_rule
from sampan.spec.seccomp_profile import resolve_security_option
from sampan.spec.security_options import SecurityOptions, parse_security_options
from sampan.spec.sysctls import check_sysctls
from sampan.spec.users import User

OCI_VERSION = "1.2.0"
INIT_PATH = "/sbin/docker-init"


class Device(Struct, frozen=True, kw_only=True):
    """A device node of the host that the container gets."""

    path: str
    """In the container."""

    type: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"


class IdMaps(Struct, frozen=True, kw_only=True):
    """Of a user namespace: (id in the container, on the host, how many), …"""

    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]


class Intent(Struct, frozen=True, kw_only=True):
    """All that decides what a container is."""

    container_id: str
    config: ContainerConfig
    """Merged with the image's."""

    host_config: HostConfig
    user: User
    hostname: str
    cgroup_path: str
    held_capabilities: frozenset[str]
    """The daemon's bounding set."""

    mounts: tuple[Mount, ...] = ()
    """Binds, volumes and tmpfs of the user, in any order; `tmpfs` of the host config may be among them."""

    etc_files: Mapping[str, str] = field(default_factory=dict)
    """`/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf` → the file on the host."""

    namespace_paths: Mapping[str, str] = field(default_factory=dict)
    """`network`, `ipc`, `pid` → path of a namespace of another container that is joined."""

    shm_path: str = ""
    """The host folder that is `/dev/shm` when the IPC namespace is another's or the host's."""

    devices: tuple[Device, ...] = ()
    """Privileged: all of the host's."""

    block_devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Paths that the block I/O limits name → major, minor."""

    rlimits_held: Mapping[str, int] | None = None
    """The daemon's hard limits ("RLIMIT_NOFILE", …); None: it may raise all."""

    cpus: int = 1
    """How many CPUs the host may have (`/sys/devices/system/cpu/possible`)."""

    kernel: tuple[int, int]
    """Version, for the seccomp profile."""

    machine: str = field(default_factory=platform.machine)
    init_binary: str = ""
    """On the host, for `--init`."""

    id_maps: IdMaps | None = None
    """Of the user namespace that the container joins."""

    init_by_default: bool = False
    no_new_privileges: bool = False
    """The daemon's default."""

    seccomp_profile: str = ""
    """The daemon's default profile: "" for the built-in one, `unconfined`, or JSON text."""

    root_path: str = "rootfs"


def build_config(intent: Intent) -> dict[str, Any]:
    """The OCI configuration. Raises `InvalidParameter`, in Docker's words."""
    host = intent.host_config
    security = parse_security_options(host.security_opt, no_new_privileges=intent.no_new_privileges)
    namespaces = _namespaces(intent)
    private = frozenset(item["type"] for item in namespaces if "path" not in item)
    uses_init = _uses_init(intent, private)
    capabilities = choose_capabilities(
        host.cap_add, host.cap_drop, privileged=host.privileged, held=intent.held_capabilities
    )
    config: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(intent, security, capabilities, uses_init=uses_init),
        "root": {"path": intent.root_path, "readonly": host.readonly_rootfs},
    }
    if "uts" in private:
        config["hostname"] = intent.hostname
        if intent.config.domainname:
            config["domainname"] = intent.config.domainname
    init = (Mount("bind", intent.init_binary, ("bind", "ro"), INIT_PATH),) if uses_init else ()
    config["mounts"] = build_mounts(
        host,
        (*init, *intent.mounts),
        etc_files=intent.etc_files,
        shm_path=intent.shm_path,
        mapped=intent.id_maps is not None,
        writable_cgroups=security.writable_cgroups,
    )
    if host.annotations:
        config["annotations"] = dict(host.annotations)
    config["linux"] = _linux(intent, security, capabilities, namespaces, private)
    return config


def _uses_init(intent: Intent, private: frozenset[str]) -> bool:
    """Only with a pid namespace of its own: elsewhere there is an init already."""
    wanted = intent.host_config.init
    return (intent.init_by_default if wanted is None else wanted) and "pid" in private


def _process(
    intent: Intent, security: SecurityOptions, capabilities: list[str], *, uses_init: bool
) -> dict[str, Any]:
    config, user = intent.config, intent.user
    arguments = [*(config.entrypoint or []), *(config.cmd or [])]
    if uses_init:
        arguments = [INIT_PATH, "--", *arguments]
    return {
        "terminal": config.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": arguments,
        "env": build_environment(
            config.env or (), hostname=intent.hostname, home=user.home, terminal=config.tty
        ),
        "cwd": config.working_dir or "/",
        "capabilities": capability_sets(capabilities, root=user.uid == 0),
        "rlimits": build_rlimits(intent.host_config.ulimits or (), intent.rlimits_held),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": intent.host_config.oom_score_adj,
    }


def capability_sets(capabilities: list[str], *, root: bool) -> dict[str, list[str]]:
    """A user other than root holds none, and regains only what a file's capabilities give.

    Never inheritable or ambient (CVE-2022-24769).
    """
    active = list(capabilities) if root else []
    return {
        "bounding": list(capabilities),
        "effective": active,
        "permitted": list(active),
        "inheritable": [],
        "ambient": [],
    }


def _namespaces(intent: Intent) -> list[dict[str, str]]:
    host = intent.host_config
    namespaces = [{"type": "mount"}]
    if intent.id_maps is not None:
        namespaces.append({"type": "user"})
    for kind, mode in (
        ("network", host.network_mode),
        ("uts", host.uts_mode),
        ("pid", host.pid_mode),
        ("ipc", host.ipc_mode),
        ("cgroup", host.cgroupns_mode or "host"),
    ):
        if mode == "host":
            continue
        entry = {"type": kind}
        if mode.startswith("container:"):
            entry["path"] = intent.namespace_paths.get(kind, "")
        namespaces.append(entry)
    return namespaces


def _linux(
    intent: Intent,
    security: SecurityOptions,
    capabilities: list[str],
    namespaces: list[dict[str, str]],
    private: frozenset[str],
) -> dict[str, Any]:
    host = intent.host_config
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "cgroupsPath": intent.cgroup_path,
        "resources": {
            "devices": _device_rules(intent),
            **build_limits(host, intent.block_devices),
        },
        "devices": [_device(device) for device in intent.devices],
        "sysctl": _sysctls(host, private, intent.id_maps),
        "rootfsPropagation": root_propagation(intent.mounts),
        "maskedPaths": [],
        "readonlyPaths": [],
    }
    if intent.id_maps is not None:
        linux["uidMappings"] = _mappings(intent.id_maps.uids)
        linux["gidMappings"] = _mappings(intent.id_maps.gids)
    if not host.privileged and not security.system_paths_unconfined:
        linux["maskedPaths"] = _or_default(host.masked_paths, defaults.masked_paths(intent.cpus))
        linux["readonlyPaths"] = _or_default(host.readonly_paths, defaults.READONLY_PATHS)
    profile = resolve_security_option(
        security.seccomp or ("unconfined" if host.privileged else intent.seccomp_profile),
        frozenset(capabilities),
        intent.machine,
        intent.kernel,
    )
    if profile is not None:
        linux["seccomp"] = profile
    return linux


def _or_default(given: list[str] | None, usual: list[str] | tuple[str, ...]) -> list[str]:
    return list(usual) if given is None else list(given)


def _mappings(ranges: Iterable[tuple[int, int, int]]) -> list[dict[str, int]]:
    return [dict(zip(("containerID", "hostID", "size"), entry)) for entry in ranges]


def _sysctls(host: HostConfig, private: frozenset[str], maps: IdMaps | None) -> dict[str, str]:
    chosen = dict(host.sysctls or {})
    check_sysctls(chosen, private=private)
    if "network" in private:
        usual = dict(defaults.NETWORK_SYSCTLS)
        if maps is not None:
            # Groups without a mapping are no numbers in there.
            usual["net.ipv4.ping_group_range"] = f"0 {maps.gids[0][2] - 1}"
        return {**usual, **chosen}
    return chosen


def _device_rules(intent: Intent) -> list[dict[str, Any]]:
    if intent.host_config.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules = [
        *defaults.DEVICE_RULES,
        *((True, d.type, d.major, d.minor, d.access) for d in intent.devices),
        *(parse_device_rule(text) for text in intent.host_config.device_cgroup_rules or ()),
    ]
    return device_rules(rules)


def _device(device: Device) -> dict[str, Any]:
    return {
        "path": device.path,
        "type": device.type,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }
