"""Asking a running container how it is, again and again: an exec a check, its answer a job of the actor.

begin ─▶ (timer) ─▶ check ─▶ judge ─▶ (timer) …      end: the timer, or the check under way, is given up
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from functools import partial

from sampan.engine import health
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.exec import ExecRequest, create_exec, prepare_exec
from sampan.engine.records import HealthResult, State
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.errors import SampanError
from sampan.wire import stdcopy

log = logging.getLogger(__name__)

_READ = 16 * 1024
_PATIENCE = 10.0  # seconds for the end of a check that was killed to be told


class Probe:
    """The checks of one container while it runs."""

    def __init__(self, services: Services, actor: Actor) -> None:
        self._services = services
        self._actor = actor
        self._command = health.command_of(actor.record.config)
        self._task = asyncio.create_task(self._run(), name=f"health of {actor.record.id[:12]}")

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            record = self._actor.record
            await asyncio.sleep(health.delay(record, self._services.clock.now()) / 1e9)
            result = await self._check()
            await self._actor.do(partial(self._judge, result))

    async def _judge(self, result: HealthResult) -> None:
        actor = self._actor
        if actor.probe is not self or actor.record.state is not State.RUNNING:
            return
        before = actor.record.health
        record = health.judge(actor.record, result)
        assert record.health is not None
        if before is not None and before.status == record.health.status:
            actor.save(record, durable=False)
            return
        actor.save_fact(record)
        self._services.events.emit(
            "container", f"health_status: {record.health.status}", record.id, attributes_of(record)
        )

    async def _check(self) -> HealthResult:
        now = self._services.clock.now
        start = now()
        try:
            code, output = await self._ask()
        except (SampanError, OSError) as error:
            code, output = health.FAILED, str(error)
        return HealthResult(start=start, end=now(), exit_code=code, output=output)

    async def _ask(self) -> tuple[int, str]:
        services = self._services
        request = ExecRequest(self._command, attach_stdout=True, attach_stderr=True)
        exec_id = await create_exec(services, self._actor.record.id, request)
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            session = prepare_exec(services, exec_id)
            client = ClientStream(theirs.detach())
            try:
                await session.start(client)
            finally:
                client.close()
            output = bytearray()
            limit = health.timeout(self._actor.record)
            try:
                async with asyncio.timeout(limit / 1e9):
                    await _gather(ours, output)
                    return await services.execs.ended_with(exec_id), health.shown(bytes(output))
            except TimeoutError:
                await self._kill(exec_id)
                return health.FAILED, health.timed_out(limit, health.shown(bytes(output)))
            except asyncio.CancelledError:
                await self._kill(exec_id)
                raise

    async def _kill(self, exec_id: str) -> None:
        """Nobody waits for this check any more."""
        monitor = self._actor.monitor
        if monitor is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await monitor.kill(signal.SIGKILL, exec_id=exec_id)
        except (SampanError, OSError, TimeoutError) as error:
            log.debug("health check %s: %s", exec_id[:12], error)


async def _gather(ours: socket.socket, output: bytearray) -> None:
    """All that the check says, as much of it as is kept."""
    loop = asyncio.get_running_loop()
    decoder = stdcopy.Decoder()
    while piece := await loop.sock_recv(ours, _READ):
        for _, payload in decoder.feed(piece):
            output += payload[: health.OUTPUT_LIMIT + 1 - len(output)]


def begin(services: Services, actor: Actor) -> None:
    """It runs: ask it from now on, if it has a check."""
    end(actor)
    if actor.record.health is not None:
        actor.probe = Probe(services, actor)


def end(actor: Actor) -> None:
    probe, actor.probe = actor.probe, None
    if probe is not None:
        probe.close()
