"""The spawner: real forks of small roles, answers in order, and a new one when one has died."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.linux.channel import Channel
from sampan.monitor import spawner as module
from sampan.monitor.client import Spawner, SpawnerDied, SpawnFailed
from sampan.monitor.spawner import SpawnerProcess, launch, launch_anew

DEADLINE = 20.0


def tell(args: dict[str, Any], fds: list[int]) -> None:
    """What a role sees of itself, on its channel."""
    numbers = [fd for fd in range(3, 200) if Path(f"/proc/self/fd/{fd}").exists()]
    threads = len(os.listdir("/proc/self/task"))
    answer = {"args": args, "pid": os.getpid(), "parent": os.getppid(), "open": len(numbers)}
    Channel.adopt(fds[0]).send({**answer, "fds": len(fds), "threads": threads})


def wait(_args: dict[str, Any], fds: list[int]) -> None:
    """Until the daemon's end is closed."""
    Channel.adopt(fds[0]).receive()


def crash(_args: dict[str, Any], _fds: list[int]) -> None:
    raise ValueError("on purpose")


class Warm:
    """A role that is an object."""

    def __init__(self) -> None:
        self.warmed_in = 0

    def warm(self) -> None:
        self.warmed_in = os.getpid()

    def __call__(self, _args: dict[str, Any], fds: list[int]) -> None:
        Channel.adopt(fds[0]).send({"warm": self.warmed_in == os.getppid()})


ROLES: dict[str, module.Role] = {"tell": tell, "wait": wait, "crash": crash, "warm": Warm()}


@pytest.fixture
async def process() -> AsyncIterator[SpawnerProcess]:
    made = launch(ROLES)
    yield made
    made.close()


@pytest.fixture
async def spawner(process: SpawnerProcess) -> AsyncIterator[Spawner]:
    made = Spawner(process)
    yield made
    made.close()


async def ended(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(pidfd, done.set)
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    loop.remove_reader(pidfd)
    os.close(pidfd)


async def ask(spawner: Spawner, role: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run a role that answers once."""
    ours, theirs = Channel.pair()
    try:
        spawned = await spawner.spawn(role, args or {}, [theirs.fileno()])
        theirs.close()
        received = await asyncio.to_thread(ours.receive)
    finally:
        theirs.close()
        ours.close()
    await ended(spawned.pidfd)
    assert received is not None
    return received[0]


async def parent_of_roles(spawner: Spawner) -> int:
    while True:
        try:
            return int((await ask(spawner, "tell"))["parent"])
        except SpawnerDied:
            pass  # the request met one that was dead already, before its end was seen


async def test_a_role_runs_with_its_arguments_and_descriptors_only(spawner: Spawner) -> None:
    """One thread, nothing of the daemon's open, not even lone surrogates are lost."""
    null = os.open("/dev/null", os.O_RDONLY)
    ours, theirs = Channel.pair()
    args = {"text": "a\udcff", "n": [1, {"x": None}]}
    spawned = await spawner.spawn("tell", args, [theirs.fileno(), null])
    theirs.close()
    os.close(null)
    received = await asyncio.to_thread(ours.receive)
    ours.close()
    assert received is not None
    message = received[0]
    assert message["args"] == args
    assert message["pid"] == spawned.pid
    assert (message["fds"], message["open"], message["threads"]) == (2, 2, 1)
    await ended(spawned.pidfd)


async def test_an_object_is_warmed_where_it_is_forked_from(spawner: Spawner) -> None:
    """Once in every spawner, before it serves."""
    assert (await ask(spawner, "warm"))["warm"] is True


async def test_a_crash_is_the_childs_own(capfd: pytest.CaptureFixture[str]) -> None:
    """It says where on stderr; the spawner goes on, and has no zombies."""
    spawner = Spawner(launch(ROLES))
    ours, theirs = Channel.pair()
    spawned = await spawner.spawn("crash", {}, [theirs.fileno()])
    theirs.close()
    assert await asyncio.to_thread(ours.receive) is None
    ours.close()
    await ended(spawned.pidfd)
    printed = capfd.readouterr().err
    assert "ValueError: on purpose" in printed
    assert "in crash" in printed
    parent = await parent_of_roles(spawner)
    end = asyncio.get_running_loop().time() + DEADLINE
    while zombies_of(parent):
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)
    spawner.close()


def zombies_of(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in text if " Z " in Path(f"/proc/{each}/stat").read_text()]


async def test_unknown_roles_are_refused(spawner: Spawner) -> None:
    """The text names the known ones; the next request is served."""
    ours, theirs = Channel.pair()
    with pytest.raises(SpawnFailed, match="expected one of the roles crash, spawner, tell, wait"):
        await spawner.spawn("bogus", {}, [theirs.fileno()])
    with pytest.raises(SpawnFailed, match="with a channel"):
        await spawner.spawn("tell", {}, [])
    ours.close()
    theirs.close()
    assert await parent_of_roles(spawner) > 0


async def test_many_requests_at_once_get_their_own_answers(spawner: Spawner) -> None:
    """In order, each with its pid."""
    answers = await asyncio.gather(*(ask(spawner, "tell", {"n": n}) for n in range(50)))
    assert [answer["args"]["n"] for answer in answers] == list(range(50))
    assert len({answer["pid"] for answer in answers}) == 50


async def test_a_spawner_that_dies_is_replaced_and_children_live(spawner: Spawner) -> None:
    """Again and again: the keeper takes over and makes another keeper."""
    ours, theirs = Channel.pair()
    child = await spawner.spawn("wait", {}, [theirs.fileno()])
    theirs.close()
    seen = set()
    for _ in range(4):
        parent = await parent_of_roles(spawner)
        assert parent not in seen
        seen.add(parent)
        pidfd = os.pidfd_open(parent)
        os.kill(parent, signal.SIGKILL)
        await ended(pidfd)
    os.kill(child.pid, 0)
    ours.close()
    await ended(child.pidfd)


async def test_requests_in_flight_fail_with_a_reason(spawner: Spawner) -> None:
    """Whether they were done is not known; they are not repeated, and the next one is served."""
    parent = await parent_of_roles(spawner)
    os.kill(parent, signal.SIGSTOP)
    pairs = [Channel.pair() for _ in range(3)]
    requests = [
        asyncio.ensure_future(spawner.spawn("tell", {}, [theirs.fileno()])) for _, theirs in pairs
    ]
    await asyncio.sleep(0)
    os.kill(parent, signal.SIGKILL)
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [SpawnerDied] * 3
    for pair in pairs:
        for channel in pair:
            channel.close()
    assert await parent_of_roles(spawner) != parent


async def test_both_end_with_the_daemon_and_children_go_on(process: SpawnerProcess) -> None:
    """EOF on their channels."""
    spawner = Spawner(process)
    ours, theirs = Channel.pair()
    child = await spawner.spawn("wait", {}, [theirs.fileno()])
    theirs.close()
    pidfd = os.pidfd_open(await parent_of_roles(spawner))
    spawner.close()
    await ended(pidfd)
    os.kill(child.pid, 0)
    ours.close()
    await ended(child.pidfd)
    with pytest.raises(SpawnerDied):
        await spawner.spawn("tell", {}, [0])


async def test_when_both_are_dead_new_ones_are_launched(tmp_path: Path) -> None:
    """By a fresh program that serves at a descriptor."""
    process = launch(ROLES)
    program = tmp_path / "keeper.py"
    program.write_text(
        f"import sys\nsys.path[:0] = {sys.path!r}\n"
        "from sampan.monitor.spawner import take_over\n"
        "from tests.unit.monitor.test_spawner import ROLES\n"
        "take_over(int(sys.argv[1]), ROLES)\n"
    )
    spawner = Spawner(process, anew=lambda: launch_anew([sys.executable, str(program)]))
    worker = await parent_of_roles(spawner)
    keeper = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (keeper, worker):
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        await ended(pidfd)
    parent = await parent_of_roles(spawner)
    assert parent not in (keeper, worker)
    spawner.close()
