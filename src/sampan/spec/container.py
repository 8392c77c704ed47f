"""The Engine API's container objects: what a client asks for and what a record keeps.

Field names in Python are snake case, on the wire they are the API's (Engine API 1.55, definitions
`ContainerConfig`, `HostConfig`, `NetworkingConfig` and what they contain; of what is for Windows only as much
as is needed to refuse it or to give it back).
An absent or null value is the zero value, as in Go; where null means something of its own, the
type says `| None`. Units are the API's: bytes, microseconds for CPU periods, nanoseconds for health times.
"""

from __future__ import annotations

from msgspec import Struct, field


class HealthConfig(Struct, kw_only=True):
    test: list[str] | None = field(default=None, name="Test")
    interval: int = field(default=0, name="Interval")
    timeout: int = field(default=0, name="Timeout")
    retries: int = field(default=0, name="Retries")
    start_period: int = field(default=0, name="StartPeriod")
    start_interval: int = field(default=0, name="StartInterval")


class WeightDevice(Struct, kw_only=True):
    path: str = field(default="", name="Path")
    weight: int = field(default=0, name="Weight")


class ThrottleDevice(Struct, kw_only=True):
    path: str = field(default="", name="Path")
    rate: int = field(default=0, name="Rate")


class DeviceMapping(Struct, kw_only=True):
    path_on_host: str = field(default="", name="PathOnHost")
    path_in_container: str = field(default="", name="PathInContainer")
    cgroup_permissions: str = field(default="", name="CgroupPermissions")


class DeviceRequest(Struct, kw_only=True):
    driver: str = field(default="", name="Driver")
    count: int = field(default=0, name="Count")
    device_ids: list[str] | None = field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = field(default=None, name="Capabilities")
    options: dict[str, str] | None = field(default=None, name="Options")


class Ulimit(Struct, kw_only=True):
    name: str = field(default="", name="Name")
    soft: int = field(default=0, name="Soft")
    hard: int = field(default=0, name="Hard")


class LogConfig(Struct, kw_only=True):
    type: str = field(default="", name="Type")
    config: dict[str, str] | None = field(default=None, name="Config")


class RestartPolicy(Struct, kw_only=True):
    name: str = field(default="", name="Name")
    maximum_retry_count: int = field(default=0, name="MaximumRetryCount")


class BindOptions(Struct, kw_only=True):
    propagation: str = field(default="", name="Propagation")
    non_recursive: bool = field(default=False, name="NonRecursive")
    create_mountpoint: bool = field(default=False, name="CreateMountpoint")
    read_only_non_recursive: bool = field(default=False, name="ReadOnlyNonRecursive")
    read_only_force_recursive: bool = field(default=False, name="ReadOnlyForceRecursive")


class DriverConfig(Struct, kw_only=True):
    name: str = field(default="", name="Name")
    options: dict[str, str] | None = field(default=None, name="Options")


class VolumeOptions(Struct, kw_only=True):
    no_copy: bool = field(default=False, name="NoCopy")
    labels: dict[str, str] | None = field(default=None, name="Labels")
    driver_config: DriverConfig | None = field(default=None, name="DriverConfig")
    subpath: str = field(default="", name="Subpath")


class ImageOptions(Struct, kw_only=True):
    subpath: str = field(default="", name="Subpath")


class TmpfsOptions(Struct, kw_only=True):
    size_bytes: int = field(default=0, name="SizeBytes")
    mode: int = field(default=0, name="Mode")
    options: list[list[str]] | None = field(default=None, name="Options")


class Mount(Struct, kw_only=True):
    target: str = field(default="", name="Target")
    source: str = field(default="", name="Source")
    type: str = field(default="", name="Type")
    read_only: bool = field(default=False, name="ReadOnly")
    consistency: str = field(default="", name="Consistency")
    bind_options: BindOptions | None = field(default=None, name="BindOptions")
    volume_options: VolumeOptions | None = field(default=None, name="VolumeOptions")
    image_options: ImageOptions | None = field(default=None, name="ImageOptions")
    tmpfs_options: TmpfsOptions | None = field(default=None, name="TmpfsOptions")


class PortBinding(Struct, kw_only=True):
    host_ip: str = field(default="", name="HostIp")
    host_port: str = field(default="", name="HostPort")


class HostConfig(Struct, kw_only=True):
    cpu_shares: int = field(default=0, name="CpuShares")
    memory: int = field(default=0, name="Memory")
    cgroup_parent: str = field(default="", name="CgroupParent")
    blkio_weight: int = field(default=0, name="BlkioWeight")
    blkio_weight_device: list[WeightDevice] | None = field(default=None, name="BlkioWeightDevice")
    blkio_device_read_bps: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceReadBps"
    )
    blkio_device_write_bps: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceWriteBps"
    )
    blkio_device_read_iops: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int = field(default=0, name="CpuPeriod")
    cpu_quota: int = field(default=0, name="CpuQuota")
    cpu_realtime_period: int = field(default=0, name="CpuRealtimePeriod")
    cpu_realtime_runtime: int = field(default=0, name="CpuRealtimeRuntime")
    cpuset_cpus: str = field(default="", name="CpusetCpus")
    cpuset_mems: str = field(default="", name="CpusetMems")
    devices: list[DeviceMapping] | None = field(default=None, name="Devices")
    device_cgroup_rules: list[str] | None = field(default=None, name="DeviceCgroupRules")
    device_requests: list[DeviceRequest] | None = field(default=None, name="DeviceRequests")
    memory_reservation: int = field(default=0, name="MemoryReservation")
    memory_swap: int = field(default=0, name="MemorySwap")
    memory_swappiness: int | None = field(default=None, name="MemorySwappiness")
    nano_cpus: int = field(default=0, name="NanoCpus")
    oom_kill_disable: bool | None = field(default=None, name="OomKillDisable")
    init: bool | None = field(default=None, name="Init")
    pids_limit: int | None = field(default=None, name="PidsLimit")
    ulimits: list[Ulimit] | None = field(default=None, name="Ulimits")
    binds: list[str] | None = field(default=None, name="Binds")
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig | None = field(default=None, name="LogConfig")
    network_mode: str = field(default="", name="NetworkMode")
    port_bindings: dict[str, list[PortBinding] | None] | None = field(
        default=None, name="PortBindings"
    )
    restart_policy: RestartPolicy | None = field(default=None, name="RestartPolicy")
    auto_remove: bool = field(default=False, name="AutoRemove")
    volume_driver: str = field(default="", name="VolumeDriver")
    volumes_from: list[str] | None = field(default=None, name="VolumesFrom")
    mounts: list[Mount] | None = field(default=None, name="Mounts")
    console_size: list[int] | None = field(default=None, name="ConsoleSize")
    annotations: dict[str, str] | None = field(default=None, name="Annotations")
    cap_add: list[str] | None = field(default=None, name="CapAdd")
    cap_drop: list[str] | None = field(default=None, name="CapDrop")
    cgroupns_mode: str = field(default="", name="CgroupnsMode")
    dns: list[str] | None = field(default=None, name="Dns")
    dns_options: list[str] | None = field(default=None, name="DnsOptions")
    dns_search: list[str] | None = field(default=None, name="DnsSearch")
    extra_hosts: list[str] | None = field(default=None, name="ExtraHosts")
    group_add: list[str] | None = field(default=None, name="GroupAdd")
    ipc_mode: str = field(default="", name="IpcMode")
    isolation: str = field(default="", name="Isolation")
    cpu_count: int = field(default=0, name="CpuCount")
    cpu_percent: int = field(default=0, name="CpuPercent")
    io_maximum_iops: int = field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = field(default=0, name="IOMaximumBandwidth")
    cgroup: str = field(default="", name="Cgroup")
    links: list[str] | None = field(default=None, name="Links")
    oom_score_adj: int = field(default=0, name="OomScoreAdj")
    pid_mode: str = field(default="", name="PidMode")
    privileged: bool = field(default=False, name="Privileged")
    publish_all_ports: bool = field(default=False, name="PublishAllPorts")
    readonly_rootfs: bool = field(default=False, name="ReadonlyRootfs")
    security_opt: list[str] | None = field(default=None, name="SecurityOpt")
    storage_opt: dict[str, str] | None = field(default=None, name="StorageOpt")
    tmpfs: dict[str, str] | None = field(default=None, name="Tmpfs")
    uts_mode: str = field(default="", name="UTSMode")
    userns_mode: str = field(default="", name="UsernsMode")
    shm_size: int = field(default=0, name="ShmSize")
    sysctls: dict[str, str] | None = field(default=None, name="Sysctls")
    runtime: str = field(default="", name="Runtime")
    masked_paths: list[str] | None = field(default=None, name="MaskedPaths")
    readonly_paths: list[str] | None = field(default=None, name="ReadonlyPaths")


class ContainerConfig(Struct, kw_only=True):
    hostname: str = field(default="", name="Hostname")
    domainname: str = field(default="", name="Domainname")
    user: str = field(default="", name="User")
    attach_stdin: bool = field(default=False, name="AttachStdin")
    attach_stdout: bool = field(default=False, name="AttachStdout")
    attach_stderr: bool = field(default=False, name="AttachStderr")
    exposed_ports: dict[str, dict[str, object]] | None = field(default=None, name="ExposedPorts")
    tty: bool = field(default=False, name="Tty")
    open_stdin: bool = field(default=False, name="OpenStdin")
    stdin_once: bool = field(default=False, name="StdinOnce")
    env: list[str] | None = field(default=None, name="Env")
    cmd: list[str] | None = field(default=None, name="Cmd")
    healthcheck: HealthConfig | None = field(default=None, name="Healthcheck")
    image: str = field(default="", name="Image")
    volumes: dict[str, dict[str, object]] | None = field(default=None, name="Volumes")
    working_dir: str = field(default="", name="WorkingDir")
    entrypoint: list[str] | None = field(default=None, name="Entrypoint")
    network_disabled: bool | None = field(default=None, name="NetworkDisabled")
    on_build: list[str] | None = field(default=None, name="OnBuild")
    labels: dict[str, str] | None = field(default=None, name="Labels")
    stop_signal: str = field(default="", name="StopSignal")
    stop_timeout: int | None = field(default=None, name="StopTimeout")
    shell: list[str] | None = field(default=None, name="Shell")


class EndpointIPAMConfig(Struct, kw_only=True):
    i_pv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_i_ps: list[str] | None = field(default=None, name="LinkLocalIPs")


class EndpointSettings(Struct, kw_only=True):
    ipam_config: EndpointIPAMConfig | None = field(default=None, name="IPAMConfig")
    links: list[str] | None = field(default=None, name="Links")
    mac_address: str = field(default="", name="MacAddress")
    aliases: list[str] | None = field(default=None, name="Aliases")
    driver_opts: dict[str, str] | None = field(default=None, name="DriverOpts")
    gw_priority: int = field(default=0, name="GwPriority")
    network_id: str = field(default="", name="NetworkID")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = field(default="", name="Gateway")
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = field(default=None, name="DNSNames")


class NetworkingConfig(Struct, kw_only=True):
    endpoints_config: dict[str, EndpointSettings] | None = field(
        default=None, name="EndpointsConfig"
    )
