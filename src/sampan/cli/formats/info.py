"""The text of `info`."""

from __future__ import annotations

from sampan.cli.units import bytes_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Info = dict[str, Any]


def info_text(client: Info, info: Info | None) -> str:
    lines = [
        "Client:",
        f" Version:    {client['Version']}",
        f" Context:    {client['Context']}",
        f" Debug Mode: {_bool(client['Debug'])}",
        "",
        "Server:",
    ]
    if info is not None:
        for part in (
            _containers,
            _drivers,
            _swarm,
            _runtimes,
            _host,
            _debug,
            _proxies,
            _registries,
            _rest,
        ):
            lines += part(info)
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


def _containers(info: Info) -> list[str]:
    return [
        f" Containers: {info.get('Containers', 0)}",
        f"  Running: {info.get('ContainersRunning', 0)}",
        f"  Paused: {info.get('ContainersPaused', 0)}",
        f"  Stopped: {info.get('ContainersStopped', 0)}",
        f" Images: {info.get('Images', 0)}",
        *_given(info, " Server Version", "ServerVersion"),
    ]


def _drivers(info: Info) -> list[str]:
    lines = _given(info, " Storage Driver", "Driver")
    lines += [f"  {name}: {value}" for name, value in info.get("DriverStatus") or []]
    lines += [f" {name}: {value}" for name, value in info.get("SystemStatus") or []]
    for title, key in (
        (" Logging Driver", "LoggingDriver"),
        (" Cgroup Driver", "CgroupDriver"),
        (" Cgroup Version", "CgroupVersion"),
    ):
        lines += _given(info, title, key)
    plugins = info.get("Plugins") or {}
    lines.append(" Plugins:")
    for kind in ("Volume", "Network", "Authorization", "Log"):
        names = plugins.get(kind) or []
        if names or kind in ("Volume", "Network", "Log"):
            lines.append(f"  {kind}: {' '.join(names)}")
    directories = info.get("CDISpecDirs") or []
    return (
        lines
        + ([" CDI spec directories:"] if directories else [])
        + [f"  {d}" for d in directories]
    )


def _swarm(info: Info) -> list[str]:
    swarm = info.get("Swarm") or {}
    return [f" Swarm: {swarm.get('LocalNodeState') or 'inactive'}"]


def _runtimes(info: Info) -> list[str]:
    runtimes = info.get("Runtimes") or {}
    if not runtimes:
        return []
    return [
        f" Runtimes: {' '.join(runtimes)}",
        f" Default Runtime: {info.get('DefaultRuntime', '')}",
    ]


def _host(info: Info) -> list[str]:
    lines = []
    if info.get("OSType") == "linux":
        lines += [
            f" Init Binary: {info.get('InitBinary', '')}",
            f" containerd version: {_commit(info, 'ContainerdCommit')}",
            f" runc version: {_commit(info, 'RuncCommit')}",
            f" init version: {_commit(info, 'InitCommit')}",
            *_security(info.get("SecurityOptions") or []),
        ]
    for title, key in (
        (" Kernel Version", "KernelVersion"),
        (" Operating System", "OperatingSystem"),
        (" OSType", "OSType"),
        (" Architecture", "Architecture"),
    ):
        lines += _given(info, title, key)
    lines += [
        f" CPUs: {info.get('NCPU', 0)}",
        f" Total Memory: {bytes_size(info.get('MemTotal', 0))}",
    ]
    for title, key in ((" Name", "Name"), (" ID", "ID")):
        lines += _given(info, title, key)
    return [*lines, f" Docker Root Dir: {info.get('DockerRootDir', '')}"]


def _debug(info: Info) -> list[str]:
    lines = [f" Debug Mode: {_bool(info.get('Debug'))}"]
    if info.get("Debug"):
        for title, key in (
            ("File Descriptors", "NFd"),
            ("Goroutines", "NGoroutines"),
            ("System Time", "SystemTime"),
            ("EventsListeners", "NEventsListener"),
        ):
            lines.append(f"  {title}: {info.get(key, 0)}")
    return lines


def _proxies(info: Info) -> list[str]:
    lines = []
    for title, key in (
        (" HTTP Proxy", "HttpProxy"),
        (" HTTPS Proxy", "HttpsProxy"),
        (" No Proxy", "NoProxy"),
    ):
        lines += _given(info, title, key)
    labels = info.get("Labels") or []
    return lines + ([" Labels:"] if labels else []) + [f"  {label}" for label in labels]


def _registries(info: Info) -> list[str]:
    lines = [f" Experimental: {_bool(info.get('ExperimentalBuild'))}"]
    registries = info.get("RegistryConfig") or {}
    insecure = registries.get("InsecureRegistryCIDRs") or []
    indexes = registries.get("IndexConfigs") or {}
    if insecure or indexes:
        lines.append(" Insecure Registries:")
        lines += [f"  {name}" for name in indexes if not indexes[name].get("Secure")]
        lines += [f"  {network}" for network in insecure]
    mirrors = registries.get("Mirrors") or []
    return (
        lines + ([" Registry Mirrors:"] if mirrors else []) + [f"  {mirror}" for mirror in mirrors]
    )


def _rest(info: Info) -> list[str]:
    lines = [f" Live Restore Enabled: {_bool(info.get('LiveRestoreEnabled'))}"]
    lines += _given(info, " Product License", "ProductLicense")
    pools = info.get("DefaultAddressPools") or []
    lines += [" Default Address Pools:"] if pools else []
    lines += [f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools]
    firewall = info.get("FirewallBackend") or {}
    if firewall.get("Driver"):
        lines.append(f" Firewall Backend: {firewall['Driver']}")
        lines += [f"  {name}: {value}" for name, value in firewall.get("Info") or []]
    return lines


def _security(options: list[str]) -> list[str]:
    """`name=seccomp,profile=default` as a name and what belongs to it."""
    lines = [" Security Options:"] if options else []
    for option in options:
        fields = [field.partition("=") for field in option.split(",")]
        for key, _, value in fields:
            if key == "name":
                lines.append(f"  {value}")
            else:
                lines.append(f"   {key[:1].upper()}{key[1:]}: {value}")
    return lines


def _given(info: Info, title: str, key: str) -> list[str]:
    return [f"{title}: {info[key]}"] if info.get(key) else []


def _commit(info: Info, key: str) -> str:
    return str((info.get(key) or {}).get("ID", ""))


def _bool(value: object) -> str:
    return "true" if value else "false"
