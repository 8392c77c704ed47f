"""Bodies of requests that are no objects of `spec.container` by themselves."""

from __future__ import annotations

from msgspec import Struct, field

from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig


class CreateRequest(ContainerConfig, kw_only=True):
    """Body of POST /containers/create: the config's fields, and two objects beside them."""

    host_config: HostConfig = field(default_factory=HostConfig, name="HostConfig")
    networking_config: NetworkingConfig = field(
        default_factory=NetworkingConfig, name="NetworkingConfig"
    )
    mac_address: str = field(default="", name="MacAddress")

    def config(self) -> ContainerConfig:
        names = ContainerConfig.__struct_fields__
        return ContainerConfig(**{name: getattr(self, name) for name in names})


class ExecCreateRequest(Struct, kw_only=True):
    """Body of POST /containers/{id}/exec."""

    user: str = field(default="", name="User")
    privileged: bool = field(default=False, name="Privileged")
    tty: bool = field(default=False, name="Tty")
    console_size: list[int] | None = field(default=None, name="ConsoleSize")
    attach_stdin: bool = field(default=False, name="AttachStdin")
    attach_stderr: bool = field(default=False, name="AttachStderr")
    attach_stdout: bool = field(default=False, name="AttachStdout")
    detach_keys: str = field(default="", name="DetachKeys")
    env: list[str] | None = field(default=None, name="Env")
    working_dir: str = field(default="", name="WorkingDir")
    cmd: list[str] | None = field(default=None, name="Cmd")


class ExecStartRequest(Struct, kw_only=True):
    """Body of POST /exec/{id}/start."""

    detach: bool = field(default=False, name="Detach")
    tty: bool = field(default=False, name="Tty")
    console_size: list[int] | None = field(default=None, name="ConsoleSize")


class AuthConfig(Struct, kw_only=True):
    """Body of POST /auth, and what X-Registry-Auth encodes."""

    username: str = ""
    password: str = ""
    auth: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def __repr__(self) -> str:
        return "AuthConfig(…)"  # whatever prints it, no log has a password


class PlatformRequest(Struct, kw_only=True):
    """OCI's platform, as a query's JSON."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
