"""`top` and `stats`: what is read, what is refused, and the API's form of it."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.views import stats as view
from sampan.engine import start, stats, top
from sampan.engine.stats import Sample, parse_cpu, parse_network
from sampan.engine.top import Processes, list_processes, parse_output
from sampan.errors import Conflict, InvalidParameter, NotFound, SampanError
from tests.fakes.rooms import Rooms

PS = """UID          PID    PPID CMD
root           1       0 init --x
root          42       1 sleep  10 20
root           -       - thread of it
bin           43      42 other
"""


def test_parse_output() -> None:
    """Only the container's processes, threads with them; the last column keeps its words."""
    assert parse_output(PS, {42}) == Processes(
        ["UID", "PID", "PPID", "CMD"],
        [["root", "42", "1", "sleep 10 20"], ["root", "-", "-", "thread of it"]],
    )
    assert parse_output("PID\n1\n\n", set()).rows == []


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("UID CMD\nroot x\n", "Couldn't find PID field in ps output"),
        ("PID CMD\nx y\n", "Unexpected pid 'x'"),
        ("", "Couldn't find PID field in ps output"),
    ],
)
def test_parse_output_refuses(output: str, text: str) -> None:
    """What is no list of processes is an error with dockerd's words."""
    with pytest.raises(SampanError, match=text):
        parse_output(output, {1})


async def test_top_refuses(rooms: Rooms) -> None:
    """A container that does not run, options that would show others' processes, NUL."""
    record = await rooms.create("web")
    with pytest.raises(Conflict, match=f"Container {record.id} is not running"):
        await list_processes(rooms.services, "web")
    with pytest.raises(NotFound, match="No such container: nosuch"):
        await list_processes(rooms.services, "nosuch")
    with pytest.raises(SampanError, match='specifying "ppid=PID" is not allowed'):
        await list_processes(rooms.services, "web", "-o ppid=PID")
    with pytest.raises(InvalidParameter):
        await list_processes(rooms.services, "web", "-o\0pid")


async def test_top_asks_ps_again_without_the_pids(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `ps` that does not know -q answers for all, and the rest is left out."""
    asked: list[list[str]] = []

    async def run(services: Any, path: str, words: list[str]) -> Any:
        asked.append(words)
        if "-q" in words:
            return top_finished(1, b"", b"unknown option\n")
        return top_finished(0, PS.encode(), b"")

    def top_finished(status: int, output: bytes, errors: bytes) -> Any:
        from sampan.engine.program import Finished

        return Finished(status, output, errors)

    class Group:
        def processes(self) -> list[int]:
            return [42]

    monkeypatch.setattr(top, "run_program", run)
    monkeypatch.setattr(top, "cgroup_of", lambda services, record: Group())
    await rooms.create("web")
    await start.start_container(rooms.services, "web")
    found = await list_processes(rooms.services, "web", "-o pid,args")
    assert [row[1] for row in found.rows] == ["42", "-"]
    assert asked == [["-o", "pid,args", "-q", "42"], ["-o", "pid,args"]]


NET = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    842       9    1    2    0     0          0         0       77       3    4    5    0     0       0          0
"""


def test_parse_network() -> None:
    """Every interface but lo."""
    assert parse_network(NET) == {
        "eth0": {
            **{"rx_bytes": 842, "rx_packets": 9, "rx_errors": 1, "rx_dropped": 2},
            **{"tx_bytes": 77, "tx_packets": 3, "tx_errors": 4, "tx_dropped": 5},
        }
    }


def test_parse_cpu() -> None:
    """The first eight columns in nanoseconds, and the number of CPUs."""
    text = "cpu  1 2 3 4 5 6 7 8 9 9\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\nintr 5\n"
    assert parse_cpu(text) == (360_000_000, 2)


def sample(*, unified: bool) -> Sample:
    return Sample(
        container_id="c" * 64,
        name="web",
        read=1_795_498_700_000_000_000,
        unified=unified,
        cgroup={
            "cpu": {
                **{"usage": 10, "user": 4, "system": 6, "percpu": [] if unified else [7, 3]},
                **{"periods": 1, "throttled_periods": 2, "throttled_time": 3},
            },
            "memory": {
                **{"usage": 100, "max_usage": 200, "limit": -1, "failcnt": 0},
                "stat": {"anon": 1, "cache": 2, "total_inactive_file": 3, "unheard_of": 4},
            },
            "pids": {"current": 5, "limit": 7},
            "blkio": {"io_service_bytes_recursive": [], "io_serviced_recursive": []},
        },
        system=1000,
        cpus=2,
        host_memory=4096,
    )


def test_view_v1_and_v2() -> None:
    """The fields that differ between the two versions of cgroups."""
    before = Sample("c" * 64, "web")
    v1, v2 = (view.stats(before, sample(unified=unified)) for unified in (False, True))
    assert v1["memory_stats"] == {
        **{"usage": 100, "max_usage": 200, "limit": 4096},
        "stats": {"cache": 2, "total_inactive_file": 3},
    }
    assert v2["memory_stats"] == {"usage": 100, "stats": {"anon": 1}, "limit": 4096}
    assert v1["cpu_stats"]["cpu_usage"]["percpu_usage"] == [7, 3]
    assert "percpu_usage" not in v2["cpu_stats"]["cpu_usage"]
    assert v1["blkio_stats"]["io_time_recursive"] == []
    assert v2["blkio_stats"]["io_time_recursive"] is None
    assert v1["pids_stats"] == {"current": 5, "limit": 7}
    assert v1["preread"] == "0001-01-01T00:00:00Z"
    assert "system_cpu_usage" not in v1["precpu_stats"]
    assert "networks" not in v1


async def test_stats_of_what_does_not_run(rooms: Rooms) -> None:
    """Empty at once, in a pair too; nothing after the removal."""
    record = await rooms.create("web")
    sampling = stats.open_sampling(rooms.services, "web")
    before, now = await sampling.pair()
    assert before == now == Sample(record.id, "web")
    stream = sampling.stream(interval=0)
    assert await anext(stream) == (before, now)
    rooms.services.containers.forget(rooms.services.containers.actor("web"))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(NotFound):
        await sampling.now()
