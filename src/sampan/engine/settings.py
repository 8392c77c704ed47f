"""What the user left open, filled with the daemon's defaults, as `docker inspect` shows it. Pure."""

from __future__ import annotations

import msgspec

from sampan.engine.config import OWN_RUNTIME, DaemonConfig, parse_size
from sampan.errors import InvalidParameter
from sampan.spec.container import (
    ContainerConfig,
    HostConfig,
    LogConfig,
    RestartPolicy,
    Ulimit,
)

BRIDGE, NONE = "bridge", "none"


def settle_host_config(host: HostConfig, config: DaemonConfig, *, unified: bool) -> HostConfig:
    """`unified`: the host has cgroup v2 only."""
    log = host.log_config or LogConfig()
    if not log.type:
        log = LogConfig(type=config.log_driver, config=log.config or dict(config.log_opts))
    policy = host.restart_policy or RestartPolicy()
    return msgspec.structs.replace(
        host,
        ulimits=_ulimits(host, config),
        memory_swap=host.memory * 2
        if host.memory > 0 and host.memory_swap == 0
        else host.memory_swap,
        log_config=LogConfig(type=log.type, config=log.config or {}),
        shm_size=host.shm_size or parse_size(config.default_shm_size),
        ipc_mode=host.ipc_mode or config.default_ipc_mode or "private",
        cgroupns_mode=host.cgroupns_mode
        or config.default_cgroupns_mode
        or ("private" if unified else "host"),
        network_mode=BRIDGE if host.network_mode in ("", "default") else host.network_mode,
        restart_policy=RestartPolicy(
            name=policy.name or "no", maximum_retry_count=policy.maximum_retry_count
        ),
        runtime=host.runtime or config.default_runtime or OWN_RUNTIME,
        oom_kill_disable=bool(host.oom_kill_disable),
    )


def without_network(host: HostConfig) -> HostConfig:
    """`NetworkDisabled`: its own network with nothing but a loopback."""
    return msgspec.structs.replace(host, network_mode=NONE)


def _ulimits(host: HostConfig, config: DaemonConfig) -> list[Ulimit] | None:
    """The user's, then those of the daemon's defaults that the user did not name."""
    named = {limit.name for limit in host.ulimits or []}
    added = [limit for name, limit in config.default_ulimits.items() if name not in named]
    return [*(host.ulimits or []), *added] if added else host.ulimits


def settle_hostname(
    config: ContainerConfig,
    host: HostConfig,
    *,
    container_id: str,
    host_name: str,
    owner: ContainerConfig | None = None,
) -> ContainerConfig:
    """Who shares a network or UTS namespace has the name that is known there: the host's, or that of `owner`,
    the container whose network it is. Others have their id's beginning."""
    if owner is not None:
        return msgspec.structs.replace(config, hostname=owner.hostname, domainname=owner.domainname)
    if config.hostname or host.network_mode.startswith("container:"):
        return config
    shared = host.network_mode == "host" or host.uts_mode == "host"
    return msgspec.structs.replace(config, hostname=host_name if shared else container_id[:12])


def check_mac(text: str) -> str:
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(part) == 2 and _is_hex(part) for part in parts):
        raise InvalidParameter(f"invalid MAC address: {text}")
    return text


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)
