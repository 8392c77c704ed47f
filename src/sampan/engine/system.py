"""`docker info` and `docker version`: what the daemon says of itself."""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

from sampan.engine import log_options, registries, runtimes, times
from sampan.engine.config import OWN_RUNTIME
from sampan.engine.records import State
from sampan.engine.services import Services
from sampan.spec import platform as platforms
from sampan.spec.version import VERSION

_LIMITS = {
    "MemoryLimit": "MemoryLimit",
    "SwapLimit": "SwapLimit",
    "CpuCfsPeriod": "CpuCfsQuota",
    "CpuCfsQuota": "CpuCfsQuota",
    "CPUShares": "CPUShares",
    "CPUSet": "CPUSet",
    "PidsLimit": "PidsLimit",
    "OomKillDisable": "OomKillDisable",
}
_WARNINGS = {
    "MemoryLimit": "WARNING: No memory limit support",
    "SwapLimit": "WARNING: No swap limit support",
    "CpuCfsQuota": "WARNING: No cpu cfs quota support",
    "CPUShares": "WARNING: No cpu shares support",
    "CPUSet": "WARNING: No cpuset support",
    "PidsLimit": "WARNING: No pids limit support",
}


def info(services: Services) -> dict[str, Any]:
    """The API's SystemInfo, in its newest form with what older ones had besides."""
    host, config = services.host, services.config
    states = [record.state for record in services.containers.all()]
    commit = {"ID": VERSION, "Expected": VERSION}
    return {
        "ID": installation_id(services),
        "Containers": len(states),
        "ContainersRunning": sum(state is State.RUNNING for state in states),
        "ContainersPaused": sum(state is State.PAUSED for state in states),
        "ContainersStopped": sum(not state.alive for state in states),
        "Images": len(services.store.images.list()),
        "Driver": "overlay2",
        "DriverStatus": _DRIVER,
        "Plugins": _PLUGINS,
        **{name: feature in host.cgroup_features for name, feature in _LIMITS.items()},
        **dict.fromkeys(_NOT_HERE, False),
        "IPv4Forwarding": _forwarding(),
        "Debug": services.debugging(),
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": times.to_text(services.clock.now()),
        "LoggingDriver": config.log_driver,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if host.unified_cgroups else "1",
        "NEventsListener": services.events.listeners,
        "KernelVersion": host.kernel,
        "OperatingSystem": host.operating_system,
        "OSVersion": host.os_version,
        "OSType": "linux",
        "Architecture": host.architecture,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": registries.described(services.distribution.options),
        "NCPU": host.cpus,
        "MemTotal": host.memory,
        "GenericResources": None,
        "DockerRootDir": config.data_root,
        **registries.described_proxies(services.distribution.options),
        "Name": host.name(),
        "Labels": list(config.labels),
        "ServerVersion": VERSION,
        "Runtimes": runtimes.described(config),
        "DefaultRuntime": config.default_runtime or OWN_RUNTIME,
        "Swarm": _SWARM,
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": config.init_path or "sampan-init",
        **dict.fromkeys(("ContainerdCommit", "RuncCommit", "InitCommit"), commit),
        "SecurityOptions": security_options(services),
        "FirewallBackend": {"Driver": "nftables"},
        "Warnings": [text for name, text in _WARNINGS.items() if name not in host.cgroup_features],
    }


_NOT_HERE = (
    *("KernelMemory", "KernelMemoryTCP", "BridgeNfIptables", "BridgeNfIp6tables"),
    "ExperimentalBuild",
)
_DRIVER = [["Supports d_type", "true"], ["Native Overlay Diff", "true"]]
_PLUGINS = {
    "Volume": ["local"],
    "Network": ["bridge", "host", "null"],
    "Authorization": None,
    "Log": sorted(log_options.DRIVERS),
}
_SWARM = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}


def security_options(services: Services) -> list[str]:
    """There is no AppArmor or SELinux here, and none is claimed."""
    configured = services.config.seccomp_profile
    name = "builtin" if configured in ("", "builtin", "default") else configured
    options = [f"name=seccomp,profile={name}"]
    if services.config.default_cgroupns_mode == "private" or services.host.unified_cgroups:
        options.append("name=cgroupns")
    if services.remap is not None:
        options.append("name=userns")
    if services.config.no_new_privileges:
        options.append("name=no-new-privileges")
    return options


def installation_id(services: Services) -> str:
    """The same for every daemon on one data root."""
    values = services.store.metadata.values
    known = values.get("installation-id")
    if known is None:
        digest = hashlib.sha256(os.urandom(32)).hexdigest()[:32]
        parts = (digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:])
        known = "-".join(parts).encode()
        values.put("installation-id", known)
    return known.decode()


def version(services: Services) -> dict[str, Any]:
    """The API's SystemVersion without ApiVersion and MinAPIVersion, which are the API's."""
    architecture = platforms.host().architecture
    python = f"python{platform.python_version()}"
    details = {
        "Arch": architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": python,
        "KernelVersion": services.host.kernel,
        "Os": "linux",
    }
    return {
        "Platform": {"Name": "sampan"},
        "Components": [
            {"Name": "Engine", "Version": VERSION, "Details": details},
            {"Name": "sampan-runtime", "Version": VERSION, "Details": {"GitCommit": ""}},
        ],
        "Version": VERSION,
        "GitCommit": "",
        "GoVersion": python,
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": services.host.kernel,
        "BuildTime": "",
    }


def _forwarding() -> bool:
    try:
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            return file.read().strip() == "1"
    except FileNotFoundError:
        return False
