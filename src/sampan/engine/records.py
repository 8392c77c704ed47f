"""What the engine knows about a container: one immutable record, written only by the container's actor.

A record is the row's body in the database (JSON) and what every reader sees. Times are nanoseconds since
the epoch, 0 for "never". Docker's booleans (`Running`, `Paused`, `Dead`, …) are computed from `state` in
`api/views`; nothing here is one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig

VERSION = 1


class State(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"  # exited, and its restart policy will start it again
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"  # its removal failed half-way

    @property
    def alive(self) -> bool:
        """A process is there."""
        return self in (State.RUNNING, State.PAUSED)


class MountPoint(Struct, frozen=True, kw_only=True):
    """One mount that the user or the image asked for (the API's `MountPoint`, and what start needs)."""

    type: str  # "bind", "volume", "tmpfs", "image"
    destination: str
    source: str = ""  # of a volume: its folder on the host; of an image: what the user called it
    name: str = ""  # of a volume; of an image its id
    driver: str = ""
    mode: str = ""  # as the user wrote it: "ro,z"
    read_write: bool = True
    propagation: str = ""
    options: tuple[str, ...] = ()  # of a tmpfs, words of mount(8)
    create_source: bool = False  # the short bind form makes a missing folder
    recursive: bool = True
    read_only_depth: str = ""  # of what lies below: "" if the host can, "own" never, "all" or fail
    subpath: str = ""  # of a volume or an image: only this part of it
    labels: dict[str, str] | None = None  # of a volume that is to be made
    driver_options: dict[str, str] | None = None  # the same
    copy_up: bool = False  # an empty volume is filled from the image
    anonymous: bool = False  # goes with `rm -v` and with an auto-removed container


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where the container is plugged in; the addresses are empty while it does not run."""

    network_id: str = ""
    endpoint_id: str = ""
    address: str = ""
    prefix: int = 0
    gateway: str = ""
    mac: str = ""
    host_interface: str = ""
    address6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    inside_name: str = "eth0"


class PublishedPort(Struct, frozen=True, kw_only=True):
    """`count` ports of the host, at one of its addresses (0.0.0.0 or ::: all of a family), while they are held."""

    protocol: str
    address: str
    host_port: int
    container_port: int
    count: int = 1


class HealthResult(Struct, frozen=True, kw_only=True):
    """One check. `exit_code` is -1 when it could not be made, or took too long."""

    start: int
    end: int
    exit_code: int
    output: str


class Usage(Struct, frozen=True, kw_only=True):
    """What a container has used in all, from its start to its end; 0 where the host does not count it."""

    peak_memory: int = 0  # bytes
    cpu_time: int = 0  # nanoseconds
    io_read: int = 0  # bytes
    io_written: int = 0
    oom_kills: int = 0


def usage_of(message: Mapping[str, object]) -> Usage | None:
    """Of a monitor's `exit`; None when it does not count."""
    fields = Usage.__struct_fields__
    found = {name: value for name in fields if isinstance(value := message.get(name), int)}
    return Usage(**found) if len(found) == len(fields) else None


class Health(Struct, frozen=True, kw_only=True):
    status: str = "starting"
    failing_streak: int = 0
    log: tuple[HealthResult, ...] = ()  # the last few, oldest first


class ContainerRecord(Struct, frozen=True, kw_only=True):
    version: int = VERSION
    id: str  # 64 hex digits
    name: str  # without the leading slash
    created: int
    path: str
    args: tuple[str, ...] = ()
    config: ContainerConfig
    host_config: HostConfig
    networking: NetworkingConfig
    image_id: str = ""  # "sha256:…"
    image_name: str = ""  # as the user wrote it
    chain_id: str = ""  # of the image's topmost layer; empty for an image without layers
    platform: str = "linux"
    driver: str = "overlay2"
    mounts: tuple[MountPoint, ...] = ()

    state: State = State.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: int = 0
    finished_at: int = 0
    restart_count: int = 0
    manually_stopped: bool = False  # by stop or kill: `unless-stopped` and back-off leave it alone
    health: Health | None = None
    usage: Usage | None = None  # of the last run that has ended
    boot_id: str = ""  # of the boot in which it was started

    endpoints: dict[str, Endpoint] = msgspec.field(default_factory=dict)  # by network name
    ports: tuple[PublishedPort, ...] = ()
    unsettled: bool = False  # routes, files and names inside do not say yet what `endpoints` says
    log_path: str = ""  # empty when the log driver keeps no file
    hostname_path: str = ""
    hosts_path: str = ""
    resolv_conf_path: str = ""

    @property
    def labels(self) -> dict[str, str]:
        return self.config.labels or {}

    @property
    def tty(self) -> bool:
        return self.config.tty


class ExecRecord(Struct, frozen=True, kw_only=True):
    """A process that was asked to run in a running container. Lives in memory only, as in Docker."""

    id: str
    container_id: str
    arguments: tuple[str, ...]
    tty: bool = False
    user: str = ""
    privileged: bool = False
    env: tuple[str, ...] = ()
    working_dir: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    pid: int = 0
    console_size: tuple[int, int] | None = None  # rows, columns
    created: int = 0
    started_at: int = 0
    timeout: float = 0  # seconds until it is killed; 0: never
    die_with_client: bool = False
    reason: str = ""  # why the engine killed it


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ContainerRecord)


def encode(record: ContainerRecord) -> bytes:
    return _encoder.encode(record)


def decode(body: bytes) -> ContainerRecord:
    """Raises msgspec.ValidationError or msgspec.DecodeError when the row is not a record."""
    return _decoder.decode(body)
