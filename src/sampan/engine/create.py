"""`docker create`: image and wishes become a record, a writable layer, volumes and a folder.

    checks (nothing is made) → name → folder → volumes → writable layer and row, in one transaction

Undone in reverse when a step fails. The row comes last, so that a crash leaves only what the next start of the
daemon sweeps.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from sampan.engine import (
    log_drivers,
    merge,
    mounts,
    remap,
    runtimes,
    settings,
    validate,
    volumes,
)
from sampan.engine.actor import Actor
from sampan.engine.names import check_name
from sampan.engine.network import egress, modes
from sampan.engine.network.ports import wishes
from sampan.engine.records import ContainerRecord, MountPoint, encode
from sampan.engine.services import Services
from sampan.engine.sources import check_bind_sources
from sampan.engine.steps import Step, run_steps
from sampan.errors import InvalidParameter, NotFound
from sampan.spec import platform as platforms
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig
from sampan.spec.digest import Digest
from sampan.store.images import Image


@dataclass(frozen=True, slots=True)
class Created:
    container_id: str
    warnings: list[str]


@dataclass(slots=True)
class Draft:
    """A container on its way."""

    services: Services
    record: ContainerRecord
    image: Image | None
    actor: Actor | None = None
    volumes_made: list[str] = field(default_factory=list)
    name_held: ExitStack = field(default_factory=ExitStack)


async def create_container(
    services: Services,
    *,
    name: str = "",
    config: ContainerConfig,
    host_config: HostConfig,
    networking: NetworkingConfig,
    platform: str = "",
) -> Created:
    """Make a container that does not run. An empty `name`: one is made up.

    Raises InvalidParameter, NotFound (image, network), Conflict (name), NotImplementedHere.
    """
    image = services.store.images.resolve(config.image) if config.image else None
    if image is not None and platform:
        _check_platform(image, platform)
    record, warnings = _plan(services, name, config, host_config, networking, image)
    draft = Draft(services, record, image)
    with draft.name_held:
        await run_steps(STEPS, draft, f"create {record.id[:12]}")
    services.events.emit("container", "create", record.id, attributes_of(draft.record))
    return Created(record.id, warnings)


def attributes_of(record: ContainerRecord) -> dict[str, str]:
    """What every event of a container says: its labels, image and name."""
    return {**record.labels, "image": record.image_name, "name": record.name}


def _plan(
    services: Services,
    name: str,
    config: ContainerConfig,
    host_config: HostConfig,
    networking: NetworkingConfig,
    image: Image | None,
) -> tuple[ContainerRecord, list[str]]:
    """Everything that can be wrong with the request is found here, before anything is made."""
    container_id = os.urandom(32).hex()
    # Image configuration is data: what it may say is checked as what the user says.
    merged = merge.merge(config, image.config.config if image else ContainerConfig())
    validate.check_config(merged)
    facts = services.host
    if merged.network_disabled:
        host_config = settings.without_network(host_config)
    host = settings.settle_host_config(host_config, services.config, unified=facts.unified_cgroups)
    runtimes.check(services.config, host.runtime)
    host, warnings = validate.check_host_config(
        config, host, features=facts.cgroup_features, cpus=facts.cpu_set, mems=facts.memory_nodes
    )
    remap.check(services.remap, host, own_runtime=host.runtime not in services.config.runtimes)
    networking, places = modes.settle(services, host, networking)
    wishes(merged, host)
    egress.check(merged, host)
    _check_joined(services, host)
    merged = settings.settle_hostname(
        merged,
        host,
        container_id=container_id,
        host_name=facts.name(),
        owner=_network_owner(services, host),
    )
    points = mounts.plan_mounts(merged, host, _inherited(services, host))
    check_bind_sources(points)
    points = _with_images(services, points)
    path, arguments = merge.command_line(merged)
    paths = services.paths
    home = paths.home(container_id)
    record = ContainerRecord(
        id=container_id,
        name=check_name(name) if name else services.containers.free_name(),
        created=services.clock.now(),
        path=path,
        args=arguments,
        config=merged,
        host_config=host,
        networking=networking,
        image_id=image.id if image else "",
        image_name=config.image,
        chain_id=(image.top or "") if image else "",
        mounts=points,
        endpoints=places,
        log_path=log_drivers.shown_path(paths, container_id, host.log_config),
        hostname_path=os.path.join(home, "hostname"),
        hosts_path=os.path.join(home, "hosts"),
        resolv_conf_path=os.path.join(home, "resolv.conf"),
    )
    return record, warnings


def _check_platform(image: Image, text: str) -> None:
    """`--platform`: the image must be for it. Raises InvalidParameter, NotFound."""
    wanted = platforms.parse(text)
    found = platforms.Platform(image.config.os, image.config.architecture, image.config.variant)
    if not wanted.runs(found):
        name = image.repo_tags[0] if image.repo_tags else image.id
        raise NotFound(
            f"image with reference {name} was found but does not provide the specified platform ({text})"
        )


def _network_owner(services: Services, host: HostConfig) -> ContainerConfig | None:
    kind, _, ref = host.network_mode.partition(":")
    try:
        return services.containers.get(ref).config if kind == "container" else None
    except NotFound:
        return None  # the start says so, as dockerd's


def _check_joined(services: Services, host: HostConfig) -> None:
    """`container:x` of PID and IPC modes must be there; dockerd looks at the network's only at start."""
    for mode in (host.pid_mode, host.ipc_mode):
        kind, separator, ref = mode.partition(":")
        if kind == "container" and separator:
            try:
                services.containers.get(ref)
            except NotFound as error:
                raise InvalidParameter(str(error)) from None


def _inherited(services: Services, host: HostConfig) -> tuple[MountPoint, ...]:
    """Mounts of `--volumes-from name[:ro|rw]`."""
    points: dict[str, MountPoint] = {}
    for text in host.volumes_from or []:
        if not text:
            raise InvalidParameter("volumes-from specification cannot be an empty string")
        ref, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidParameter(f"invalid mode: {mode}")
        try:
            other = services.containers.get(ref)
        except NotFound as error:
            raise InvalidParameter(str(error)) from None
        for point in other.mounts:
            if point.type != "tmpfs":
                read_write = point.read_write and mode != "ro"
                points[point.destination] = msgspec.structs.replace(
                    point, read_write=read_write, mode=mode, copy_up=False, anonymous=False
                )
    return tuple(points.values())


def _with_images(services: Services, points: tuple[MountPoint, ...]) -> tuple[MountPoint, ...]:
    """`--mount type=image`: the image that the name means now, which the container uses from here on."""
    found = []
    for point in points:
        if point.type == "image":
            try:
                image = services.store.images.resolve(point.source)
            except NotFound as error:
                # A 404 would make the docker client pull the container's own image.
                raise InvalidParameter(str(error)) from None
            point = msgspec.structs.replace(point, name=image.id)
        found.append(point)
    return tuple(found)


class TakeName(Step[Draft]):
    def describe(self) -> str:
        return "take the name"

    async def execute(self, draft: Draft) -> None:
        draft.name_held.enter_context(
            draft.services.containers.reserved(draft.record.name, draft.record.id)
        )

    async def undo(self, draft: Draft) -> None:
        draft.name_held.close()


class MakeFolder(Step[Draft]):
    def describe(self) -> str:
        return "make the folder"

    async def execute(self, draft: Draft) -> None:
        os.mkdir(draft.services.paths.home(draft.record.id), 0o710)

    async def undo(self, draft: Draft) -> None:
        draft.services.store.trash.discard(draft.services.paths.home(draft.record.id))


class MakeVolumes(Step[Draft]):
    """Volumes that are not there yet; new ones and empty ones get what the image has at their place."""

    def describe(self) -> str:
        return "make and fill volumes"

    async def execute(self, draft: Draft) -> None:
        points = []
        for point in draft.record.mounts:
            if point.type == "volume":
                made = draft.volumes_made
                point = await volumes.make_for(draft.services, draft.record, point, made)
            points.append(point)
        draft.record = msgspec.structs.replace(draft.record, mounts=tuple(points))

    async def undo(self, draft: Draft) -> None:
        await volumes.take_back(draft.services, draft.volumes_made)


class WriteRow(Step[Draft]):
    def describe(self) -> str:
        return "make the writable layer and the row"

    async def execute(self, draft: Draft) -> None:
        services, record = draft.services, draft.record
        store = services.store
        with store.metadata.transaction():
            store.snapshots.prepare(record.id, Digest(record.chain_id) if record.chain_id else None)
            store.metadata.containers.put(record.id, record.name, encode(record))
        draft.actor = Actor(record, services.write_record)
        services.containers.add(draft.actor)

    async def undo(self, draft: Draft) -> None:
        services, record = draft.services, draft.record
        if draft.actor is not None:
            services.containers.forget(draft.actor)
        services.store.metadata.containers.delete(record.id)
        services.store.snapshots.remove(record.id)


STEPS: tuple[Step[Draft], ...] = (TakeName(), MakeFolder(), MakeVolumes(), WriteRow())
