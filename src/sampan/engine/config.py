"""The daemon's configuration: its flags, daemon.json with Docker's keys, and how the two come together.

One field of `DaemonConfig` is one option; its name on disk is Docker's key in daemon.json, its name on the
command line the same word with dashes (repeatable ones in the singular, `--dns`). Unknown keys and options
given in both places are refused with dockerd's words. Pure but for `read_file`.
"""

from __future__ import annotations

import ipaddress
import json
import os
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct, field

from sampan.engine import log_options
from sampan.errors import InvalidParameter
from sampan.spec.container import LogConfig, Ulimit

DEFAULT_HOST = "unix:///run/sampan.sock"
DEFAULT_CONFIG_FILE = "/etc/sampan/daemon.json"
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


class ConfigError(Exception):
    """The text says which directive is at fault, as dockerd does."""


class Runtime(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another OCI runtime, that takes runc's command line."""

    path: str
    args: tuple[str, ...] = field(default=(), name="runtimeArgs")


class AddressPool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    base: str
    size: int


class DaemonConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults are dockerd's where dockerd has one."""

    hosts: tuple[str, ...] = ()
    group: str = ""  # empty: `docker` when it exists, else `sampan`, else root
    data_root: str = field(default="/var/lib/sampan", name="data-root")
    exec_root: str = field(default="/run/sampan", name="exec-root")
    pidfile: str = "/run/sampan.pid"
    debug: bool = False
    log_level: str = field(default="info", name="log-level")
    labels: tuple[str, ...] = ()
    shutdown_timeout: int = field(default=15, name="shutdown-timeout")
    live_restore: bool = field(default=True, name="live-restore")

    bridge: str = ""  # empty: one of our own, `sampan0`; "none": no default network
    bip: str = ""
    fixed_cidr: str = field(default="", name="fixed-cidr")
    mtu: int = 1500
    icc: bool = True
    ip_forward: bool = field(default=True, name="ip-forward")
    ip_masq: bool = field(default=True, name="ip-masq")
    default_address_pools: tuple[AddressPool, ...] = field(default=(), name="default-address-pools")
    ipv6: bool = False  # of the default network
    fixed_cidr_v6: str = field(default="", name="fixed-cidr-v6")
    host_gateway_ips: tuple[str, ...] = field(default=(), name="host-gateway-ips")
    # {driver: {option: value}}, what users' networks have that do not say otherwise
    default_network_opts: dict[str, dict[str, str]] = field(
        default_factory=dict, name="default-network-opts"
    )
    publish_mode: str = field(default="docker", name="publish-mode")
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = field(default=(), name="dns-opts")
    dns_search: tuple[str, ...] = field(default=(), name="dns-search")

    runtimes: dict[str, Runtime] = field(default_factory=dict)
    default_runtime: str = field(default="", name="default-runtime")  # empty: our own
    full_stop_grace: bool = field(default=False, name="full-stop-grace")
    init: bool = False
    init_path: str = field(default="", name="init-path")
    default_ulimits: dict[str, Ulimit] = field(default_factory=dict, name="default-ulimits")
    default_shm_size: int | str = field(default=64 << 20, name="default-shm-size")
    default_cgroupns_mode: str = field(default="", name="default-cgroupns-mode")
    default_ipc_mode: str = field(default="private", name="default-ipc-mode")
    cgroup_parent: str = field(default="", name="cgroup-parent")
    exec_opts: tuple[str, ...] = field(default=(), name="exec-opts")
    no_new_privileges: bool = field(default=False, name="no-new-privileges")
    seccomp_profile: str = field(default="", name="seccomp-profile")
    log_driver: str = field(default="json-file", name="log-driver")
    log_opts: dict[str, str] = field(default_factory=dict, name="log-opts")
    storage_driver: str = field(default="overlay2", name="storage-driver")
    userns_remap: str = field(default="", name="userns-remap")

    registry_mirrors: tuple[str, ...] = field(default=(), name="registry-mirrors")
    # Ours: {"quay.io": [URL], "docker.io/library": [URL]}, the longest prefix of a name counts.
    registry_prefix_mirrors: dict[str, tuple[str, ...]] = field(
        default_factory=dict, name="registry-prefix-mirrors"
    )
    insecure_registries: tuple[str, ...] = field(default=(), name="insecure-registries")
    max_concurrent_downloads: int = field(default=3, name="max-concurrent-downloads")
    max_concurrent_uploads: int = field(default=5, name="max-concurrent-uploads")
    max_download_attempts: int = field(default=5, name="max-download-attempts")
    http_proxy: str = field(default="", name="http-proxy")
    https_proxy: str = field(default="", name="https-proxy")
    no_proxy: str = field(default="", name="no-proxy")
    features: dict[str, bool] = field(
        default_factory=dict
    )  # dockerd's; told, none changes anything


class Live:
    """What counts now: SIGHUP replaces it (`reload.py`)."""

    def __init__(self, config: DaemonConfig) -> None:
        self.config = config


KEYS = {item.encode_name: item.name for item in msgspec.structs.fields(DaemonConfig)}


def read_file(path: str) -> dict[str, Any]:
    """The directives of a daemon.json. Raises OSError, ConfigError."""
    with open(path, "rb") as file:
        text = file.read(1 << 20)
    if not text.strip():
        return {}
    try:
        directives = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"invalid JSON: {error}") from None
    if not isinstance(directives, dict):
        raise ConfigError("invalid JSON: expected an object")
    return _flat(directives)


def gather(flags: dict[str, Any], path: str | None) -> tuple[DaemonConfig, frozenset[str]]:
    """The flags with the directives of `path` (None: the default one, which may be missing), and the keys of the
    file. Raises ConfigError."""
    file = path or DEFAULT_CONFIG_FILE
    if path is None and not os.path.exists(file):
        return merge(flags, {}), frozenset()
    directives: dict[str, Any] | None = None
    try:
        directives = read_file(file)
        return merge(flags, directives), frozenset(directives)
    except (ConfigError, OSError) as error:
        if directives == {}:
            raise  # the flags are at fault
        raise ConfigError(
            f"unable to configure the Docker daemon with file {file}: {error}"
        ) from None


def _flat(directives: dict[str, Any]) -> dict[str, Any]:
    """dockerd writes proxies as an object in the file, and as three flags on the command line."""
    proxies = directives.get("proxies")
    if not isinstance(proxies, dict):
        return directives
    return {**{k: v for k, v in directives.items() if k != "proxies"}, **proxies}


def merge(flags: dict[str, Any], directives: dict[str, Any]) -> DaemonConfig:
    """Flags (by key of daemon.json, only those that were given) and the file's directives. Raises ConfigError."""
    unknown = [key for key in directives if key not in KEYS]
    if unknown:
        raise ConfigError(
            "the following directives don't match any configuration option: " + ", ".join(unknown)
        )
    # dockerd lets the labels of both places stand; every other option must have one place.
    conflicts = [
        f"{key}: (from flag: {_go(flags[key])}, from file: {_go(directives[key])})"
        for key in directives
        if key in flags and key != "labels"
    ]
    if conflicts:
        raise ConfigError(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(conflicts)
        )
    both = {**directives, **flags}
    if "labels" in flags and "labels" in directives:
        both["labels"] = [*directives["labels"], *flags["labels"]]
    return build(both)


def build(directives: dict[str, Any]) -> DaemonConfig:
    """Check types and values. Raises ConfigError."""
    ulimits = directives.get("default-ulimits")
    if isinstance(ulimits, dict):
        named = {
            key: {"Name": key, **value} for key, value in ulimits.items() if isinstance(value, dict)
        }
        directives = {**directives, "default-ulimits": {**ulimits, **named}}
    try:
        config = msgspec.convert(directives, DaemonConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None
    return check(config)


def check(config: DaemonConfig) -> DaemonConfig:
    """What dockerd's `config.Validate` refuses. Raises ConfigError."""
    _check_addresses(config)
    for name in config.dns_search:
        if name.strip() != "." and (not name.strip() or " " in name.strip() or len(name) > 255):
            raise ConfigError(f"{name} is not a valid domain")
    for label in config.labels:
        if not label.partition("=")[1]:
            raise ConfigError(f"bad attribute format: {label}")
    if config.mtu < 0:
        raise ConfigError(f"invalid default MTU: {config.mtu}")
    if config.log_level not in LOG_LEVELS:
        raise ConfigError(f"invalid logging level: {config.log_level}")
    if config.bip:
        _parse(ipaddress.IPv4Interface, config.bip, f"invalid CIDR address: {config.bip}")
    if config.bip and config.bridge:
        raise ConfigError(
            "You specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    if config.fixed_cidr:
        _parse(
            ipaddress.IPv4Network, config.fixed_cidr, f"invalid CIDR address: {config.fixed_cidr}"
        )
    if config.storage_driver not in ("overlay2", "overlayfs"):
        raise ConfigError(f"driver not supported: {config.storage_driver}")
    _check_log(config)
    if config.default_cgroupns_mode not in ("", "host", "private"):
        raise ConfigError(
            f"invalid default cgroup namespace mode ({config.default_cgroupns_mode}): use host or private"
        )
    if config.default_ipc_mode not in ("", "private", "shareable", "host"):
        raise ConfigError(
            f"IPC mode {config.default_ipc_mode} is not supported: use private or shareable"
        )
    for name, number in (
        ("max concurrent downloads", config.max_concurrent_downloads),
        ("max concurrent uploads", config.max_concurrent_uploads),
        ("max download attempts", config.max_download_attempts),
    ):
        if number < (1 if name == "max download attempts" else 0):
            raise ConfigError(f"invalid {name}: {number}")
    if config.publish_mode not in ("docker", "host"):
        raise ConfigError(f"invalid publish mode ({config.publish_mode}): use docker or host")
    if not config.live_restore:
        raise ConfigError(
            "live-restore cannot be switched off: containers never depend on the daemon"
        )
    parse_size(config.default_shm_size)
    for host in config.hosts:
        check_host(host)
    _check_runtimes(config)
    _check_exec_options(config)
    return config


def _check_addresses(config: DaemonConfig) -> None:
    for address in config.dns:
        _parse(ipaddress.ip_address, address, f"{address} is not an ip address")
    for address in config.host_gateway_ips:
        _parse(ipaddress.ip_address, address, f"{address} is not an ip address")
    if len({ipaddress.ip_address(item).version for item in config.host_gateway_ips}) != len(
        config.host_gateway_ips
    ):
        raise ConfigError("only one IPv4 and one IPv6 host gateway IP address can be specified")
    if config.fixed_cidr_v6:
        _parse(
            partial(ipaddress.IPv6Network, strict=False),
            config.fixed_cidr_v6,
            f"invalid CIDR address: {config.fixed_cidr_v6}",
        )


def _check_exec_options(config: DaemonConfig) -> None:
    """As dockerd, which looks at this one option and no other. We make our cgroups ourselves, never systemd."""
    for option in config.exec_opts:
        key, _, driver = option.partition("=")
        if key.strip().lower() != "native.cgroupdriver" or driver.strip() in ("", "cgroupfs"):
            continue
        if driver.strip() == "none":
            raise ConfigError(
                "native.cgroupdriver option none is internally used and cannot be specified manually"
            )
        raise ConfigError(f"native.cgroupdriver option {driver.strip()} not supported")


OWN_RUNTIME = "sampan"
# Names that clients ask for by habit; with no runtime of that name they get our own.
OWN_RUNTIME_NAMES = (OWN_RUNTIME, "runc", "io.containerd.runc.v2")


def _check_runtimes(config: DaemonConfig) -> None:
    if OWN_RUNTIME in config.runtimes:
        raise ConfigError(f"runtime name '{OWN_RUNTIME}' is reserved")
    for name, runtime in config.runtimes.items():
        if not runtime.path:
            raise ConfigError(f"runtime {name}: the path is empty")
    default = config.default_runtime
    if default and default not in config.runtimes and default not in OWN_RUNTIME_NAMES:
        raise ConfigError(f"specified default runtime '{default}' does not exist")


def _check_log(config: DaemonConfig) -> None:
    if config.log_driver not in log_options.DRIVERS:
        raise ConfigError(f"logger: no log driver named '{config.log_driver}' is registered")
    try:
        log_options.check(LogConfig(type=config.log_driver, config=config.log_opts))
    except InvalidParameter as error:
        raise ConfigError(str(error)) from None


def check_host(host: str) -> str:
    """A `-H`: unix:///path or fd://[name]. Raises ConfigError."""
    scheme, separator, rest = host.partition("://")
    if separator and scheme == "unix" and rest.startswith("/") and "\0" not in rest:
        return host
    if separator and scheme == "fd":
        return host
    if separator and scheme == "tcp":
        raise ConfigError(
            f"{host}: a TCP socket without TLS hands root to everybody who can reach it, so sampand does not"
            " listen on one; use a unix socket, or ssh:// in the client"
        )
    raise ConfigError(f"unable to parse docker host `{host}`")


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse_size(value: int | str) -> int:
    """Docker's size words: 64m, 1g, 4096. Raises ConfigError."""
    if isinstance(value, int):
        number, unit = str(value), ""
    else:
        text = value.strip().lower().removesuffix("ib").removesuffix("b")
        number, unit = (text[:-1], text[-1]) if text[-1:] in ("k", "m", "g", "t") else (text, "")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        raise ConfigError(f"invalid size: '{value}'") from None
    if size < 0:
        raise ConfigError(f"invalid size: '{value}'")
    return size


def _parse(kind: Any, text: str, complaint: str) -> None:
    try:
        kind(text)
    except ValueError:
        raise ConfigError(complaint) from None


def _go(value: Any) -> str:
    """As Go's %v prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(_go, value)) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(value[key])}" for key in sorted(value)) + "]"
    return str(value)
