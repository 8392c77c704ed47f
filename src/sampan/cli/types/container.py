"""What `inspect` gets about a container."""

from __future__ import annotations

from sampan.cli.types.schema import Schema

ROOT = "container.InspectResponse"

SCHEMA = Schema("""
empty:
container.InspectResponse:
+ *container.ContainerJSONBase
Mounts []container.MountPoint
Config *container.Config
NetworkSettings *container.NetworkSettings
ImageManifestDescriptor? *v1.Descriptor
container.ContainerJSONBase:
ID=Id string
Created string
Path string
Args []string
State *container.State
Image string
ResolvConfPath string
HostnamePath string
HostsPath string
LogPath string
Name string
RestartCount int
Driver string
Platform string
MountLabel string
ProcessLabel string
AppArmorProfile string
ExecIDs []string
HostConfig *container.HostConfig
GraphDriver storage.DriverData
SizeRw? *int
SizeRootFs? *int
container.State:
Status string
Running bool
Paused bool
Restarting bool
OOMKilled bool
Dead bool
Pid int
ExitCode int
Error string
StartedAt string
FinishedAt string
Health? *container.Health
container.Health:
Status string
FailingStreak int
Log []*container.HealthcheckResult
container.HealthcheckResult:
Start time
End time
ExitCode int
Output string
container.MountPoint:
Type? string
Name? string
Source string
Destination string
Driver? string
Mode string
RW bool
Propagation string
container.Config:
Hostname string
Domainname string
User string
AttachStdin bool
AttachStdout bool
AttachStderr bool
ExposedPorts? map[empty]
Tty bool
OpenStdin bool
StdinOnce bool
Env []string
Cmd []string
Healthcheck? *container.HealthConfig
ArgsEscaped? bool
Image string
Volumes map[empty]
WorkingDir string
Entrypoint []string
NetworkDisabled? bool
MacAddress? string
OnBuild []string
Labels map[string]
StopSignal? string
StopTimeout? *int
Shell? []string
container.HealthConfig:
Test? []string
Interval? int
Timeout? int
StartPeriod? int
StartInterval? int
Retries? int
container.HostConfig:
Binds []string
ContainerIDFile string
LogConfig container.LogConfig
NetworkMode string
PortBindings map[[]nat.PortBinding]
RestartPolicy container.RestartPolicy
AutoRemove bool
VolumeDriver string
VolumesFrom []string
ConsoleSize []int
Annotations? map[string]
CapAdd []string
CapDrop []string
CgroupnsMode string
DNS=Dns []string
DNSOptions=DnsOptions []string
DNSSearch=DnsSearch []string
ExtraHosts []string
GroupAdd []string
IpcMode string
Cgroup string
Links []string
OomScoreAdj int
PidMode string
Privileged bool
PublishAllPorts bool
ReadonlyRootfs bool
SecurityOpt []string
StorageOpt? map[string]
Tmpfs? map[string]
UTSMode string
UsernsMode string
ShmSize int
Sysctls? map[string]
Runtime? string
Isolation string
+ container.Resources
Mounts? []mount.Mount
MaskedPaths []string
ReadonlyPaths []string
Init? *bool
container.LogConfig:
Type string
Config map[string]
container.RestartPolicy:
Name string
MaximumRetryCount int
container.Resources:
CPUShares=CpuShares int
Memory int
NanoCPUs=NanoCpus int
CgroupParent string
BlkioWeight int
BlkioWeightDevice []*blkiodev.WeightDevice
BlkioDeviceReadBps []*blkiodev.ThrottleDevice
BlkioDeviceWriteBps []*blkiodev.ThrottleDevice
BlkioDeviceReadIOps []*blkiodev.ThrottleDevice
BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice
CPUPeriod=CpuPeriod int
CPUQuota=CpuQuota int
CPURealtimePeriod=CpuRealtimePeriod int
CPURealtimeRuntime=CpuRealtimeRuntime int
CpusetCpus string
CpusetMems string
Devices []container.DeviceMapping
DeviceCgroupRules []string
DeviceRequests []container.DeviceRequest
KernelMemory? int
KernelMemoryTCP? int
MemoryReservation int
MemorySwap int
MemorySwappiness *int
OomKillDisable *bool
PidsLimit *int
Ulimits []*units.Ulimit
CPUCount=CpuCount int
CPUPercent=CpuPercent int
IOMaximumIOps int
IOMaximumBandwidth int
blkiodev.WeightDevice:
Path string
Weight int
blkiodev.ThrottleDevice:
Path string
Rate int
container.DeviceMapping:
PathOnHost string
PathInContainer string
CgroupPermissions string
container.DeviceRequest:
Driver string
Count int
DeviceIDs []string
Capabilities [][]string
Options map[string]
units.Ulimit:
Name string
Hard int
Soft int
mount.Mount:
Type? string
Source? string
Target? string
ReadOnly? bool
Consistency? string
BindOptions? *mount.BindOptions
VolumeOptions? *mount.VolumeOptions
ImageOptions? *mount.ImageOptions
TmpfsOptions? *mount.TmpfsOptions
ClusterOptions? *mount.ClusterOptions
mount.BindOptions:
Propagation? string
NonRecursive? bool
CreateMountpoint? bool
ReadOnlyNonRecursive? bool
ReadOnlyForceRecursive? bool
mount.VolumeOptions:
NoCopy? bool
Labels? map[string]
Subpath? string
DriverConfig? *mount.Driver
mount.Driver:
Name? string
Options? map[string]
mount.ImageOptions:
Subpath? string
mount.TmpfsOptions:
SizeBytes? int
Mode? int
Options? [][]string
mount.ClusterOptions:
nat.PortBinding:
HostIP=HostIp string
HostPort string
container.NetworkSettings:
+ container.NetworkSettingsBase
+ container.DefaultNetworkSettings
Networks map[*network.EndpointSettings]
container.NetworkSettingsBase:
Bridge string
SandboxID string
SandboxKey string
Ports map[[]nat.PortBinding]
HairpinMode bool
LinkLocalIPv6Address string
LinkLocalIPv6PrefixLen int
SecondaryIPAddresses []network.Address
SecondaryIPv6Addresses []network.Address
container.DefaultNetworkSettings:
EndpointID string
Gateway string
GlobalIPv6Address string
GlobalIPv6PrefixLen int
IPAddress string
IPPrefixLen int
IPv6Gateway string
MacAddress string
network.Address:
Addr string
PrefixLen int
network.EndpointSettings:
IPAMConfig *network.EndpointIPAMConfig
Links []string
Aliases []string
MacAddress string
DriverOpts map[string]
GwPriority int
NetworkID string
EndpointID string
Gateway string
IPAddress string
IPPrefixLen int
IPv6Gateway string
GlobalIPv6Address string
GlobalIPv6PrefixLen int
DNSNames []string
network.EndpointIPAMConfig:
IPv4Address? string
IPv6Address? string
LinkLocalIPs? []string
storage.DriverData:
Data map[string]
Name string
v1.Descriptor:
MediaType=mediaType string
Digest=digest string
Size=size int
URLs=urls? []string
Annotations=annotations? map[string]
Platform=platform? *v1.Platform
ArtifactType=artifactType? string
v1.Platform:
Architecture=architecture string
OS=os string
OSVersion=os.version? string
OSFeatures=os.features? []string
Variant=variant? string
""")
