"""The states of a container and how one follows from another. Pure: a record in, a record or an error out.

    created ─start─▶ running ◀─pause/unpause─▶ paused
       ▲                │ exit
       │ failed start   ├──────────▶ exited ──start──▶ running
       └────────────────┤
                        └─policy──▶ restarting ──▶ running | exited (stopped meanwhile)
    created, exited, dead ─remove─▶ removing ──▶ (gone) | dead

Texts are Docker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sampan.engine import health
from sampan.engine.records import ContainerRecord, Endpoint, PublishedPort, State, Usage
from sampan.errors import Conflict, NotModified, SampanError
from sampan.spec.container import RestartPolicy

SECOND = 1_000_000_000
FIRST_DELAY = SECOND // 10
LONGEST_DELAY = 60 * SECOND
STEADY = 10 * SECOND  # who ran this long starts again with the first delay

NEXT: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.CREATED, State.RUNNING, State.EXITED, State.REMOVING}),
    State.RUNNING: frozenset({State.PAUSED, State.EXITED, State.RESTARTING}),
    State.PAUSED: frozenset({State.RUNNING, State.EXITED, State.RESTARTING}),
    State.RESTARTING: frozenset({State.RUNNING, State.EXITED}),
    State.EXITED: frozenset({State.RUNNING, State.EXITED, State.REMOVING, State.RESTARTING}),
    State.REMOVING: frozenset({State.DEAD, State.REMOVING}),
    State.DEAD: frozenset({State.REMOVING}),
}


@dataclass(frozen=True, slots=True)
class Exit:
    """How the first process ended."""

    exit_code: int
    finished_at: int
    oom_killed: bool = False
    error: str = ""
    usage: Usage | None = None


def _move(record: ContainerRecord, state: State, **changes: object) -> ContainerRecord:
    if state not in NEXT[record.state]:
        raise SampanError(f"container {record.id} cannot become {state} while it is {record.state}")
    return msgspec.structs.replace(record, state=state, **changes)


# -- what may be asked for ---------------------------------------------------------------------


def check_start(record: ContainerRecord) -> None:
    """Raises NotModified, Conflict."""
    if record.state is State.RUNNING:
        raise NotModified("")
    if record.state is State.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    if record.state in (State.REMOVING, State.DEAD):
        raise Conflict("container is marked for removal and cannot be started")


def check_running(record: ContainerRecord) -> None:
    """Raises Conflict unless a process is there."""
    if not record.state.alive:
        raise Conflict(f"Container {record.id} is not running")


def check_pause(record: ContainerRecord) -> None:
    if record.state is State.PAUSED:
        raise Conflict(f"Container {record.id} is already paused")
    if record.state is State.RESTARTING:
        raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
    check_running(record)


def check_unpause(record: ContainerRecord) -> None:
    if record.state is not State.PAUSED:
        # dockerd answers 500 here; it is the same kind of failure as pause's, whose clients get 409
        raise Conflict(f"Container {record.id} is not paused")


def check_top(record: ContainerRecord) -> None:
    if record.state is State.RESTARTING:
        raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
    check_running(record)


def check_exec(record: ContainerRecord, ref: str) -> None:
    if record.state is State.PAUSED:
        raise Conflict(f"Container {ref} is paused, unpause the container before exec")
    if record.state is State.RESTARTING:
        raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
    check_running(record)


def check_attach(record: ContainerRecord, ref: str) -> None:
    if record.state is State.PAUSED:
        raise Conflict(f"container {ref} is paused, unpause the container before attach")
    if record.state is State.RESTARTING:
        raise Conflict(f"container {ref} is restarting, wait until the container is running")


def check_remove(record: ContainerRecord, *, force: bool) -> None:
    if record.state is State.REMOVING:
        raise Conflict(f"removal of container {record.name} is already in progress")
    if force:
        return
    reason = {
        State.RUNNING: "container is running: stop the container before removing or force remove",
        State.PAUSED: "container is paused and must be unpaused first",
        State.RESTARTING: (
            "container is restarting: stop the container before removing or force remove"
        ),
    }.get(record.state)
    if reason:
        raise Conflict(f'cannot remove container "/{record.name}": {reason}')


# -- what happened -------------------------------------------------------------------------------


def started(
    record: ContainerRecord,
    *,
    pid: int,
    started_at: int,
    boot_id: str,
    endpoints: dict[str, Endpoint],
    ports: tuple[PublishedPort, ...],
    automatic: bool,
) -> ContainerRecord:
    """`automatic`: by its restart policy, which counts."""
    return _move(
        record,
        State.RUNNING,
        pid=pid,
        started_at=started_at,
        boot_id=boot_id,
        endpoints=endpoints,
        ports=ports,
        unsettled=False,
        exit_code=0,
        error="",
        oom_killed=False,
        manually_stopped=False,
        usage=None,
        health=health.begun(record),
        restart_count=record.restart_count + 1 if automatic else 0,
    )


def start_failed(record: ContainerRecord, *, error: str, exit_code: int) -> ContainerRecord:
    """`created` stays so; what ran once, or was to be restarted, is exited."""
    state = State.CREATED if record.state is State.CREATED else State.EXITED
    return _move(
        record,
        state,
        pid=0,
        error=error,
        exit_code=exit_code,
        endpoints=_unplugged(record),
        ports=(),
    )


def exited(record: ContainerRecord, end: Exit) -> ContainerRecord:
    return _move(record, State.EXITED, **_end(record, end))


def restarting(record: ContainerRecord, end: Exit) -> ContainerRecord:
    return _move(record, State.RESTARTING, **_end(record, end))


def restart_cancelled(record: ContainerRecord) -> ContainerRecord:
    return _move(record, State.EXITED, manually_stopped=True)


def restart_forgotten(record: ContainerRecord) -> ContainerRecord:
    """The daemon went away while a restart was due; what follows is its next start's to decide."""
    return _move(record, State.EXITED)


def stopped_by_hand(record: ContainerRecord) -> ContainerRecord:
    """Somebody has asked for its end: no policy brings it back."""
    return msgspec.structs.replace(record, manually_stopped=True)


def _end(record: ContainerRecord, end: Exit) -> dict[str, object]:
    return {
        "pid": 0,
        "exit_code": end.exit_code,
        "finished_at": end.finished_at,
        "oom_killed": end.oom_killed,
        "error": end.error,
        "usage": end.usage,
        "endpoints": _unplugged(record),
        "health": health.unwatched(record),
        "ports": (),
    }


def _unplugged(record: ContainerRecord) -> dict[str, Endpoint]:
    """The networks stay, the addresses were given back."""
    return {
        name: Endpoint(network_id=endpoint.network_id)
        for name, endpoint in record.endpoints.items()
    }


def paused(record: ContainerRecord) -> ContainerRecord:
    return _move(record, State.PAUSED, health=health.unwatched(record))


def unpaused(record: ContainerRecord) -> ContainerRecord:
    return _move(record, State.RUNNING)


def removing(record: ContainerRecord) -> ContainerRecord:
    return _move(record, State.REMOVING)


def dead(record: ContainerRecord, error: str) -> ContainerRecord:
    return _move(record, State.DEAD, error=error)


# -- restart policies ----------------------------------------------------------------------------


def wants_restart(record: ContainerRecord, *, at_boot: bool = False) -> bool:
    """Whether the policy starts an exited container again.

    `at_boot`: the daemon has just come up, where `always` starts also what was stopped by hand.
    """
    policy = record.host_config.restart_policy or RestartPolicy()
    match policy.name:
        case "always":
            return at_boot or not record.manually_stopped
        case "unless-stopped":
            return not record.manually_stopped
        case "on-failure":
            limit = policy.maximum_retry_count
            left = limit == 0 or record.restart_count < limit
            return record.exit_code != 0 and left and not record.manually_stopped
    return False


def next_delay(previous: int, ran: int) -> int:
    """Nanoseconds to wait before the next automatic start, after one that waited `previous` and ran `ran`."""
    if previous == 0 or ran >= STEADY:
        return FIRST_DELAY
    return min(previous * 2, LONGEST_DELAY)
