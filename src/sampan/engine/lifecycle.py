"""Start and end of a container, as jobs of its actor: what is written down, what is told, what follows.

start ─▶ running ─▶ exit | the monitor is lost ─▶ exited ─▶ (auto-removed | restarted by its policy)
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sampan.engine import etc, failures, probe, remains, removal, transitions, volumes
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.doors import Message, Monitor
from sampan.engine.launch import STEPS, Launch, moment_of
from sampan.engine.network import plugs
from sampan.engine.records import ContainerRecord, State, usage_of
from sampan.engine.services import Services
from sampan.engine.steps import run_steps
from sampan.engine.transitions import Exit
from sampan.errors import NotFound, NotModified, SampanError

NEEDED_WITHIN = 5.0  # seconds, as with dockerd

log = logging.getLogger(__name__)


async def start(services: Services, actor: Actor, *, automatic: bool = False) -> None:
    """`automatic`: by its restart policy. Raises NotModified, Conflict, and what a step raised, in Docker's words."""
    if actor.gone and automatic:
        return
    if actor.gone:
        raise NotFound(f"No such container: {actor.record.id}")
    transitions.check_start(actor.record)
    actor.cancel_restart()
    if not automatic:
        actor.restart_delay = 0
    launch = Launch(
        services,
        actor.record,
        watch=lambda monitor: watch(services, actor, monitor),
        take_pending=actor.take_pending,
        automatic=automatic,
    )
    try:
        await run_steps(STEPS, launch, f"start {actor.record.id[:12]}")
    except Exception as error:
        raise await _start_failed(services, actor, error, automatic=automatic) from error
    finally:
        launch.close()
    actor.filter, actor.filter_known = launch.filter, True
    # The row was written ahead; what it lacks the monitor knows.
    actor.save(launch.running(), durable=False)
    etc.refresh_linking(services, actor.record)
    probe.begin(services, actor)
    services.events.emit("container", "start", actor.record.id, attributes_of(actor.record))


async def _start_failed(
    services: Services, actor: Actor, error: Exception, *, automatic: bool
) -> SampanError:
    """What could not be started is as it was before, but for the reason; auto-removed, it goes."""
    actor.monitor = None
    failure, exit_code = failures.of_start(error)
    log.info("container %s: %s", actor.record.id[:12], failure)
    record = transitions.start_failed(actor.record, error=str(failure), exit_code=exit_code)
    actor.save_fact(record)
    while actor.pending:
        actor.pending.pop().close()
    if automatic:
        actor.tell_exit()
    if record.host_config.auto_remove:
        await removal.remove(services, actor, volumes=True)
    return failure


def watch(services: Services, actor: Actor, monitor: Monitor) -> None:
    """From now on what the monitor says becomes jobs of the actor."""

    def on_event(message: Message) -> None:
        match message.get("type"):
            case "exit":
                actor.post(lambda: container_exited(services, actor, monitor, exit_of(message)))
            case "exec_exit":
                services.execs.ended(
                    services,
                    str(message["exec_id"]),
                    int(message["exit_code"]),
                    reason=str(message.get("reason") or ""),
                )
            case "detached":
                tell_detached(services, actor.record, message.get("exec_id"))
            case "oom":
                services.events.emit(
                    "container", "oom", actor.record.id, attributes_of(actor.record)
                )

    def on_lost() -> None:
        actor.post(lambda: monitor_lost(services, actor, monitor))

    actor.monitor = monitor
    monitor.on_lost = on_lost
    monitor.on_event = on_event


def tell_detached(services: Services, record: ContainerRecord, exec_id: object) -> None:
    """A client has pressed its detach keys."""
    said = attributes_of(record)
    if exec_id:
        services.events.emit(
            "container", "exec_detach", record.id, {**said, "execID": str(exec_id)}
        )
    else:
        services.events.emit("container", "detach", record.id, said)


def exit_of(message: Message) -> Exit:
    return Exit(
        exit_code=int(message["exit_code"]),
        finished_at=moment_of(message.get("finished_at")),
        oom_killed=bool(message.get("oom_killed")),
        usage=usage_of(message),
        error=str(message.get("error") or ""),
    )


async def container_exited(
    services: Services, actor: Actor, monitor: Monitor | None, end: Exit
) -> None:
    """`monitor` is the one that says so. A late or repeated message does nothing."""
    if monitor is not actor.monitor or not actor.record.state.alive:
        return
    probe.end(actor)
    before = actor.record
    record = transitions.exited(before, end)
    again = transitions.wants_restart(record)
    if again:
        record = transitions.restarting(before, end)
    written = True
    if again or not record.host_config.auto_remove:
        written = actor.save_fact(record)
    else:
        # Its row goes in a moment, and a crash before that is reconciled.
        actor.save(record, durable=False)
    _tell_exit(services, actor, before, end)
    await plugs.release(services, before)
    volumes.tell_of(services, before, "unmount")
    await volumes.release_for(services, before)
    await dismiss(actor)
    if written:  # else exit.json tells the next daemon what the row does not
        shutil.rmtree(services.paths.run(record.id), ignore_errors=True)
    if again:
        schedule_restart(services, actor, ran=end.finished_at - before.started_at)
    elif record.host_config.auto_remove and not actor.kept:
        await removal.remove(services, actor, volumes=True)


def _tell_exit(services: Services, actor: Actor, before: ContainerRecord, end: Exit) -> None:
    services.execs.container_ended(services, before.id)
    ran = max(end.finished_at - before.started_at, 0) // transitions.SECOND
    details = {"exitCode": str(end.exit_code), "execDuration": str(ran)}
    services.events.emit("container", "die", before.id, {**attributes_of(before), **details})
    actor.tell_exit()


async def dismiss(actor: Actor) -> None:
    """The monitor has said everything: let it end."""
    monitor, actor.monitor = actor.monitor, None
    if monitor is None:
        return
    try:
        await monitor.delete()
    except (SampanError, OSError) as error:  # it is gone, which is what was wanted
        log.debug("container %s: its monitor is gone: %s", actor.record.id[:12], error)
    monitor.close()


async def monitor_lost(services: Services, actor: Actor, monitor: Monitor) -> None:
    """EOF without an exit: half a container is never kept. Kill what is left, and record why."""
    if monitor is not actor.monitor or not actor.record.state.alive:
        return
    log.error("container %s: its monitor died", actor.record.id[:12])
    end = await remains.end_of(services, actor.record)
    await container_exited(services, actor, monitor, end)


def schedule_restart(services: Services, actor: Actor, *, ran: int) -> None:
    """`ran`: nanoseconds; who ran long begins again with the first delay."""
    actor.restart_delay = transitions.next_delay(actor.restart_delay, ran)

    def due() -> None:
        actor.restart_timer = None
        actor.post(automatic_start(services, actor, expected=State.RESTARTING))

    loop = asyncio.get_running_loop()
    actor.restart_timer = loop.call_later(actor.restart_delay / 1e9, due)


def automatic_start(
    services: Services, actor: Actor, *, expected: State
) -> Callable[[], Awaitable[None]]:
    """A job that nobody waits for. Nothing happens when the container is in another state by then: stopped."""

    async def begin() -> None:
        if actor.record.state is not expected:
            return
        await _needed(services, actor)
        try:
            await start(services, actor, automatic=True)
        except NotModified:
            pass  # somebody was quicker
        except SampanError as error:
            log.error("container %s: could not be restarted: %s", actor.record.id[:12], error)

    return begin


async def _needed(services: Services, actor: Actor) -> None:
    """Whose network, namespace or name it uses comes first, where that one is started again too: after a reboot."""
    host = actor.record.host_config
    modes = (host.network_mode, host.pid_mode, host.ipc_mode)
    found = [mode.partition(":")[2] for mode in modes if mode.startswith("container:")]
    found += [link.partition(":")[0] for link in host.links or []]
    for ref in found:
        with suppress(SampanError, TimeoutError):  # where it is no more, the start says so
            other = services.containers.actor(ref)
            async with asyncio.timeout(NEEDED_WITHIN):
                await other.running()


async def cancel_restart(actor: Actor) -> None:
    """A container that waits to be restarted is exited from now on."""
    actor.cancel_restart()
    if actor.record.state is State.RESTARTING:
        actor.save_fact(transitions.restart_cancelled(actor.record))
        actor.tell_exit()
