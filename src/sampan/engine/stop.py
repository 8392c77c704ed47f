"""`docker stop`: the stop signal, some time, SIGKILL.

A PID 1 that has no handler for the signal never sees it: the kernel drops signals with the default action for
the first process of a PID namespace (pid_namespaces(7)). dockerd waits the whole grace period for nothing then;
here it is looked at, and the container is killed at once, unless the label `sampan.full-stop-grace` or the daemon's
option `--full-stop-grace` asks for dockerd's way.
"""

from __future__ import annotations

import asyncio
import signal as signals_

from sampan.engine import signals
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.ending import end_for_good
from sampan.engine.kill import kill_and_wait, send
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.engine.wait import Waiter
from sampan.errors import Conflict, NotModified, SampanError

GRACE = 10  # seconds
FULL_GRACE = "sampan.full-stop-grace"


async def stop_container(
    services: Services, ref: str, *, signal: str = "", grace: int | None = None
) -> None:
    """`grace` in seconds, -1 for ever, None the container's own (or 10).

    Raises NotFound, NotModified (it does not run), InvalidParameter (signal).
    """
    actor = services.containers.actor(ref)
    number = signals.parse(signal) if signal else 0
    if not await stop(services, actor, number=number, grace=grace):
        raise NotModified("")
    services.events.emit("container", "stop", actor.record.id, attributes_of(actor.record))


async def stop(
    services: Services, actor: Actor, *, number: int = 0, grace: int | None = None
) -> bool:
    """False when there was nothing to stop. Returns when the exit is written down and the network is free."""

    async def end() -> None:
        record = actor.record
        try:
            await _stop(services, actor, number or stop_signal(record), grace_of(record, grace))
        except Conflict:
            raise  # it ended by itself meanwhile
        except SampanError as error:
            raise SampanError(f"cannot stop container: {record.id}: {error}") from error

    return await end_for_good(actor, end)


async def _stop(services: Services, actor: Actor, number: int, grace: float) -> None:
    waiter = Waiter(actor)
    details: dict[str, str] = {}
    try:
        if number != signals_.SIGKILL:
            in_vain = not waits_in_any_case(services, actor.record) and is_dropped(
                _status(actor.record.pid), number
            )
            await send(services, actor, number)
            if in_vain:
                details = {"reason": f"PID 1 has no handler for signal {number}"}
            else:
                try:
                    async with asyncio.timeout(grace if grace >= 0 else None):
                        await waiter.result()
                        return
                except TimeoutError:
                    pass
        await kill_and_wait(services, actor, details)
    finally:
        waiter.close()


def waits_in_any_case(services: Services, record: ContainerRecord) -> bool:
    """By the daemon's option, or by a label that the container's maker has set: an image's does not count."""
    if services.config.full_stop_grace:
        return True
    if record.labels.get(FULL_GRACE, "").lower() not in ("1", "true", "yes"):
        return False
    image = services.store.images.get(record.image_id) if record.image_id else None
    config = image.config.config if image is not None else None
    return config is None or FULL_GRACE not in (config.labels or {})


def stop_signal(record: ContainerRecord) -> int:
    return signals.parse(record.config.stop_signal or "TERM")


def grace_of(record: ContainerRecord, asked: int | None) -> int:
    if asked is not None:
        return asked
    configured = record.config.stop_timeout
    return GRACE if configured is None else configured


def _status(pid: int) -> str:
    """/proc/PID/status; empty when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_dropped(status: str, number: int) -> bool:
    """Whether the kernel drops the signal for this process, whose /proc/PID/status is given (proc_pid_status(5)).

    Only for the first process of a PID namespace below ours, untraced, that neither handles nor blocks it
    (a blocked signal may be waited for by sigwait or signalfd).
    """
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    pids = fields.get("NSpid", "").split()
    if len(pids) < 2 or pids[-1] != "1" or fields.get("TracerPid", "").strip() != "0":
        return False
    bit = 1 << (number - 1)
    masks = (int(fields.get(name, "f" * 16).strip(), 16) for name in ("SigCgt", "SigBlk"))
    return not any(mask & bit for mask in masks)
