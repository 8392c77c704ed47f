"""Container records as the API shows them: ContainerInspectResponse and ContainerSummary (Engine API 1.55).

Everything that any version shows is here; `versions.FIELDS` takes out what a client's version lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.api.views.durations import human
from sampan.api.views.networking import network_settings, networks, ports_summary
from sampan.engine import times
from sampan.engine.query import Sizes
from sampan.engine.records import ContainerRecord, MountPoint, State
from sampan.spec import defaults
from sampan.spec.container import ContainerConfig, HostConfig
from sampan.spec.security_options import parse_security_options

# Fields that Go leaves out when they are zero (`omitempty`).
_CONFIG_OMITTED = (
    "Healthcheck",
    "NetworkDisabled",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "ExposedPorts",
)
_HOST_OMITTED = ("Tmpfs", "Sysctls", "StorageOpt", "Init", "Mounts", "Annotations")  # fmt: skip


def inspect(
    record: ContainerRecord,
    *,
    graph_driver: dict[str, Any] | None = None,
    exec_ids: list[str] | None = None,
    sizes: Sizes | None = None,
) -> dict[str, Any]:
    body = {
        "Id": record.id,
        "Created": times.to_text(record.created),
        "Path": record.path,
        "Args": list(record.args),
        "State": state(record),
        "Image": record.image_id,
        "ResolvConfPath": record.resolv_conf_path,
        "HostnamePath": record.hostname_path,
        "HostsPath": record.hosts_path,
        "LogPath": record.log_path,
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": record.driver,
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": exec_ids or None,
        "HostConfig": host_config(record.host_config),
        "GraphDriver": graph_driver or {"Data": None, "Name": record.driver},
        "Mounts": mounts(record),
        "Config": config(record.config),
        "NetworkSettings": network_settings(record),
    }
    if sizes is not None:
        body["SizeRw"], body["SizeRootFs"] = sizes.writable, sizes.root
    return body


def state(record: ContainerRecord) -> dict[str, Any]:
    body: dict[str, Any] = {
        "Status": str(record.state),
        # As dockerd has it: a container that waits for its restart counts as running.
        "Running": record.state.alive or record.state is State.RESTARTING,
        "Paused": record.state is State.PAUSED,
        "Restarting": record.state is State.RESTARTING,
        "OOMKilled": record.oom_killed,
        "Dead": record.state is State.DEAD,
        "Pid": record.pid if record.state.alive else 0,
        "ExitCode": record.exit_code,
        "Error": record.error,
        "StartedAt": times.to_text(record.started_at),
        "FinishedAt": times.to_text(record.finished_at),
    }
    if record.usage is not None:  # not Docker's
        body["Usage"] = {
            "PeakMemory": record.usage.peak_memory,
            "CPUTime": record.usage.cpu_time,
            "IORead": record.usage.io_read,
            "IOWritten": record.usage.io_written,
            "OOMKills": record.usage.oom_kills,
        }
    if record.health is not None:
        body["Health"] = {
            "Status": record.health.status,
            "FailingStreak": record.health.failing_streak,
            "Log": [
                {
                    "Start": times.to_text(result.start),
                    "End": times.to_text(result.end),
                    "ExitCode": result.exit_code,
                    "Output": result.output,
                }
                for result in record.health.log
            ],
        }
    return body


def config(value: ContainerConfig) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(value)
    for name in _CONFIG_OMITTED:
        if not body[name]:
            del body[name]
    if value.stop_timeout is not None:
        body["StopTimeout"] = value.stop_timeout  # 0 is a value
    if value.healthcheck is not None:
        body["Healthcheck"] = _without_zeros(body["Healthcheck"])
    body["Labels"] = body["Labels"] or {}
    for name in ("Volumes", "Env"):
        body[name] = body[name] or None
    return body


def host_config(value: HostConfig) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(value)
    for name in _HOST_OMITTED:
        if not body[name]:
            del body[name]
    if value.init is not None:
        body["Init"] = value.init
    if value.mounts:
        body["Mounts"] = [_without_zeros(mount) for mount in body["Mounts"]]
    body["LogConfig"] = {
        "Type": value.log_config.type if value.log_config else "json-file",
        "Config": (value.log_config and value.log_config.config) or {},
    }
    body["RestartPolicy"] = body["RestartPolicy"] or {"Name": "no", "MaximumRetryCount": 0}
    body["RestartPolicy"]["Name"] = body["RestartPolicy"]["Name"] or "no"
    body["PortBindings"] = body["PortBindings"] or {}
    body["ConsoleSize"] = body["ConsoleSize"] or [0, 0]
    if value.memory_swappiness == -1:
        body["MemorySwappiness"] = None
    body.update(_protected_paths(value))
    if value.security_opt is None and (
        value.privileged or "host" in (value.ipc_mode, value.pid_mode)
    ):
        body["SecurityOpt"] = ["label=disable"]  # no labels could hold there
    return {**body, "KernelMemory": 0, "KernelMemoryTCP": 0}


def _protected_paths(value: HostConfig) -> Iterator[tuple[str, list[str] | None]]:
    """What is masked and read-only when the caller says nothing, as the container has it."""
    open_paths = parse_security_options(value.security_opt).system_paths_unconfined
    for name, chosen, default in (
        ("MaskedPaths", value.masked_paths, defaults.masked_paths(0)),
        ("ReadonlyPaths", value.readonly_paths, list(defaults.READONLY_PATHS)),
    ):
        if value.privileged:
            yield name, None
        elif chosen is not None:
            yield name, chosen
        else:
            yield name, [] if open_paths else default


def _without_zeros(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_zeros(value) if isinstance(value, dict) else value
        for name, value in body.items()
        if value
    }


def mounts(record: ContainerRecord) -> list[dict[str, Any]]:
    short = record.host_config.tmpfs or {}  # `--tmpfs` is not shown as a mount, `--mount` is
    return [
        _mount(point)
        for point in record.mounts
        if not (point.type == "tmpfs" and point.destination in short)
    ]


def _mount(point: MountPoint) -> dict[str, Any]:
    body: dict[str, Any] = {"Type": point.type}
    if point.name:
        body["Name"] = point.name
    body |= {"Source": point.source, "Destination": point.destination}
    if point.driver:
        body["Driver"] = point.driver
    # dockerd relabels named volumes as shared ones, whether the host has SELinux or not.
    mode = "z" if point.type == "volume" and not (point.anonymous or point.mode) else point.mode
    return body | {"Mode": mode, "RW": point.read_write, "Propagation": point.propagation}


def summary(
    record: ContainerRecord, *, now: int, image: str, sizes: Sizes | None = None
) -> dict[str, Any]:
    """`image` is what to show as the image: its name, or its id when the name has moved on."""
    body: dict[str, Any] = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": image,
        "ImageID": record.image_id,
        "Command": command(record.path, record.args),
        "Created": record.created // 1_000_000_000,
        "Ports": ports_summary(record),
    }
    if sizes is not None:
        body["SizeRw"], body["SizeRootFs"] = sizes.writable, sizes.root
    host: dict[str, Any] = {"NetworkMode": record.host_config.network_mode}
    if record.host_config.annotations:
        host["Annotations"] = record.host_config.annotations
    health = record.health
    return body | {
        "Labels": record.labels,
        "State": str(record.state),
        "Status": status(record, now=now),
        "HostConfig": host,
        "Health": {
            "Status": health.status if health else "none",
            "FailingStreak": health.failing_streak if health else 0,
        },
        "NetworkSettings": {"Networks": networks(record)},
        "Mounts": mounts(record),
    }


def command(path: str, args: tuple[str, ...]) -> str:
    words = [path, *(f"'{word}'" if " " in word else word for word in args)]
    return " ".join(words)


_HEALTH = {"starting": "health: starting", "healthy": "healthy", "unhealthy": "unhealthy"}


def status(record: ContainerRecord, *, now: int) -> str:
    up = human(now - record.started_at)
    match record.state:
        case State.PAUSED:
            return f"Up {up} (Paused)"
        case State.RESTARTING:
            return f"Restarting ({record.exit_code}) {human(now - record.finished_at)} ago"
        case State.RUNNING:
            health = _HEALTH.get(record.health.status) if record.health else None
            return f"Up {up} ({health})" if health else f"Up {up}"
        case State.REMOVING:
            return "Removal In Progress"
        case State.DEAD:
            return "Dead"
    if not record.started_at:
        return "Created"
    if not record.finished_at:
        return ""
    return f"Exited ({record.exit_code}) {human(now - record.finished_at)} ago"
