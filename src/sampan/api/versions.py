"""API versions: which we speak, and every difference between them, in tables that are applied at the edge.

Sources: the Engine API's version history and the definitions of 1.55. A view (`views/`) writes everything
that any version shows; `FIELDS` says from which version on and up to which a field is there.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from sampan.api.shapes import CreateRequest
from sampan.errors import InvalidParameter
from sampan.spec.container import BindOptions, PortBinding


class Version(NamedTuple):
    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


NEWEST = Version(1, 55)
OLDEST = Version(1, 24)

_SEGMENT = re.compile(r"v([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:\.[0-9.]*)?")


def of_segment(segment: str) -> Version | None:
    """ "v1.41" of a path; None when it is no version."""
    match = _SEGMENT.fullmatch(segment)
    return Version(int(match[1]), int(match[2] or 0)) if match else None


def check(version: Version) -> None:
    """Raises InvalidParameter with dockerd's texts."""
    if version < OLDEST:
        raise InvalidParameter(
            f"client version {version} is too old. Minimum supported API version is {OLDEST}, "
            "please upgrade your client to a newer version"
        )
    if version > NEWEST:
        raise InvalidParameter(
            f"client version {version} is too new. Maximum supported API version is {NEWEST}"
        )


class Field(NamedTuple):
    path: str  # dotted; * is every value of a map
    since: int = 0  # minor version; there from it on
    until: int = 0  # there before it; 0: still
    omit_empty: int = 0  # from this minor version on it is left out when empty; 0: never


_OLD_IMAGE_CONFIG = (
    "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr",
    "Tty", "OpenStdin", "StdinOnce", "Image",
)  # fmt: skip
_IMAGE_CONFIG = (
    "Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "User", "Volumes", "WorkingDir",
)  # fmt: skip
_OLD_NETWORK_SETTINGS = (
    "Bridge", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen",
    "SecondaryIPAddresses", "SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address",
    "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress",
)  # fmt: skip

_NETWORKS = (
    Field("NetworkSettings.Networks.*.DNSNames", since=44),
    Field("NetworkSettings.Networks.*.GwPriority", since=48),
)

FIELDS: dict[str, tuple[Field, ...]] = {
    "ContainerInspect": (
        *(Field(f"NetworkSettings.{name}", until=52) for name in _OLD_NETWORK_SETTINGS),
        Field("Config.OnBuild", omit_empty=52),
        Field("HostConfig.KernelMemory", until=42),
        Field("HostConfig.KernelMemoryTCP", until=42),
        Field("HostConfig.Annotations", since=43),
        *_NETWORKS,
    ),
    "ContainerSummary": (
        Field("HostConfig.Annotations", since=46),
        Field("Health", since=52),
        *_NETWORKS,
    ),
    "ImageInspect": (
        Field("VirtualSize", until=44),
        Field("Container", until=45),
        Field("ContainerConfig", until=45),
        *(Field(f"Config.{name}", until=50) for name in _OLD_IMAGE_CONFIG),
        *(Field(f"Config.{name}", omit_empty=52) for name in _IMAGE_CONFIG),
        *(Field(name, omit_empty=52) for name in ("Parent", "Comment", "DockerVersion", "Author")),
        Field("Created", omit_empty=44),
    ),
    "ImageSummary": (Field("VirtualSize", until=44),),
    "Event": (Field("status", until=52), Field("id", until=52), Field("from", until=52)),
    "Info": (
        Field("KernelMemory", until=42),
        Field("KernelMemoryTCP", until=42),
        Field("BridgeNfIptables", until=50),
        Field("BridgeNfIp6tables", until=50),
        Field("ContainerdCommit.Expected", until=49),
        Field("RuncCommit.Expected", until=49),
        Field("InitCommit.Expected", until=49),
        Field("RegistryConfig.AllowNondistributableArtifactsCIDRs", until=49),
        Field("RegistryConfig.AllowNondistributableArtifactsHostnames", until=49),
        Field("CgroupVersion", since=41),
        Field("DefaultAddressPools", since=41),
        Field("CDISpecDirs", since=44),
        Field("Containerd", since=46),
        Field("FirewallBackend", since=49),
        Field("DiscoveredDevices", since=50),
        Field("NRI", since=53),
        Field("Warnings", since=39),
    ),
    "Version": (Field("Platform", since=35), Field("Components", since=35)),
    "ExecInspect": (),
    "Network": (Field("EnableIPv4", since=48), Field("Status", since=52)),
    "DiskUsage": (
        Field("BuilderSize", until=42),
        *(Field(name, until=53) for name in ("LayersSize", "Images", "Containers", "Volumes", "BuildCache")),
        *(
            Field(name, since=52)
            for name in ("ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage")
        ),
    ),
}  # fmt: skip


@cache
def _plan(kind: str, minor: int) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Paths to drop from a view, and whether only when empty."""
    found = []
    for field in FIELDS[kind]:
        gone = minor < field.since or (field.until and minor >= field.until)
        empty = bool(field.omit_empty and minor >= field.omit_empty)
        if gone or empty:
            found.append((tuple(field.path.split(".")), not gone))
    return tuple(found)


def fit(kind: str, body: Any, version: Version) -> None:
    """Take out of `body` (a view, or a list of them) what `version` does not have."""
    plan = _plan(kind, version.minor)
    if not plan:
        return
    for item in body if isinstance(body, list) else (body,):
        for path, only_empty in plan:
            _drop(item, path, only_empty)


def _drop(body: Any, path: tuple[str, ...], only_empty: bool) -> None:
    if not isinstance(body, dict):
        return
    step, rest = path[0], path[1:]
    if rest:
        for holder in body.values() if step == "*" else (body.get(step),):
            _drop(holder, rest, only_empty)
    elif step in body and not (only_empty and body[step]):
        del body[step]


def stream_type(version: Version, *, multiplexed: bool) -> str:
    """The Content-Type of a stream."""
    if multiplexed and version >= (1, 42):
        return "application/vnd.docker.multiplexed-stream"
    return "application/vnd.docker.raw-stream"


def adapt_create(request: CreateRequest, version: Version, *, unified: bool) -> None:
    """Old clients' requests in today's terms; refuses what their version cannot ask. Raises InvalidParameter.

    `unified`: the host has cgroup v2 only.
    """
    host, minor = request.host_config, version.minor
    if minor < 25:
        host.auto_remove = False  # such clients remove by themselves
    if minor < 40 and not host.ipc_mode:
        host.ipc_mode = "shareable"
    if minor < 41 and not host.cgroupns_mode and not unified:
        host.cgroupns_mode = "host"
    if minor < 42:
        host.console_size = None
    if minor < 43:
        host.annotations = None
    if minor < 44 and request.healthcheck is not None:
        request.healthcheck.start_interval = 0
    if host.pids_limit is not None and host.pids_limit <= 0:
        host.pids_limit = None
    _adapt_mounts(request, minor)
    _adapt_networking(request, minor)
    _adapt_port_bindings(request, minor)


def _adapt_mounts(request: CreateRequest, minor: int) -> None:
    for mount in request.host_config.mounts or ():
        options = {
            "VolumeOptions": (mount.volume_options, "volume"),
            "BindOptions": (mount.bind_options, "bind"),
            "TmpfsOptions": (mount.tmpfs_options, "tmpfs"),
        }
        for name, (value, kind) in options.items():
            if minor >= 42 and value is not None and mount.type != kind:
                raise InvalidParameter(f'{name} must not be specified on mount type "{mount.type}"')
        if minor < 42:
            mount.volume_options = mount.volume_options if mount.type == "volume" else None
            mount.tmpfs_options = mount.tmpfs_options if mount.type == "tmpfs" else None
        if mount.bind_options is not None:
            _adapt_bind(mount.bind_options, minor)
        if minor < 45 and mount.volume_options is not None and mount.volume_options.subpath:
            raise InvalidParameter("VolumeOptions.Subpath needs API v1.45 or newer")
        if minor < 48 and mount.type == "image":
            raise InvalidParameter('Mount type "Image" needs API v1.48 or newer')


def _adapt_bind(options: BindOptions, minor: int) -> None:
    if minor < 40:
        options.non_recursive = False
    if minor < 42:
        options.create_mountpoint = False
    if minor < 44 and options.read_only_force_recursive:
        raise InvalidParameter("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")


def _adapt_networking(request: CreateRequest, minor: int) -> None:
    endpoints = request.networking_config.endpoints_config or {}
    if minor < 44 and len(endpoints) > 1:
        raise InvalidParameter(
            "Container cannot be created with multiple network endpoints: " + ", ".join(endpoints)
        )
    for settings in endpoints.values():
        if minor < 44:
            settings.mac_address = request.mac_address
        if minor < 48:
            settings.gw_priority = 0


def _adapt_port_bindings(request: CreateRequest, minor: int) -> None:
    """An empty list of bindings once meant "any port"; from 1.53 on it means none."""
    bindings = request.host_config.port_bindings
    for port, chosen in list((bindings or {}).items()):
        if chosen or bindings is None:
            continue
        if minor >= 53:
            del bindings[port]
        else:
            bindings[port] = [PortBinding()]
