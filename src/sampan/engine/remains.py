"""What a container without a monitor leaves behind: processes and a cgroup. Found, killed, and told how it ended."""

from __future__ import annotations

import asyncio
import logging
import time

from sampan.engine import intent
from sampan.engine.launch import moment_of
from sampan.engine.records import ContainerRecord, usage_of
from sampan.engine.services import Services
from sampan.engine.transitions import Exit
from sampan.linux.cgroup import Cgroup
from sampan.monitor.records import as_message, read_exit_record, read_monitor_record

log = logging.getLogger(__name__)

KILLED = 137
REBOOTED = 255
LOST = "the monitor of this container died, and so the container was killed"
DEADLINE = 10.0  # seconds for killed processes to go


async def end_of(services: Services, record: ContainerRecord) -> Exit:
    """Its exit, from its record where its monitor could still write one; nothing of it runs afterwards."""
    folder = services.paths.run(record.id)
    written = read_exit_record(folder)
    monitor = read_monitor_record(folder)
    path = monitor.cgroup if monitor and monitor.cgroup else intent.cgroup_path(services, record)
    await asyncio.to_thread(kill, services, path)
    if written is not None:
        return Exit(
            exit_code=written.exit_code,
            finished_at=moment_of(written.finished_at) or services.clock.now(),
            oom_killed=written.oom_killed,
            error=written.error,
            usage=usage_of(as_message(written)),
        )
    return Exit(exit_code=KILLED, finished_at=services.clock.now(), error=LOST)


def kill(services: Services, path: str) -> None:
    """Blocking. Everything in the cgroup, and then the cgroup. Nothing there is no error."""
    try:
        cgroup = Cgroup(path, services.host.hierarchies)
        if not cgroup.exists():
            return
        end = time.monotonic() + DEADLINE
        while cgroup.processes() and time.monotonic() < end:
            cgroup.thaw()  # a frozen process of cgroup v1 does not die
            cgroup.kill()
            time.sleep(0.005)
        cgroup.remove()
    except (OSError, ValueError) as error:
        log.error("cannot clean up the cgroup %s: %s", path, error)
