"""What `version` and `info` get, and the messages of `events`."""

from __future__ import annotations

from sampan.cli.types.schema import Schema

SCHEMA = Schema("""
system.versionInfo:
Client system.clientVersion
Server *types.Version
system.clientVersion:
Platform? *types.Platform
Version string
APIVersion=ApiVersion? string
DefaultAPIVersion string
GitCommit string
GoVersion string
Os string
Arch string
BuildTime? string
Context string
types.Platform:
Name string
types.Version:
Platform types.Platform
Components? []types.ComponentVersion
Version string
APIVersion=ApiVersion string
MinAPIVersion? string
GitCommit string
GoVersion string
Os string
Arch string
KernelVersion? string
Experimental? bool
BuildTime? string
types.ComponentVersion:
Name string
Version string
Details? map[string]
system.dockerInfo:
+ *system.Info
ClientInfo? *system.clientInfo
ServerErrors? []string
ClientErrors? []string
system.clientInfo:
Debug bool
+ system.clientVersion
Plugins []any
Warnings []string
system.Info:
ID string
Containers int
ContainersRunning int
ContainersPaused int
ContainersStopped int
Images int
Driver string
DriverStatus [][]string
SystemStatus? [][]string
Plugins system.PluginsInfo
MemoryLimit bool
SwapLimit bool
KernelMemory? bool
KernelMemoryTCP? bool
CPUCfsPeriod=CpuCfsPeriod bool
CPUCfsQuota=CpuCfsQuota bool
CPUShares bool
CPUSet bool
PidsLimit bool
IPv4Forwarding bool
Debug bool
NFd int
OomKillDisable bool
NGoroutines int
SystemTime string
LoggingDriver string
CgroupDriver string
CgroupVersion? string
NEventsListener int
KernelVersion string
OperatingSystem string
OSVersion string
OSType string
Architecture string
IndexServerAddress string
RegistryConfig *registry.ServiceConfig
NCPU int
MemTotal int
GenericResources []any
DockerRootDir string
HTTPProxy=HttpProxy string
HTTPSProxy=HttpsProxy string
NoProxy string
Name string
Labels []string
ExperimentalBuild bool
ServerVersion string
Runtimes map[system.RuntimeWithStatus]
DefaultRuntime string
Swarm swarm.Info
LiveRestoreEnabled bool
Isolation string
InitBinary string
ContainerdCommit system.Commit
RuncCommit system.Commit
InitCommit system.Commit
SecurityOptions []string
ProductLicense? string
DefaultAddressPools? []system.NetworkAddressPool
FirewallBackend? *system.FirewallInfo
CDISpecDirs []string
DiscoveredDevices? []any
Containerd? *system.ContainerdInfo
Warnings []string
system.PluginsInfo:
Volume []string
Network []string
Authorization []string
Log []string
registry.ServiceConfig:
AllowNondistributableArtifactsCIDRs? []string
AllowNondistributableArtifactsHostnames? []string
IndexConfigs map[*registry.IndexInfo]
InsecureRegistryCIDRs []string
Mirrors []string
registry.IndexInfo:
Mirrors []string
Name string
Official bool
Secure bool
system.RuntimeWithStatus:
+ system.Runtime
Status=status? map[string]
system.Runtime:
Path=path? string
Args=runtimeArgs? []string
Type=runtimeType? string
Options=options? map[any]
swarm.Info:
NodeID string
NodeAddr string
LocalNodeState string
ControlAvailable bool
Error string
RemoteManagers []any
Nodes? int
Managers? int
Cluster? any
Warnings? []string
system.Commit:
ID string
Expected? string
system.NetworkAddressPool:
Base string
Size int
system.FirewallInfo:
Driver string
Info? [][]string
system.ContainerdInfo:
Address? string
Namespaces system.ContainerdNamespaces
system.ContainerdNamespaces:
Containers string
Plugins string
events.Message:
Status=status? string
ID=id? string
From=from? string
Type string
Action string
Actor events.Actor
Scope=scope? string
Time=time? int
TimeNano=timeNano? int
events.Actor:
ID string
Attributes map[string]
""")
