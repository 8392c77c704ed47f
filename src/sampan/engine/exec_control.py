"""Exec'd processes as things of their own: listed, limited, killed with all they have started. sampan's extension."""

from __future__ import annotations

import errno
import signal as signals_

from sampan.engine import signals
from sampan.engine.actor import monitor_of
from sampan.engine.records import ExecRecord
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.monitor.client import RequestFailed

LONGEST = 366 * 86400.0  # seconds


def find_exec(services: Services, ref: str) -> ExecRecord:
    """By id or unique prefix. Raises NotFound, InvalidParameter."""
    found = [record for record in services.execs.all() if ref and record.id.startswith(ref)]
    exact = [record for record in found if record.id == ref]
    if len(found) > 1 and not exact:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {ref}")
    if not found:
        raise NotFound(f"No such exec instance: {ref}")
    return (exact or found)[0]


def list_execs(
    services: Services, *, container: str = "", everything: bool = False
) -> list[ExecRecord]:
    """Oldest first; `everything`: those too that have not begun or have ended. Raises NotFound."""
    wanted = services.containers.get(container).id if container else ""
    return [
        record
        for record in services.execs.all()
        if (everything or record.running) and wanted in ("", record.container_id)
    ]


def limit_exec(
    services: Services, ref: str, *, timeout: float = 0, die_with_client: bool = False
) -> None:
    """Before its start: how many seconds it has, and whether it dies with its client.

    Raises NotFound, InvalidParameter, Conflict (it has begun)."""
    if not 0 <= timeout <= LONGEST:
        raise InvalidParameter(
            f"invalid timeout: {timeout}: it has to be 0 to {LONGEST:.0f} seconds"
        )
    record = find_exec(services, ref)
    if record.started:
        raise Conflict(f"Error: Exec command {record.id} has already run")
    services.execs.change(record.id, timeout=timeout, die_with_client=die_with_client)


async def kill_exec(services: Services, ref: str, *, signal: str = "") -> None:
    """SIGKILL, which is the default, reaches whatever it has started too; other signals it alone.

    Raises NotFound, InvalidParameter (signal), Conflict (it does not run)."""
    number = signals.parse(signal) if signal else int(signals_.SIGKILL)
    if number > signals.HIGHEST:
        raise InvalidParameter(f"The linux daemon does not support signal {number}")
    record = find_exec(services, ref)
    if not record.running:
        raise Conflict(f"exec {record.id} is not running")
    actor = services.containers.actor(record.container_id)
    try:
        everything = number == signals_.SIGKILL
        await monitor_of(actor).kill(number, exec_id=record.id, all=everything)
    except RequestFailed as error:
        if error.errno == errno.ESRCH:
            raise Conflict(f"exec {record.id} is not running") from None
        raise
