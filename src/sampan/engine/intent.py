"""From a record to what `spec.oci.build_config` and the monitor need: the facts of this host, looked up now.

Blocking look-ups are small (`stat`), and are made in a thread by the caller where they are not.
"""

from __future__ import annotations

import os
import resource
import stat

from sampan.engine import devices, lookup, remap
from sampan.engine.paths import Paths
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.linux.atomic import write_file
from sampan.linux.kernel import Kernel
from sampan.spec.container import HostConfig, ThrottleDevice, WeightDevice
from sampan.spec.mount import Mount
from sampan.spec.oci import Device, IdMaps, Intent
from sampan.spec.programs import init_program
from sampan.spec.users import User

CGROUP_PARENT = "/sampan"
_LIMITS = tuple(name for name in dir(resource) if name.startswith("RLIMIT_"))


def build_intent(
    services: Services,
    record: ContainerRecord,
    user: User,
    found: list[Device],
    mounts: tuple[Mount, ...],
) -> Intent:
    """Raises SampanError with Docker's text for what the host cannot give."""
    host, config = record.host_config, services.config
    return Intent(
        container_id=record.id,
        config=record.config,
        host_config=host,
        user=user,
        hostname=record.config.hostname,
        cgroup_path=cgroup_path(services, record),
        held_capabilities=services.host.capabilities,
        mounts=mounts,
        etc_files=_etc_files(services, record),
        shm_path=_shm_path(services, host),
        devices=tuple(found),
        block_devices=block_devices(host),
        rlimits_held=rlimits_held(services.host.capabilities),
        cpus=services.host.possible_cpus,
        kernel=services.host.kernel_version,
        machine=services.host.architecture,
        init_binary=_init_binary(services),
        id_maps=id_maps(services, record),
        init_by_default=config.init,
        no_new_privileges=config.no_new_privileges,
        seccomp_profile=services.seccomp_default,
    )


def id_maps(services: Services, record: ContainerRecord) -> IdMaps | None:
    found = services.remap
    if found is None or not remap.applies(found, record):
        return None
    return IdMaps(uids=found.uids, gids=found.gids)


def _shm_path(services: Services, host: HostConfig) -> str:
    """Of the host, or of the container whose IPC namespace is joined; "" for one of its own."""
    prefix, _, ref = host.ipc_mode.partition(":")
    if prefix == "container":
        return f"/proc/{services.containers.get(ref).pid}/root/dev/shm"
    return "/dev/shm" if prefix == "host" else ""


def _etc_files(services: Services, record: ContainerRecord) -> dict[str, str]:
    """Of the container whose network it shares, if it does."""
    prefix, _, ref = record.host_config.network_mode.partition(":")
    owner = services.containers.get(ref) if prefix == "container" else record
    return {
        "/etc/resolv.conf": owner.resolv_conf_path,
        "/etc/hostname": owner.hostname_path,
        "/etc/hosts": owner.hosts_path,
    }


def cgroup_path(services: Services, record: ContainerRecord) -> str:
    parent = record.host_config.cgroup_parent or services.config.cgroup_parent or CGROUP_PARENT
    return f"/{parent.strip('/')}/{record.id}"


def find_devices(host: HostConfig) -> list[Device]:
    """Blocking. Raises SampanError."""
    if host.privileged:
        # What the user names takes the place of the host's at the same path.
        named = devices.requested(host.devices or [])
        places = {device.path for device in named}
        return [device for device in devices.everything() if device.path not in places] + named
    return devices.requested(host.devices or [])


def find_user(kernel: Kernel, root: list[Mount], record: ContainerRecord) -> User:
    """Blocking. Raises InvalidParameter."""
    group_add = record.host_config.group_add or []
    return lookup.look_up(kernel, root, record.config.user, group_add)


def block_devices(host: HostConfig) -> dict[str, tuple[int, int]]:
    named: list[WeightDevice | ThrottleDevice] = [
        *(host.blkio_weight_device or []),
        *(host.blkio_device_read_bps or []),
        *(host.blkio_device_write_bps or []),
        *(host.blkio_device_read_iops or []),
        *(host.blkio_device_write_iops or []),
    ]
    found = {}
    for device in named:
        try:
            status = os.stat(device.path)
        except OSError as error:
            raise SampanError(f"stat {device.path}: {(error.strerror or '').lower()}") from None
        if not stat.S_ISBLK(status.st_mode):
            raise InvalidParameter(f"{device.path}: not a block device")
        found[device.path] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return found


def rlimits_held(capabilities: frozenset[str]) -> dict[str, int] | None:
    """The hard limits that this process cannot pass; None: it may raise all."""
    if "CAP_SYS_RESOURCE" in capabilities:
        return None
    limits = {name: resource.getrlimit(getattr(resource, name))[1] for name in _LIMITS}
    infinite = (1 << 64) - 1
    return {name: infinite if hard < 0 else hard for name, hard in limits.items()}


def _init_binary(services: Services) -> str:
    """`--init`: what the configuration names, else the small one of our own."""
    return services.config.init_path or services.paths.init


def joined_namespaces(services: Services, host: HostConfig) -> dict[str, int]:
    """Descriptors of other containers' namespaces, the caller's to close; by the runtime's kinds. Who joins
    another's and has a user namespace joins that one's too: to it the others belong.

    Raises NotFound, Conflict (that one does not run)."""
    wanted = {
        "network": ("net", host.network_mode),
        "pid": ("pid", host.pid_mode),
        "ipc": ("ipc", host.ipc_mode),
    }
    found: dict[str, int] = {}
    try:
        for kind, (name, mode) in wanted.items():
            prefix, _, ref = mode.partition(":")
            if prefix == "container" and ref:
                found[kind] = _open_namespace(services, ref, name, kind)
                if "user" not in found and remap.concerns(services.remap, host):
                    found["user"] = _open_user_namespace(services, ref)
    except BaseException:
        for fd in found.values():
            os.close(fd)
        raise
    return found


def _open_namespace(services: Services, ref: str, name: str, kind: str) -> int:
    other = services.containers.get(ref)
    if other.state is State.RESTARTING:
        raise Conflict(f"Container {other.id} is restarting, wait until the container is running")
    if not other.state.alive and kind == "ipc":
        raise Conflict(
            f"can't join IPC of container {other.id}: container {other.id} is not running"
        )
    if not other.state.alive:
        what = "join network of" if kind == "network" else f"join {kind.upper()} of"
        raise Conflict(f"cannot {what} a non running container: {other.id}")
    if kind == "ipc" and other.host_config.ipc_mode != "shareable":
        raise InvalidParameter(
            f"can't join IPC of container {other.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )
    return os.open(f"/proc/{other.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)


def _open_user_namespace(services: Services, ref: str) -> int:
    other = services.containers.get(ref)
    fd = os.open(f"/proc/{other.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    if os.fstat(fd).st_ino == os.stat("/proc/self/ns/user").st_ino:
        os.close(fd)
        raise Conflict(
            f"cannot share a namespace of container {other.id}, which has the host's user namespace, "
            "when user namespaces are enabled"
        )
    return fd


def install_init(paths: Paths) -> None:
    """The small first process of `--init`, made by our own assembler, into the data root."""
    program = init_program(os.uname().machine)
    try:
        with open(paths.init, "rb") as file:
            if file.read(len(program) + 1) == program:
                return
    except FileNotFoundError:
        pass
    write_file(paths.init, program, 0o755)


def seccomp_default(configured: str) -> str:
    """The daemon's `seccomp-profile` as text: "" (built in), "unconfined", or a file's content.

    Raises SampanError."""
    if configured in ("", "builtin", "default"):
        return ""
    if configured == "unconfined":
        return configured
    try:
        with open(configured, encoding="utf-8") as file:
            return file.read(4 << 20)
    except (OSError, ValueError) as error:
        raise SampanError(f"opening seccomp profile ({configured}) failed: {error}") from None
