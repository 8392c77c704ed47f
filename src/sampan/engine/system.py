"""`docker info`, `docker version` and `docker system df`: what the daemon says of itself."""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

from sampan.engine import images, registries, times, volumes
from sampan.engine.config import DaemonConfig
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import NotFound
from sampan.spec import platform as platforms
from sampan.spec.version import VERSION
from sampan.store.images import Image
from sampan.store.volumes import Volume

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
        "Runtimes": {"sampan": {"path": "sampan-runtime"}},
        "DefaultRuntime": "sampan",
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
    "Log": ["json-file", "none"],
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


async def disk_usage(services: Services) -> dict[str, Any]:
    """The API's SystemDataUsage, in its newest form and the older ones' besides."""
    found = services.store.images.list()
    image_items = [_image_item(services, image) for image in found]
    container_items = [await _container_item(services, r) for r in services.containers.all()]
    volume_items = [await _volume_item(services, v) for v in services.store.volumes.list()]
    unused = sum(item["Size"] for item in image_items if item["Containers"] == 0)
    idle = sum(
        item["SizeRw"] for item in container_items if item["State"] not in ("running", "paused")
    )
    (layers,) = services.store.metadata.texts("SELECT ifnull(sum(size), 0) FROM layers")
    return {
        "LayersSize": int(layers),
        "Images": image_items,
        "Containers": container_items,
        "Volumes": volume_items,
        "BuildCache": [],
        "BuilderSize": 0,
        "ImageUsage": _usage(
            image_items, sum(i["Containers"] > 0 for i in image_items), unused, int(layers)
        ),
        "ContainerUsage": _usage(
            container_items,
            sum(item["State"] in ("running", "paused") for item in container_items),
            idle,
            sum(item["SizeRw"] for item in container_items),
        ),
        "VolumeUsage": _usage(
            volume_items, sum(v["UsageData"]["RefCount"] > 0 for v in volume_items), 0, 0
        ),
        "BuildCacheUsage": _usage([], 0, 0, 0),
    }


def _usage(items: list[dict[str, Any]], active: int, reclaimable: int, size: int) -> dict[str, Any]:
    return {
        "ActiveCount": active,
        "TotalCount": len(items),
        "Reclaimable": reclaimable,
        "TotalSize": size,
        "Items": items,
    }


def _image_item(services: Services, image: Image) -> dict[str, Any]:
    return {
        "Containers": images.count_containers(services, image.id),
        "Created": images.created_of(image) // 1_000_000_000,
        "Id": image.id,
        "Labels": image.config.config.labels,
        "ParentId": "",
        "RepoDigests": image.repo_digests,
        "RepoTags": image.repo_tags,
        "SharedSize": 0,
        "Size": image.size,
        "VirtualSize": image.size,
    }


async def _container_item(services: Services, record: ContainerRecord) -> dict[str, Any]:
    try:
        written = (await services.store.snapshots.usage(record.id)).size
    except NotFound:  # it is being removed
        written = 0
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.image_name,
        "ImageID": record.image_id,
        "Command": " ".join((record.path, *record.args)),
        "Created": record.created // 1_000_000_000,
        "Ports": [],
        "SizeRw": written,
        "SizeRootFs": 0,
        "Labels": record.labels,
        "State": str(record.state),
        "Status": str(record.state),
        "HostConfig": {"NetworkMode": record.host_config.network_mode},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }


async def _volume_item(services: Services, volume: Volume) -> dict[str, Any]:
    usage = await volumes.usage(services, volume)
    return {
        "CreatedAt": volume.created_at,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": services.store.volumes.mountpoint(volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "UsageData": {"RefCount": usage.references, "Size": usage.size},
    }


def tell_reload(services: Services, config: DaemonConfig) -> None:
    """The configuration was read again."""
    said = {
        "debug": str(config.debug).lower(),
        "log-level": config.log_level,
        "name": services.host.name(),
    }
    services.events.emit("daemon", "reload", installation_id(services), said)
