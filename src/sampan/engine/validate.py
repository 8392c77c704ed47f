"""What a container may be asked to be: checks of the merged request, before anything is made. Pure.

Most of the rules are `spec`'s; here is what depends on the engine: its log drivers, runtimes and what it lacks.
"""

from __future__ import annotations

import re

from sampan.engine import log_options, signals
from sampan.errors import InvalidParameter
from sampan.spec.capabilities import normalise
from sampan.spec.container import ContainerConfig, HealthConfig, HostConfig, RestartPolicy
from sampan.spec.environment import check_environment
from sampan.spec.security_options import parse_security_options
from sampan.spec.validate import check_resources

MILLISECOND = 1_000_000

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(/(tcp|udp|sctp))?", re.ASCII)


def check_config(merged: ContainerConfig) -> None:
    """The user's wishes over the image's. Raises InvalidParameter."""
    if merged.working_dir and not merged.working_dir.startswith("/"):
        raise InvalidParameter(
            f"the working directory '{merged.working_dir}' is invalid, "
            "it needs to be an absolute path"
        )
    check_environment(merged.env or ())
    for text in (merged.hostname, merged.domainname, merged.user, merged.working_dir):
        _no_nul(text, "value")
    for word in [*(merged.entrypoint or []), *(merged.cmd or [])]:
        _no_nul(word, "argument")
    if len(merged.hostname) > 63:
        raise InvalidParameter(f"invalid hostname format: {merged.hostname}")
    if merged.stop_signal:
        signals.parse(merged.stop_signal)
    if merged.healthcheck is not None:
        _check_health(merged.healthcheck)
    for port in merged.exposed_ports or {}:
        _check_port(port)


def _no_nul(text: str, what: str) -> None:
    if "\0" in text:
        raise InvalidParameter(f"invalid {what}: it contains a NUL byte")


def _check_health(health: HealthConfig) -> None:
    for name, value in (
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ):
        if value and value < MILLISECOND:
            raise InvalidParameter(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")


def _check_port(port: str) -> None:
    match = _PORT.fullmatch(port)
    if not match or not int(match[1]) <= int(match[2] or match[1]) < 65536:
        raise InvalidParameter(f'invalid port specification: "{port}"')


def check_host_config(
    config: ContainerConfig,
    host: HostConfig,
    *,
    features: frozenset[str],
    cpus: str,
    mems: str,
) -> tuple[HostConfig, list[str]]:
    """`config` is what the user said. The settings without what the host lacks, and warnings.

    Raises InvalidParameter, NotImplementedHere."""
    check_restart_policy(host)
    _check_modes(config, host)
    if host.network_mode.startswith("container:"):
        _check_shared_network(config, host)
    _check_engine(host)
    if host.log_config is not None:
        log_options.check(host.log_config)
    normalise(host.cap_add, "CapAdd")
    normalise(host.cap_drop, "CapDrop")
    parse_security_options(host.security_opt)
    host, warnings = check_resources(host, features=features, cpus=cpus, mems=mems)
    if host.network_mode == "host" and (host.port_bindings or host.publish_all_ports):
        warnings.append("Published ports are discarded when using host network mode")
    return host, warnings


def check_restart_policy(host: HostConfig) -> None:
    """Raises InvalidParameter."""
    policy = host.restart_policy or RestartPolicy()
    name, count = policy.name, policy.maximum_retry_count
    if name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    if count and name != "on-failure":
        raise InvalidParameter(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + (" and cannot be negative" if count < 0 else "")
        )
    if count < 0:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be negative")
    if host.auto_remove and name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")


def _check_modes(config: ContainerConfig, host: HostConfig) -> None:
    if host.network_mode == "container:":
        raise InvalidParameter("Invalid network mode: invalid container format container:<name|id>")
    for mode, name, allowed, shared in (
        (host.ipc_mode, "IPC mode", ("none", "private", "shareable", "host"), True),
        (host.pid_mode, "PID mode", ("host",), True),
        (host.uts_mode, "UTS mode", ("host",), False),
        (host.cgroupns_mode, "cgroup namespace mode", ("private", "host"), False),
        (host.userns_mode, "USER mode", ("host",), False),
    ):
        joins = shared and mode.startswith("container:") and mode != "container:"
        if mode and mode not in allowed and not joins:
            raise InvalidParameter(f"invalid {name}: {mode}")
    if host.network_mode == "host" and host.links:
        raise InvalidParameter(
            "conflicting options: host type networking can't be used with links. This would result in "
            "undefined behavior"
        )
    if host.uts_mode == "host" and config.hostname:
        raise InvalidParameter("conflicting options: hostname and the UTS mode")


def _check_shared_network(config: ContainerConfig, host: HostConfig) -> None:
    for given, what in (
        (config.hostname, "hostname and the network mode"),
        (host.dns or host.dns_search or host.dns_options, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (
            host.port_bindings or host.publish_all_ports,
            "port publishing and the container type network mode",
        ),
        (config.exposed_ports, "port exposing and the container type network mode"),
        (
            host.links,
            "container type network can't be used with links. This would result in undefined behavior",
        ),
    ):
        if given:
            raise InvalidParameter(f"conflicting options: {what}")


def _check_engine(host: HostConfig) -> None:
    if host.isolation not in ("", "default"):
        raise InvalidParameter(
            f"Invalid isolation: \"{host.isolation}\" - linux only supports 'default'"
        )
    if host.io_maximum_bandwidth or host.io_maximum_iops:
        what = "bandwidth" if host.io_maximum_bandwidth else "IOPs"
        raise InvalidParameter(
            f"invalid QoS settings: linux does not support configuration of maximum {what}"
        )
    if host.cgroup:
        raise InvalidParameter(f"invalid cgroup: {host.cgroup} (use CgroupParent)")
    if host.shm_size < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidParameter(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    for entry in host.extra_hosts or []:
        name, separator, address = entry.replace("=", ":", 1).partition(":")
        if not separator or not name or not address or "\n" in entry:
            raise InvalidParameter(f'bad format for add-host: "{entry}"')
    for text in [*(host.dns or []), *(host.dns_search or []), *(host.dns_options or [])]:
        if not text.isprintable():
            raise InvalidParameter(f"invalid DNS setting: {text!r}")
    for port in host.port_bindings or {}:
        _check_port(port)
    if host.storage_opt:
        raise InvalidParameter(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
        )
    if host.device_requests:
        request = host.device_requests[0]
        wanted = " ".join(f"[{' '.join(group)}]" for group in request.capabilities or [])
        raise InvalidParameter(
            f'could not select device driver "{request.driver}" with capabilities: [{wanted}]'
        )
