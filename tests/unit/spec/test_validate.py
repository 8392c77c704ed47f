"""Limits are refused in Docker's words, or left out with Docker's warning where the host lacks them."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.container import HostConfig, ThrottleDevice, Ulimit, WeightDevice
from sampan.spec.resources import build_limits, parse_device_rule
from sampan.spec.validate import check_resources, parse_set

ALL = frozenset(
    [
        "MemoryLimit",
        "SwapLimit",
        "MemoryReservation",
        "MemorySwappiness",
        "OomKillDisable",
        "PidsLimit",
        "CPUShares",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "CPUSet",
        "BlkioWeight",
        "BlkioWeightDevice",
        "BlkioReadBps",
        "BlkioWriteBps",
        "BlkioReadIOps",
        "BlkioWriteIOps",
    ]
)
MEBI = 1 << 20


def check(
    features: frozenset[str] = ALL, update: bool = False, **limits: Any
) -> tuple[HostConfig, list[str]]:
    return check_resources(
        HostConfig(**limits), features=features, cpus="0-1", mems="0", update=update
    )


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"cpu_realtime_period": 1000}, "Your kernel does not support CPU real-time scheduler"),
        ({"cpu_realtime_runtime": 1000}, "Your kernel does not support CPU real-time scheduler"),
        ({"memory": MEBI}, "Minimum memory limit allowed is 6MB"),
        ({"memory": -1}, "Minimum memory limit allowed is 6MB"),
        (
            {"memory_swap": 100 * MEBI},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            {"memory": 100 * MEBI, "memory_swap": 50 * MEBI},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory": 100 * MEBI, "memory_reservation": 200 * MEBI},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"memory_reservation": MEBI}, "Minimum memory reservation allowed is 6MB"),
        ({"memory_swappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        (
            {"nano_cpus": 5 * 10**9},
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            {"nano_cpus": -1},
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            {"nano_cpus": 10**9, "cpu_quota": 1000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"nano_cpus": 10**9, "cpu_period": 1000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"cpu_period": 10},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"cpu_quota": 10}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpu_shares": -1}, "shares: invalid argument"),
        ({"cpuset_cpus": "9"}, "Requested CPUs are not available - requested 9, available: 0-1"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
        ({"cpuset_cpus": "1-0"}, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"),
        (
            {"cpuset_cpus": "0-99999999"},
            "Invalid value 0-99999999 for cpuset cpus: value of out range, maximum is 8192",
        ),
        (
            {"cpuset_mems": "1"},
            "Requested memory nodes are not available - requested 1, available: 0",
        ),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"ulimits": [Ulimit(name="foo", soft=1, hard=1)]}, "invalid ulimit type: foo"),
        (
            {"ulimits": [Ulimit(name="nofile", soft=200, hard=100)]},
            "ulimit soft limit must be less than or equal to hard limit: 200 > 100",
        ),
        (
            {"ulimits": [Ulimit(name="core", soft=-1, hard=100)]},
            "ulimit soft limit must be less than or equal to hard limit: -1 > 100",
        ),
    ],
)
def test_refused(limits: dict[str, Any], text: str) -> None:
    """Each check, in the words that dockerd 20.10 answers."""
    with pytest.raises(InvalidParameter) as error:
        check(**limits)
    assert str(error.value) == text


def test_realtime() -> None:
    """Where the kernel has it: at most the whole period."""
    features = ALL | {"CpuRealtime"}
    check(features, cpu_realtime_period=1000, cpu_realtime_runtime=1000)
    with pytest.raises(InvalidParameter) as caught:
        check(features, cpu_realtime_period=1000, cpu_realtime_runtime=1001)
    text = "cpu real-time runtime cannot be higher than cpu real-time period"
    assert str(caught.value) == text


def test_accepted() -> None:
    """Sensible limits pass as they are and without a word; an update may leave the memory limit out."""
    limits: dict[str, Any] = {
        "memory": 100 * MEBI,
        "memory_swap": -1,
        "cpuset_cpus": "0-1",
        "pids_limit": -5,
        "ulimits": [Ulimit(name="core", soft=1, hard=-1)],
    }
    assert check(**limits) == (HostConfig(**limits), [])
    assert check(update=True, memory_swap=100 * MEBI)[1] == []


NOT_MOUNTED = "or the cgroup is not mounted."


@pytest.mark.parametrize(
    ("lacking", "limits", "left", "warning"),
    [
        (
            "MemoryLimit",
            {"memory": 10 * MEBI, "memory_swap": 20 * MEBI},
            {"memory_swap": -1},
            f"Your kernel does not support memory limit capabilities {NOT_MOUNTED} Limitation discarded.",
        ),
        (
            "SwapLimit",
            {"memory": 10 * MEBI, "memory_swap": 20 * MEBI},
            {"memory": 10 * MEBI, "memory_swap": -1},
            f"Your kernel does not support swap limit capabilities {NOT_MOUNTED} Memory limited without swap.",
        ),
        (
            "SwapLimit",
            {"memory": 10 * MEBI, "memory_swap": -1},
            {"memory": 10 * MEBI, "memory_swap": -1},
            None,
        ),
        (
            "MemorySwappiness",
            {"memory_swappiness": 5},
            {},
            f"Your kernel does not support memory swappiness capabilities {NOT_MOUNTED} Memory swappiness discarded.",
        ),
        (
            "MemoryReservation",
            {"memory_reservation": 10 * MEBI},
            {},
            f"Your kernel does not support memory soft limit capabilities {NOT_MOUNTED} Limitation discarded.",
        ),
        (
            "OomKillDisable",
            {"oom_kill_disable": True},
            {},
            "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
        ),
        ("OomKillDisable", {"oom_kill_disable": False}, {}, None),
        (
            "PidsLimit",
            {"pids_limit": 5},
            {},
            f"Your kernel does not support PIDs limit capabilities {NOT_MOUNTED} PIDs limit discarded.",
        ),
        ("PidsLimit", {"pids_limit": 0}, {}, None),
        (
            "CPUShares",
            {"cpu_shares": 5},
            {},
            f"Your kernel does not support CPU shares {NOT_MOUNTED} Shares discarded.",
        ),
        (
            "CpuCfsQuota",
            {"cpu_quota": 5000},
            {},
            "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        ),
        (
            "CPUSet",
            {"cpuset_cpus": "77"},
            {},
            f"Your kernel does not support cpuset {NOT_MOUNTED} Cpuset discarded.",
        ),
        (
            "BlkioWeight",
            {"blkio_weight": 5},
            {},
            f"Your kernel does not support Block I/O weight {NOT_MOUNTED} Weight discarded.",
        ),
        (
            "BlkioWeightDevice",
            {"blkio_weight_device": [WeightDevice()]},
            {},
            f"Your kernel does not support Block I/O weight_device {NOT_MOUNTED} Weight-device discarded.",
        ),
        (
            "BlkioReadBps",
            {"blkio_device_read_bps": [ThrottleDevice()]},
            {},
            f"Your kernel does not support BPS Block I/O read limit {NOT_MOUNTED} Block I/O BPS read limit discarded.",
        ),
        (
            "BlkioWriteIOps",
            {"blkio_device_write_iops": [ThrottleDevice()]},
            {},
            f"Your kernel does not support IOPS Block write limit {NOT_MOUNTED} Block I/O IOPS write limit discarded.",
        ),
    ],
)
def test_left_out(
    lacking: str, limits: dict[str, Any], left: dict[str, Any], warning: str | None
) -> None:
    """What the host cannot do is left out, with a warning if it asked for something."""
    host, warnings = check(ALL - {lacking}, **limits)
    assert host == HostConfig(**left)
    assert warnings == ([warning] if warning else [])


def test_warnings_about_what_is_set() -> None:
    """A disabled OOM killer without a limit is dangerous; CPUs by number need the scheduler."""
    assert check(oom_kill_disable=True)[1][0].startswith(
        "OOM killer is disabled for the container, but no memory"
    )
    assert check(oom_kill_disable=True, memory=10 * MEBI)[1] == []
    with pytest.raises(InvalidParameter, match="NanoCPUs can not be set"):
        check(ALL - {"CpuCfsQuota"}, nano_cpus=10**9)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", []), ("0", [0]), ("0-3,8", [0, 1, 2, 3, 8]), ("5,5-6", [5, 6])],
)
def test_parse_set(text: str, numbers: list[int]) -> None:
    """The kernel's list format."""
    assert parse_set(text) == frozenset(numbers)


@pytest.mark.parametrize("text", [",", "a", "1-", "-1", "3-1", "1,,2", "0-100000"])
def test_parse_set_refuses(text: str) -> None:
    """What is no list, or one that would take all memory."""
    with pytest.raises(ValueError):
        parse_set(text)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, {}),
        ({"memory": 5, "memory_swap": 10}, {"memory": {"limit": 5, "swap": 10}}),
        ({"memory": 5, "memory_swap": -1}, {"memory": {"limit": 5, "swap": -1}}),
        ({"memory_swap": -1}, {}),
        ({"memory_swappiness": 0}, {"memory": {"swappiness": 0}}),
        ({"memory_swappiness": -1, "oom_kill_disable": False}, {}),
        ({"oom_kill_disable": True}, {"memory": {"disableOOMKiller": True}}),
        ({"nano_cpus": 1_500_000_000}, {"cpu": {"period": 100000, "quota": 150000}}),
        ({"cpu_quota": -1, "cpu_period": 5000}, {"cpu": {"period": 5000, "quota": -1}}),
        (
            {
                "cpuset_cpus": "0",
                "cpuset_mems": "0",
                "cpu_realtime_period": 1,
                "cpu_realtime_runtime": 2,
            },
            {"cpu": {"cpus": "0", "mems": "0", "realtimePeriod": 1, "realtimeRuntime": 2}},
        ),
        ({"pids_limit": 7}, {"pids": {"limit": 7}}),
        ({"pids_limit": 0}, {"pids": {"limit": -1}}),
        (
            {"blkio_weight": 300, "blkio_weight_device": [WeightDevice(path="/dev/a", weight=20)]},
            {"blockIO": {"weight": 300, "weightDevice": [{"major": 8, "minor": 1, "weight": 20}]}},
        ),
        (
            {"blkio_device_write_iops": [ThrottleDevice(path="/dev/a", rate=9)]},
            {"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 9}]}},
        ),
    ],
)
def test_limits(limits: dict[str, Any], expected: dict[str, Any]) -> None:
    """From the API's words to the runtime-spec's; what limits nothing is not there."""
    assert build_limits(HostConfig(**limits), {"/dev/a": (8, 1)}) == expected


def test_block_device_that_is_not_there() -> None:
    """A limit on a device that could not be looked up is the caller's fault."""
    host = HostConfig(blkio_device_read_bps=[ThrottleDevice(path="/dev/b", rate=1)])
    with pytest.raises(InvalidParameter, match="/dev/b: no such file or directory"):
        build_limits(host, {})


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("c 1:3 rwm", (True, "c", 1, 3, "rwm")),
        ("b 7:* rmw", (True, "b", 7, None, "rmw")),
        ("a *:* m", (True, "a", None, None, "m")),
    ],
)
def test_device_rule(text: str, rule: tuple[Any, ...]) -> None:
    """Type, numbers with wildcards, access."""
    assert parse_device_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xx",
        "c 1:3",
        "d 1:3 r",
        "c 1 r",
        "c 1:3 x",
        "c 1:3 rwmr",
        "c -1:3 r",
        "c 1:3:4 r",
        "c 1:3  r",
        "c 99999999999:1 r",
        "c 4294967296:1 r",
        "c \u0661:1 r",
    ],
)
def test_bad_device_rule(text: str) -> None:
    """Docker's words, and no number that the kernel would wrap."""
    with pytest.raises(InvalidParameter) as error:
        parse_device_rule(text)
    assert str(error.value) == f"invalid device cgroup rule format: '{text}'"
