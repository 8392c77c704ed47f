"""The steps from a record to a running container, each undone when a later one fails.

    sources and folder → user, devices → namespaces → config.json and /etc files → fork the monitor
      → plug the network and write the row (while the monitor creates) → created → clients that wait → start

What readers see of it is changed by `lifecycle.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec

from sampan.engine import (
    etc,
    intent,
    log_addresses,
    log_drivers,
    log_options,
    remap,
    runtimes,
    times,
    transitions,
    user_namespaces,
    volumes,
)
from sampan.engine.actor import Pending
from sampan.engine.doors import Message, Monitor
from sampan.engine.network import endpoint_options, links, plugs, ports
from sampan.engine.network import modes as network_modes
from sampan.engine.network import names as naming
from sampan.engine.records import ContainerRecord, Endpoint, PublishedPort
from sampan.engine.seccomp import compile_filter
from sampan.engine.services import Services
from sampan.engine.sources import Sources, image_roots, mapped, open_sources
from sampan.engine.steps import Step
from sampan.monitor.messages import Arguments, LogOptions
from sampan.spec.mount import Mount
from sampan.spec.oci import Device, build_config
from sampan.spec.users import User

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Launch:
    """One start of one container, and what it has gathered so far."""

    services: Services
    record: ContainerRecord
    watch: Callable[[Monitor], None]  # before anything can be missed
    take_pending: Callable[[], list[Pending]]
    automatic: bool = False  # by its restart policy
    root: list[Mount] = field(default_factory=list)
    sources: Sources = field(default_factory=Sources)
    user: User | None = None
    devices: list[Device] = field(default_factory=list)
    namespaces: dict[str, int] = field(default_factory=dict)  # kind → descriptor
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    ports: tuple[PublishedPort, ...] = ()
    filter: bytes | None = None  # seccomp's
    log: LogOptions = LogOptions()  # noqa: RUF009 - immutable
    monitor: Monitor | None = None
    pid: int = 0
    started_at: int = 0

    @property
    def container_id(self) -> str:
        return self.record.id

    @property
    def remapped(self) -> bool:
        """Whether it has a user namespace of its own."""
        return remap.applies(self.services.remap, self.record)

    def running(self) -> ContainerRecord:
        """The record of the container that runs, as far as is known by now."""
        return transitions.started(
            self.record,
            pid=self.pid,
            started_at=self.started_at or self.services.clock.now(),
            boot_id=self.services.host.boot_id,
            endpoints=self.record.endpoints | self.endpoints,
            ports=self.ports,
            automatic=self.automatic,
        )

    def plugged(self) -> ContainerRecord:
        """The record with the addresses that it has by now."""
        return msgspec.structs.replace(
            self.record, endpoints=self.record.endpoints | self.endpoints, ports=self.ports
        )

    def close(self) -> None:
        """The descriptors have done their work."""
        self.sources.close()
        while self.namespaces:
            os.close(self.namespaces.popitem()[1])


class Prepare(Step[Launch]):
    def describe(self) -> str:
        return "prepare mounts and the run folder"

    async def execute(self, launch: Launch) -> None:
        host, configured = launch.record.host_config, launch.services.config.runtimes
        remap.check(launch.services.remap, host, own_runtime=host.runtime not in configured)
        await network_modes.check_exist(launch.services, launch.record)
        await volumes.mount_for(launch.services, launch.record)
        await launch.services.store.snapshots.unshare(launch.container_id)
        launch.root = launch.services.store.snapshots.mounts(launch.container_id)
        if launch.remapped:
            launch.root = [mapped(mount) for mount in launch.root]
        path = launch.services.paths.run(launch.container_id)
        shutil.rmtree(path, ignore_errors=True)  # of a start that a crash cut short
        os.mkdir(path, 0o700)

    async def undo(self, launch: Launch) -> None:
        path = launch.services.paths.run(launch.container_id)
        shutil.rmtree(path, ignore_errors=True)
        await volumes.release_for(launch.services, launch.record)


class LookUp(Step[Launch]):
    def describe(self) -> str:
        return "look up the user, devices and what is mounted"

    async def execute(self, launch: Launch) -> None:
        roots = image_roots(launch.services, launch.record)
        plain = volumes.without_options(launch.services) if launch.remapped else None
        await asyncio.to_thread(self._look_up, launch, roots, plain)

    def _look_up(
        self, launch: Launch, roots: dict[str, Mount], plain: frozenset[str] | None
    ) -> None:
        services, record = launch.services, launch.record
        launch.user = intent.find_user(services.kernel, launch.root, record)
        launch.devices = intent.find_devices(record.host_config)
        owner = services.remap.root if services.remap is not None else None
        launch.sources = open_sources(
            services.kernel, record.mounts, roots, mapped_volumes=plain, owner=owner
        )

    async def undo(self, launch: Launch) -> None:
        launch.close()


class TakeNamespaces(Step[Launch]):
    """A network namespace of its own, or others' namespaces by descriptor."""

    def describe(self) -> str:
        return "take namespaces"

    async def execute(self, launch: Launch) -> None:
        host = launch.record.host_config
        launch.namespaces |= intent.joined_namespaces(launch.services, host)
        names = plugs.in_order(launch.services, launch.record)
        if launch.remapped:
            await self._take_user(launch, network=bool(names) or host.network_mode == "none")
        elif names:
            first = plugs.network_of(launch.services, names[0], launch.record.endpoints[names[0]])
            bridge = plugs.bridge_of(launch.services, first)
            # What is ready for the bridge has its `eth0` already.
            named = endpoint_options.interface_name(plugs.asked(launch.record, first.name))
            source = launch.services.networks if named else bridge
            launch.namespaces["network"] = await source.create_namespace()
        elif host.network_mode == "none":
            launch.namespaces["network"] = await launch.services.networks.create_namespace()

    async def _take_user(self, launch: Launch, *, network: bool) -> None:
        await user_namespaces.take(launch.services, launch.namespaces, network=network)
        if network:
            await launch.services.networks.prepare_namespace(launch.namespaces["network"])

    async def undo(self, launch: Launch) -> None:
        launch.close()


class WriteFiles(Step[Launch]):
    def describe(self) -> str:
        return "write config.json and the files of /etc"

    async def execute(self, launch: Launch) -> None:
        services, record = launch.services, launch.record
        assert launch.user is not None
        config = build_config(
            intent.build_intent(
                services,
                links.with_environment(services, record),
                launch.user,
                launch.devices,
                launch.sources.mounts,
            )
        )
        launch.filter = compile_filter(config, services.host.architecture)
        path = os.path.join(services.paths.run(record.id), "config.json")
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json.dumps(config, ensure_ascii=False))
        # With the network of another container its files are this one's too.
        if not record.host_config.network_mode.startswith("container:"):
            etc.write_all(services, record)


class PrepareLog(Step[Launch]):
    """A remote log is looked up and tried, so that a start fails when nobody takes it."""

    def describe(self) -> str:
        return "prepare the log"

    async def execute(self, launch: Launch) -> None:
        services, record = launch.services, launch.record
        plan = log_drivers.plan(services.paths, record, services.host.name())
        if plan.path:
            os.makedirs(os.path.dirname(plan.path), 0o710, exist_ok=True)
        if plan.remote is not None:
            driver, options = log_drivers.config_of(record)
            asynchronous = log_options.switch(options, "fluentd-async") or log_options.switch(
                options, "fluentd-async-connect"
            )
            where = log_addresses.address(driver, options)
            reached = await log_addresses.reach(
                where, must_answer=not asynchronous, tls=plan.remote.tls
            )
            plan = replace(plan, remote=replace(plan.remote, address=reached.to_message()))
        launch.log = plan


class Fork(Step[Launch]):
    def describe(self) -> str:
        return "fork the monitor"

    async def execute(self, launch: Launch) -> None:
        record = launch.record
        kinds = tuple(launch.namespaces)
        size = record.host_config.console_size or [0, 0]
        arguments = Arguments(
            id=record.id,
            directory=launch.services.paths.run(record.id),
            root=tuple(launch.root),
            namespaces=kinds,
            terminal=record.config.tty,
            open_stdin=record.config.open_stdin,
            stdin_once=record.config.stdin_once,
            console_size=(size[0], size[1]) if len(size) == 2 and any(size) else None,
            log=launch.log,
            title=f"sampan-monitor {record.id[:12]} {record.name}",
            seccomp=launch.filter,
            runtime=runtimes.command(launch.services.config, record.host_config.runtime),
        )
        fds = [launch.namespaces[kind] for kind in kinds]
        launch.monitor = await launch.services.monitors.launch(arguments, fds)
        launch.watch(launch.monitor)

    async def undo(self, launch: Launch) -> None:
        # A monitor whose channel closes before the start undoes everything and ends.
        if launch.monitor is not None:
            await launch.monitor.abort()
            launch.monitor = None


class ReservePorts(Step[Launch]):
    """A conflict is found before anything else is changed."""

    def describe(self) -> str:
        return "hold the published ports"

    async def execute(self, launch: Launch) -> None:
        if plugs.publishes(launch.services, launch.record):
            launch.ports = await ports.reserve(launch.services, launch.record)

    async def undo(self, launch: Launch) -> None:
        if launch.ports:
            await launch.services.networks.close_ports(launch.container_id)


class Plug(Step[Launch]):
    """Addresses, and with them the container's lines in its /etc/hosts."""

    def describe(self) -> str:
        return "plug the networks"

    async def execute(self, launch: Launch) -> None:
        services, record = launch.services, launch.record
        names = plugs.in_order(services, record)
        gateway = plugs.gateway_network(services, record, names)
        try:
            for number, name in enumerate(names):
                launch.endpoints[name] = await plugs.plug(
                    services,
                    record,
                    plugs.network_of(services, name, record.endpoints[name]),
                    launch.namespaces["network"],
                    inside_name=f"eth{number}",
                    default_route=name == gateway,
                )
            plugged = launch.plugged()
            if names:
                etc.write_hosts(services, plugged)
                await naming.serve(services, plugged, launch.namespaces["network"])
            if launch.ports:
                addresses = plugs.port_addresses(services, plugged)
                held = ports.to_held(launch.ports)
                await services.networks.open_ports(record.id, held, addresses)
        except BaseException:
            await self.undo(launch)
            raise

    async def undo(self, launch: Launch) -> None:
        for name in list(launch.endpoints):
            endpoint = launch.endpoints.pop(name)
            await plugs.unplug(launch.services, launch.container_id, name, endpoint)
        await launch.services.networks.forget_names(launch.container_id)


class WriteAhead(Step[Launch]):
    """From here on the row says that it runs: a crash at any later instant leaves one that is adopted, or found
    dead, with its addresses. The monitor creates meanwhile, so the disk is waited for in its shadow."""

    def describe(self) -> str:
        return "write down that it runs"

    async def execute(self, launch: Launch) -> None:
        launch.services.write_record(launch.running())

    async def undo(self, launch: Launch) -> None:
        launch.services.write_record(launch.record)


class AwaitCreated(Step[Launch]):
    def describe(self) -> str:
        return "wait until it is created"

    async def execute(self, launch: Launch) -> None:
        assert launch.monitor is not None
        answer = await launch.monitor.created()
        launch.pid = int(answer["pid"])
        for warning in answer.get("warnings") or []:
            log.warning("container %s: %s", launch.container_id[:12], warning)
        volumes.tell_of(launch.services, launch.record, "mount")


class HandOver(Step[Launch]):
    """Whoever attached before the start must not miss a byte."""

    def describe(self) -> str:
        return "hand over clients"

    async def execute(self, launch: Launch) -> None:
        assert launch.monitor is not None
        pending = launch.take_pending()
        try:
            for waiting in pending:
                await waiting.hand_over(launch.monitor)
        finally:
            for waiting in pending:
                waiting.close()


class Start(Step[Launch]):
    def describe(self) -> str:
        return "start"

    async def execute(self, launch: Launch) -> None:
        assert launch.monitor is not None
        answer = await launch.monitor.start()
        launch.started_at = started_at_of(answer) or launch.services.clock.now()
        launch.close()


STEPS: tuple[Step[Launch], ...] = (
    Prepare(),
    ReservePorts(),
    LookUp(),
    TakeNamespaces(),
    WriteFiles(),
    PrepareLog(),
    Fork(),
    Plug(),
    WriteAhead(),
    AwaitCreated(),
    HandOver(),
    Start(),
)


def started_at_of(answer: Message) -> int:
    return moment_of(answer.get("started_at"))


def moment_of(value: object) -> int:
    """A time in a message of the monitor, in nanoseconds; 0 when there is none."""
    try:
        return times.from_text(value) if isinstance(value, str) and value else 0
    except ValueError:
        return 0
