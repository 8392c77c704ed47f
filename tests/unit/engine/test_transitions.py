"""States: the table of what may follow what, what each move changes, restart policies and delays."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from sampan.engine import transitions
from sampan.engine.records import ContainerRecord, Endpoint, State, decode, encode
from sampan.engine.transitions import SECOND, Exit
from sampan.errors import Conflict, SampanError
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig, RestartPolicy


def record(state: State = State.CREATED, **changes: object) -> ContainerRecord:
    made = ContainerRecord(
        id="a" * 64,
        name="web",
        created=1,
        path="sh",
        config=ContainerConfig(),
        host_config=HostConfig(),
        networking=NetworkingConfig(),
        endpoints={"bridge": Endpoint(network_id="n", endpoint_id="e", address="10.0.0.2")},
    )
    return msgspec.structs.replace(made, state=state, **changes)


END = Exit(exit_code=3, finished_at=9, oom_killed=True, error="why")

MOVES: dict[State, Callable[[ContainerRecord], ContainerRecord]] = {
    State.RUNNING: transitions.unpaused,
    State.PAUSED: transitions.paused,
    State.RESTARTING: lambda r: transitions.restarting(r, END),
    State.EXITED: lambda r: transitions.exited(r, END),
    State.REMOVING: transitions.removing,
    State.DEAD: lambda r: transitions.dead(r, "why"),
}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", MOVES)
def test_every_pair_of_states(before: State, after: State) -> None:
    """A move that the table has gives the state, any other is an error and not a wrong record."""
    if after in transitions.NEXT[before]:
        assert MOVES[after](record(before)).state is after
    else:
        with pytest.raises(SampanError, match="cannot become"):
            MOVES[after](record(before))


def test_an_exit_clears_what_was_of_the_run() -> None:
    """Pid and addresses go, the network stays; the exit's facts are kept."""
    ended = transitions.exited(record(State.RUNNING, pid=7), END)
    assert (ended.pid, ended.exit_code, ended.finished_at) == (0, 3, 9)
    assert (ended.oom_killed, ended.error) == (True, "why")
    assert ended.endpoints == {"bridge": Endpoint(network_id="n")}


@pytest.mark.parametrize(("automatic", "count"), [(False, 0), (True, 5)])
def test_a_start_begins_anew(automatic: bool, count: int) -> None:
    """Exit code, error, flags of the last run are gone; only policies count."""
    before = record(
        State.EXITED,
        exit_code=1,
        error="x",
        oom_killed=True,
        manually_stopped=True,
        restart_count=4,
    )
    after = transitions.started(
        before, pid=7, started_at=5, boot_id="b", endpoints={}, ports=(), automatic=automatic
    )
    assert (after.exit_code, after.error, after.oom_killed) == (0, "", False)
    assert (after.manually_stopped, after.restart_count) == (False, count)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.CREATED, State.CREATED),
        (State.EXITED, State.EXITED),
        (State.RESTARTING, State.EXITED),
    ],
)
def test_a_failed_start(before: State, after: State) -> None:
    """`created` stays so."""
    failed = transitions.start_failed(record(before), error="why", exit_code=127)
    assert (failed.state, failed.error, failed.exit_code) == (after, "why", 127)


@pytest.mark.parametrize(
    ("policy", "count", "code", "by_hand", "restarts", "expected", "at_boot"),
    [
        ("no", 0, 1, False, 0, False, False),
        ("", 0, 1, False, 0, False, False),
        ("always", 0, 0, False, 9, True, True),
        ("always", 0, 0, True, 0, False, True),
        ("unless-stopped", 0, 0, False, 0, True, True),
        ("unless-stopped", 0, 0, True, 0, False, False),
        ("on-failure", 0, 0, False, 0, False, False),
        ("on-failure", 0, 1, False, 99, True, True),
        ("on-failure", 0, 1, True, 0, False, False),
        ("on-failure", 3, 1, False, 2, True, True),
        ("on-failure", 3, 1, False, 3, False, False),
    ],
)
def test_policies(
    policy: str,
    count: int,
    code: int,
    by_hand: bool,
    restarts: int,
    expected: bool,
    at_boot: bool,
) -> None:
    """After an exit, and when the daemon comes up."""
    host = HostConfig(restart_policy=RestartPolicy(name=policy, maximum_retry_count=count))
    ended = record(
        State.EXITED,
        host_config=host,
        exit_code=code,
        manually_stopped=by_hand,
        restart_count=restarts,
    )
    assert transitions.wants_restart(ended) is expected
    assert transitions.wants_restart(ended, at_boot=True) is at_boot


def test_delays() -> None:
    """100 ms, doubled up to a minute; ten seconds of life begin anew."""
    delays = [0]
    for _ in range(12):
        delays.append(transitions.next_delay(delays[-1], SECOND))
    assert [delay / SECOND for delay in delays[1:]] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60,
    ]  # fmt: skip
    assert transitions.next_delay(60 * SECOND, 10 * SECOND) == SECOND // 10


@pytest.mark.parametrize(
    ("check", "state", "text"),
    [
        (transitions.check_running, State.EXITED, f"Container {'a' * 64} is not running"),
        (transitions.check_pause, State.PAUSED, f"Container {'a' * 64} is already paused"),
        (transitions.check_pause, State.RESTARTING, f"Container {'a' * 64} is restarting, wait until the container is running"),
        (transitions.check_unpause, State.RUNNING, f"Container {'a' * 64} is not paused"),
        (lambda r: transitions.check_exec(r, "web"), State.PAUSED, "Container web is paused, unpause the container before exec"),
        (lambda r: transitions.check_attach(r, "web"), State.RESTARTING, "container web is restarting, wait until the container is running"),
        (lambda r: transitions.check_remove(r, force=True), State.REMOVING, "removal of container web is already in progress"),
    ],
)  # fmt: skip
def test_words(check: Callable[[ContainerRecord], None], state: State, text: str) -> None:
    """409, as dockerd says it."""
    with pytest.raises(Conflict) as caught:
        check(record(state))
    assert str(caught.value) == text


def test_a_record_survives_the_database() -> None:
    """What is written is what is read, and a row of a future version with more in it can be read."""
    made = record(State.RUNNING, mounts=(), restart_count=2)
    assert decode(encode(made)) == made
    body = msgspec.json.decode(encode(made))
    body["added_later"] = {"x": 1}
    assert decode(msgspec.json.encode(body)) == made
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"id": 5}')
