"""When the daemon comes up: records, run folders and monitors are made to agree, and policies act.

    row says      and on the host                       then
    running       monitor answers, container runs       adopted as it is
                  exit.json                             its exit is applied
                  no monitor (it died)                  what is left is killed; exited 137 with the reason
                  another boot                          exited 255
    created       a run folder (crash while starting)   adopted if it runs, else cleaned up
    any           auto-remove, and it ended             removed
    removing      –                                     removed

Folders and snapshots without a row are swept. Doing all this twice changes nothing the second time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from sampan.engine import lifecycle, probe, remains, removal, transitions, volumes
from sampan.engine.actor import Actor
from sampan.engine.doors import Message, Monitor
from sampan.engine.launch import moment_of
from sampan.engine.network import connect, egress, plugs, refusals
from sampan.engine.network.create import restore_networks
from sampan.engine.pause import mark_of
from sampan.engine.records import ContainerRecord, State, decode
from sampan.engine.services import Services
from sampan.engine.transitions import Exit
from sampan.errors import SampanError
from sampan.linux import process
from sampan.monitor.records import read_monitor_record
from sampan.store.metadata import ContainerRow

log = logging.getLogger(__name__)

DEADLINE = 5.0  # seconds for one monitor to answer


def load(services: Services) -> list[Actor]:
    """Every row becomes an actor. A row that is damaged is left alone and reported, the others live on."""
    actors = []
    for row in services.store.metadata.containers.all():
        record = _decode(row)
        if record is not None:
            actor = Actor(record, services.write_record)
            services.containers.add(actor)
            actors.append(actor)
    return actors


def _decode(row: ContainerRow) -> ContainerRecord | None:
    try:
        record = decode(row.body)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        log.error("the record of container %s is damaged and is ignored: %s", row.id[:12], error)
        return None
    return record if record.name == row.name else msgspec.structs.replace(record, name=row.name)


async def reconcile(services: Services) -> None:
    """After `load`. Monitors are asked in parallel, each with a deadline."""
    services.networks.on_refused = partial(refusals.tell, services)
    await restore_networks(services)
    actors = services.containers.actors()
    await asyncio.gather(*(actor.do(_settling(services, actor)) for actor in actors))
    _sweep(services)
    await volumes.sweep(services)
    records = [actor.record for actor in actors if actor.record.state.alive]
    running = {record.id: egress.policy_of(record) is not None for record in records}
    removed = await services.networks.reconcile(running=running)
    for name in removed:
        log.info("removed the stale link %s", name)


def _settling(services: Services, actor: Actor) -> Callable[[], Awaitable[None]]:
    async def attempt() -> None:
        try:
            await settle(services, actor)
        except (SampanError, OSError):
            log.exception("container %s could not be reconciled", actor.record.id[:12])

    return attempt


async def settle(services: Services, actor: Actor) -> None:
    record = actor.record
    folder = services.paths.run(record.id)
    if record.state in (State.REMOVING, State.DEAD):
        await removal.remove(services, actor, volumes=False)
        return
    if record.state is State.RESTARTING:
        actor.save(transitions.restart_forgotten(record))
    elif record.state.alive or os.path.isdir(folder):
        if await _adopt(services, actor):
            return
        if not actor.record.state.alive:
            # It was being started: as if nobody had asked for that.
            await remains.end_of(services, record)
            shutil.rmtree(folder, ignore_errors=True)
    if actor.record.state.alive:
        end = await _unseen_end(services, actor.record)
        actor.monitor = None
        await lifecycle.container_exited(services, actor, None, end)
        return
    if actor.record.host_config.auto_remove and actor.record.started_at:
        await removal.remove(services, actor, volumes=True)


async def _unseen_end(services: Services, record: ContainerRecord) -> Exit:
    if record.boot_id and record.boot_id != services.host.boot_id:
        shutil.rmtree(services.paths.run(record.id), ignore_errors=True)
        return Exit(exit_code=remains.REBOOTED, finished_at=services.clock.now())
    return await remains.end_of(services, record)


async def _adopt(services: Services, actor: Actor) -> bool:
    """Go on with a container that runs. False: it does not, or nobody answers for it."""
    folder = services.paths.run(actor.record.id)
    serving = read_monitor_record(folder)
    if serving is None or serving.boot_id != services.host.boot_id:
        return False
    if not process.alive(serving.pid, serving.start_time):
        return False
    try:
        async with asyncio.timeout(DEADLINE):
            monitor = await services.monitors.connect(services.paths.socket(actor.record.id))
            state = await monitor.state()
    except (TimeoutError, OSError, SampanError) as error:
        log.error("container %s: its monitor does not answer: %s", actor.record.id[:12], error)
        _kill_monitor(serving.pid, serving.start_time)
        return False
    return await _go_on(services, actor, monitor, state)


async def _go_on(services: Services, actor: Actor, monitor: Monitor, state: Message) -> bool:
    phase = state.get("phase")
    if phase not in ("running", "paused", "exited") or not state.get("pid"):
        # Created, but its start was never asked for, or was and is not to be trusted.
        await monitor.abort()
        return False
    record = actor.record
    if not record.state.alive:
        record = transitions.started(
            record,
            pid=0,
            started_at=0,
            boot_id=services.host.boot_id,
            endpoints=record.endpoints,
            ports=record.ports,
            automatic=False,
        )
    # The row was written before these were known.
    record = msgspec.structs.replace(
        record,
        pid=int(state["pid"]),
        started_at=moment_of(state.get("started_at")) or record.started_at,
    )
    paused = phase == "paused"
    if paused and os.path.exists(mark_of(services, record.id)):
        await monitor.resume()
        os.unlink(mark_of(services, record.id))
        paused = False
    if paused != (record.state is State.PAUSED):
        record = transitions.paused(record) if paused else transitions.unpaused(record)
    actor.save(record, durable=record != actor.record)
    await plugs.restore(services, record)
    await _settle_networks(services, actor)
    volumes.hold_again(services, record)
    for each in state.get("execs") or ():
        arguments = tuple(str(word) for word in each.get("arguments") or ())
        services.execs.adopt(record.id, str(each["exec_id"]), int(each["pid"]), arguments)
    lifecycle.watch(services, actor, monitor)
    if not paused:
        probe.begin(services, actor)
    ended = state.get("exit")
    if ended:
        await lifecycle.container_exited(services, actor, monitor, lifecycle.exit_of(ended))
    return True


async def _settle_networks(services: Services, actor: Actor) -> None:
    """What a daemon that was killed in the middle of a connect or disconnect did not come to."""
    try:
        await connect.settle(services, actor)
    except (SampanError, OSError) as error:
        log.error("container %s: %s", actor.record.id[:12], error)


def _kill_monitor(pid: int, started: int) -> None:
    """It lives and does not answer: never two that think they own one container."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if process.alive(pid, started):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)


def _sweep(services: Services) -> None:
    """What has no row: a create or a removal that a crash cut short."""
    services.receipts.sweep()
    known = {row.id for row in services.store.metadata.containers.all()}
    for key in set(services.store.snapshots.keys()) - known:
        services.store.snapshots.remove(key)
    for name in os.listdir(services.paths.containers):
        if name not in known:
            services.store.trash.discard(os.path.join(services.paths.containers, name))
    for name in os.listdir(services.paths.running):
        if name not in known:
            shutil.rmtree(os.path.join(services.paths.running, name), ignore_errors=True)


def apply_policies(services: Services) -> None:
    """Once, when everything is settled: `always` and `unless-stopped` start what does not run."""
    for actor in services.containers.actors():
        record = actor.record
        ran = record.state is State.EXITED and record.started_at
        if ran and transitions.wants_restart(record, at_boot=True):
            actor.post(lifecycle.automatic_start(services, actor, expected=State.EXITED))


async def let_go(services: Services) -> None:
    """The daemon ends: what runs goes on without it. Jobs that are under way are finished, if they do in time."""
    actors = services.containers.actors()
    for actor in actors:
        actor.cancel_restart()
    try:
        async with asyncio.timeout(services.config.shutdown_timeout):
            await asyncio.gather(*(actor.idle() for actor in actors))
    except TimeoutError:
        log.warning("some containers were still busy when the daemon ended")
    for actor in actors:
        probe.end(actor)
        monitor, actor.monitor = actor.monitor, None
        if monitor is not None:
            monitor.close()
        while actor.pending:
            actor.pending.pop().close()
