"""What `inspect` gets about an image."""

from __future__ import annotations

from sampan.cli.types.schema import Schema

ROOT = "image.InspectResponse"

SCHEMA = Schema("""
empty:
image.InspectResponse:
ID=Id string
RepoTags []string
RepoDigests []string
Parent string
Comment string
Created? string
Container? string
ContainerConfig? *container.Config
DockerVersion string
Author string
Config *v1.DockerOCIImageConfig
Architecture string
Variant? string
Os string
OsVersion? string
Size int
VirtualSize? int
GraphDriver storage.DriverData
RootFS image.RootFS
Metadata image.Metadata
Descriptor? *v1.Descriptor
Manifests? any
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
Healthcheck? *v1.HealthcheckConfig
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
v1.DockerOCIImageConfig:
+ v1.ImageConfig
+ v1.DockerOCIImageConfigExt
v1.ImageConfig:
User? string
ExposedPorts? map[empty]
Env? []string
Entrypoint? []string
Cmd? []string
Volumes? map[empty]
WorkingDir? string
Labels? map[string]
StopSignal? string
ArgsEscaped? bool
v1.DockerOCIImageConfigExt:
Healthcheck? *v1.HealthcheckConfig
OnBuild? []string
Shell? []string
v1.HealthcheckConfig:
Test? []string
Interval? int
Timeout? int
StartPeriod? int
StartInterval? int
Retries? int
storage.DriverData:
Data map[string]
Name string
image.RootFS:
Type string
Layers? []string
image.Metadata:
LastTagTime? time
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
