"""What the user left open, filled with the daemon's defaults, as `docker inspect` shows it. Pure."""

from __future__ import annotations

import msgspec

from sampan.engine.config import OWN_RUNTIME, DaemonConfig, parse_size
from sampan.errors import InvalidParameter, NotFound, NotImplementedHere
from sampan.spec.container import (
    ContainerConfig,
    EndpointSettings,
    HostConfig,
    LogConfig,
    NetworkingConfig,
    RestartPolicy,
    Ulimit,
)

BRIDGE = "bridge"


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


def _ulimits(host: HostConfig, config: DaemonConfig) -> list[Ulimit] | None:
    """The user's, then those of the daemon's defaults that the user did not name."""
    named = {limit.name for limit in host.ulimits or []}
    added = [limit for name, limit in config.default_ulimits.items() if name not in named]
    return [*(host.ulimits or []), *added] if added else host.ulimits


def settle_hostname(
    config: ContainerConfig, host: HostConfig, *, container_id: str, host_name: str
) -> ContainerConfig:
    """A container in the host's network or UTS namespace has the host's name, others their id's beginning."""
    if config.hostname or host.network_mode.startswith("container:"):
        return config
    shared = host.network_mode == "host" or host.uts_mode == "host"
    return msgspec.structs.replace(config, hostname=host_name if shared else container_id[:12])


def check_network(host: HostConfig, networking: NetworkingConfig) -> None:
    """`host` is settled. Raises InvalidParameter, NotImplementedHere.

    Whether the network exists is found at the start: a 404 here would make the docker client pull the image.
    """
    mode = host.network_mode
    names = {BRIDGE if name == "default" else name for name in networking.endpoints_config or {}}
    if len(names | {mode}) > 1 and names:
        raise InvalidParameter(
            "Container cannot be connected to network endpoints: "
            + ", ".join(sorted(names | {mode}))
        )
    for endpoint in (networking.endpoints_config or {}).values():
        if endpoint.ipam_config and endpoint.ipam_config.i_pv4_address:
            raise InvalidParameter(
                "invalid config for network bridge: invalid endpoint settings:\n"
                "user specified IP address is supported on user defined networks only"
            )
        if endpoint.mac_address:
            check_mac(endpoint.mac_address)
    if mode == BRIDGE and (host.port_bindings or host.publish_all_ports):
        raise NotImplementedHere("publishing ports is not supported by this version of sampan")


def check_network_exists(mode: str, *, bridged: bool) -> None:
    """`bridged`: there is a default network. Raises NotFound."""
    known = (
        mode in ("host", "none") or mode.startswith("container:") or (mode == BRIDGE and bridged)
    )
    if not known:
        raise NotFound(f"network {mode} not found")


def wanted_mac(networking: NetworkingConfig) -> str | None:
    for endpoint in (networking.endpoints_config or {}).values():
        return endpoint.mac_address or None
    return None


def check_mac(text: str) -> str:
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or not all(len(part) == 2 and _is_hex(part) for part in parts):
        raise InvalidParameter(f"invalid MAC address: {text}")
    return text


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)


def settle_networking(networking: NetworkingConfig, mode: str) -> NetworkingConfig:
    """The API's `default` is the bridge here."""
    return NetworkingConfig(
        endpoints_config={
            (mode if name == "default" else name): settings or EndpointSettings()
            for name, settings in (networking.endpoints_config or {}).items()
        }
    )
