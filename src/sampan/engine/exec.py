"""`docker exec`: processes in a container that runs. They are known in memory only, as in dockerd.

create (an id and a wish) → start (attached: the client's connection goes to the monitor) → inspect
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

import msgspec

from sampan.engine import failures, intent, lookup, transitions
from sampan.engine.actor import Actor, monitor_of
from sampan.engine.attach import check_detach_keys
from sampan.engine.create import attributes_of
from sampan.engine.exec_process import build_exec_process
from sampan.engine.records import ContainerRecord, ExecRecord
from sampan.engine.seccomp import filter_of
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.errors import Conflict, InvalidParameter, NotFound, SampanError
from sampan.monitor import messages
from sampan.wire import detach

log = logging.getLogger(__name__)

KEPT = 128  # finished ones of a container that can still be inspected
NOT_INVOKED = 126  # dockerd's exit code of an exec that did not start, whatever the reason
KILLED = 137


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """The API's ExecConfig."""

    command: tuple[str, ...]
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    tty: bool = False
    user: str = ""
    privileged: bool = False
    env: tuple[str, ...] = ()
    working_dir: str = ""
    detach_keys: str | None = None
    console_size: tuple[int, int] | None = None  # rows, columns


class Execs:
    """Every exec by its id. Unstarted and finished ones are bounded, oldest out first."""

    def __init__(self) -> None:
        self._records: dict[str, ExecRecord] = {}
        self._waiting: dict[str, asyncio.Future[int]] = {}

    def get(self, exec_id: str) -> ExecRecord:
        """By full id, as in dockerd. Raises NotFound."""
        record = self._records.get(exec_id)
        if record is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return record

    def of(self, container_id: str) -> list[ExecRecord]:
        return [record for record in self._records.values() if record.container_id == container_id]

    def put(self, record: ExecRecord) -> None:
        self._records[record.id] = record
        idle = [other for other in self.of(record.container_id) if not other.running]
        for other in idle[:-KEPT]:
            del self._records[other.id]

    def all(self) -> list[ExecRecord]:
        """Oldest first."""
        return list(self._records.values())

    def adopt(
        self, container_id: str, exec_id: str, pid: int, arguments: tuple[str, ...] = ()
    ) -> None:
        """One that an earlier daemon started and that runs: its client will ask how it ended."""
        if exec_id not in self._records:
            self._records[exec_id] = ExecRecord(
                id=exec_id,
                container_id=container_id,
                arguments=arguments,
                started=True,
                running=True,
                pid=pid,
            )

    def change(self, exec_id: str, **changes: object) -> ExecRecord | None:
        record = self._records.get(exec_id)
        if record is not None:
            record = self._records[exec_id] = msgspec.structs.replace(record, **changes)
        return record

    def ended(self, services: Services, exec_id: str, exit_code: int, *, reason: str = "") -> None:
        """What the monitor tells; one that is not known was started by an earlier daemon."""
        record = self._records.get(exec_id)
        if record is None or not record.running:
            return
        self._records[exec_id] = msgspec.structs.replace(
            record, running=False, exit_code=exit_code, pid=0, reason=reason
        )
        waiting = self._waiting.get(exec_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(exit_code)
        try:
            container = services.containers.get(record.container_id)
        except NotFound:
            return
        more = {"reason": reason} if reason else {}
        _tell(services, container, record, "exec_die", exitCode=str(exit_code), **more)

    async def ended_with(self, exec_id: str) -> int:
        """The exit code of one that was started, when it has ended. One waits for it at most."""
        record = self.get(exec_id)
        if not record.running:
            return NOT_INVOKED if record.exit_code is None else record.exit_code
        self._waiting[exec_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[exec_id]
        finally:
            del self._waiting[exec_id]

    def container_ended(self, services: Services, container_id: str) -> None:
        """Its PID namespace took them along."""
        for record in self.of(container_id):
            if record.running:
                self.ended(services, record.id, KILLED)

    def forget(self, container_id: str) -> None:
        for record in self.of(container_id):
            del self._records[record.id]


class ExecSession:
    """An exec that may start. The API answers the upgrade, then calls `connect`."""

    def __init__(self, services: Services, actor: Actor, record: ExecRecord) -> None:
        self._services = services
        self._actor = actor
        self._record = record
        self.multiplexed = not record.tty

    async def connect(self, client: ClientStream) -> None:
        """Start it on `client`, which is taken over. Returns when the process runs or has failed.

        A failure (command not found, …) is written to the client, as dockerd does.
        """
        try:
            await self.start(client)
        except SampanError as error:
            await client.say(str(error), multiplexed=self.multiplexed)
        finally:
            client.close()

    async def start(self, client: ClientStream) -> None:
        """As `connect`, for one of the engine's own, who is told of a failure and closes. Raises SampanError."""
        await _start(self._services, self._actor, self._record, client)


async def create_exec(services: Services, ref: str, request: ExecRequest) -> str:
    """The new exec's id. Raises NotFound, Conflict (not running, paused), InvalidParameter."""
    actor = services.containers.actor(ref)
    transitions.check_exec(actor.record, ref)
    if not request.command:
        raise InvalidParameter("No exec command specified")
    _check(request)
    record = ExecRecord(
        id=os.urandom(32).hex(),
        container_id=actor.record.id,
        arguments=request.command,
        tty=request.tty,
        user=request.user,
        privileged=request.privileged,
        env=request.env,
        working_dir=request.working_dir,
        attach_stdin=request.attach_stdin,
        attach_stdout=request.attach_stdout,
        attach_stderr=request.attach_stderr,
        detach_keys=request.detach_keys or "",
        console_size=request.console_size,
        created=services.clock.now(),
    )
    services.execs.put(record)
    await _announce(actor)
    _tell(services, actor.record, record, f"exec_create: {_command(record)}")
    return record.id


async def _announce(actor: Actor) -> None:
    """Clients create an exec to start it: the monitor gets ready while they ask for that."""
    if actor.monitor is not None:
        try:
            await actor.monitor.expect_exec()
        except (SampanError, OSError):
            pass  # the start will tell


def prepare_exec(
    services: Services,
    exec_id: str,
    *,
    tty: bool = False,
    console_size: tuple[int, int] | None = None,
) -> ExecSession:
    """For an attached start. `tty` is the client's belief; the exec's own decides.

    Raises NotFound, Conflict (it has run, the container does not)."""
    actor, record = _startable(services, exec_id, console_size)
    return ExecSession(services, actor, record)


async def start_exec(
    services: Services,
    exec_id: str,
    *,
    tty: bool = False,
    console_size: tuple[int, int] | None = None,
) -> None:
    """Start detached. Raises NotFound, Conflict, InvalidParameter (the command cannot be run)."""
    actor, record = _startable(services, exec_id, console_size)
    await _start(services, actor, record, None)


def inspect_exec(services: Services, exec_id: str) -> ExecRecord:
    """Raises NotFound ("No such exec instance: …")."""
    return services.execs.get(exec_id)


async def resize_exec(services: Services, exec_id: str, *, height: int, width: int) -> None:
    """Raises NotFound (unknown, or does not run: as in dockerd)."""
    record = services.execs.get(exec_id)
    if not record.running:
        raise NotFound("no such exec")
    actor = services.containers.actor(record.container_id)
    await monitor_of(actor).resize(height, width, exec_id=exec_id)


def _check(request: ExecRequest) -> None:
    check_detach_keys(request.detach_keys, "Invalid escape keys ({}) provided")
    if request.working_dir and not request.working_dir.startswith("/"):
        raise InvalidParameter(f"Cwd must be an absolute path: {request.working_dir}")
    for text in (*request.command, *request.env, request.user, request.working_dir):
        if "\0" in text:
            raise InvalidParameter("invalid exec: a text contains a NUL byte")


def _startable(
    services: Services, exec_id: str, console_size: tuple[int, int] | None
) -> tuple[Actor, ExecRecord]:
    record = services.execs.get(exec_id)
    if record.started:
        raise Conflict(f"Error: Exec command {exec_id} has already run")
    actor = services.containers.actor(record.container_id)
    transitions.check_exec(actor.record, record.container_id)
    if console_size is not None:
        record = msgspec.structs.replace(record, console_size=console_size)
    return actor, record


async def _start(
    services: Services, actor: Actor, record: ExecRecord, client: ClientStream | None
) -> None:
    """Not a job of the actor: an exec changes nothing of the container, and many may run at once."""
    if services.execs.get(record.id).started:  # a second client was quicker
        raise Conflict(f"Error: Exec command {record.id} has already run")
    # Running from now on: its end may be told before its start has been answered.
    services.execs.put(
        msgspec.structs.replace(record, started=True, running=True, started_at=services.clock.now())
    )
    _tell(services, actor.record, record, f"exec_start: {_command(record)}")
    try:
        process, program = await asyncio.to_thread(_process, services, actor, record)
        options = _options(record, process, program, client)
        answer = await monitor_of(actor).exec(options, client.fd if client else None)
    except Exception as error:
        services.execs.change(record.id, running=False, exit_code=NOT_INVOKED)
        raise failures.of_exec(error) from error
    current = services.execs.get(record.id)
    if current.running:
        services.execs.change(record.id, pid=int(answer.get("pid") or 0))


def _process(
    services: Services, actor: Actor, record: ExecRecord
) -> tuple[dict[str, object], bytes | None]:
    """OCI's `process`, and the filter. Blocking. Raises InvalidParameter (no such user)."""
    container = actor.record
    root = lookup.open_process_root(container.pid)
    try:
        group_add = container.host_config.group_add or []
        wanted = record.user or container.config.user
        user = lookup.resolve(services.kernel, root, wanted, group_add)
    finally:
        os.close(root)
    process = build_exec_process(
        container,
        record,
        user,
        held=services.host.capabilities,
        rlimits_held=intent.rlimits_held(services.host.capabilities),
        no_new_privileges=services.config.no_new_privileges,
    )
    return process, filter_of(services, actor)


def _options(
    record: ExecRecord,
    process: dict[str, object],
    program: bytes | None,
    client: ClientStream | None,
) -> messages.ExecOptions:
    attach = None
    if client is not None:
        attach = messages.AttachOptions(
            stdin=record.attach_stdin,
            stdout=record.attach_stdout,
            stderr=record.attach_stderr,
            multiplexed=not record.tty,
            detach_keys=(record.detach_keys or detach.DEFAULT) if record.tty else None,
            prefetched=client.prefetched,
        )
    return messages.ExecOptions(
        exec_id=record.id,
        process=process,
        terminal=record.tty,
        open_stdin=record.attach_stdin,
        console_size=record.console_size,
        attach=attach,
        seccomp=program,
        timeout=record.timeout,
        die_with_client=record.die_with_client and client is not None,
    )


def _command(record: ExecRecord) -> str:
    first, *rest = record.arguments
    return f"{first} {' '.join(rest)}"


def _tell(
    services: Services, container: ContainerRecord, record: ExecRecord, action: str, **more: str
) -> None:
    said = {**attributes_of(container), "execID": record.id, **more}
    services.events.emit("container", action, container.id, said)
