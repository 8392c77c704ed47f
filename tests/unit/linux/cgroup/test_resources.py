"""OCI resources become the right writes, in the right order, on v1 and on v2."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.linux.cgroup.resources import (
    Pair,
    Step,
    Write,
    plan_v1,
    plan_v2,
    swap_v2,
    weight_of_blkio,
    weight_of_shares,
)


def shown(steps: list[Step]) -> list[str]:
    """`file=value`; a pair whose order may be turned is joined by `&`."""
    return [
        f"{step.first.file}={step.first.value} & {step.second.file}={step.second.value}"
        if isinstance(step, Pair)
        else f"{step.file}={step.value}"
        for step in steps
    ]


@pytest.mark.parametrize(
    ("resources", "v1", "v2"),
    [
        ({}, [], []),
        ({"memory": None, "cpu": {}, "pids": {}}, [], []),
        (
            {"memory": {"limit": 100, "swap": 300}},
            ["memory.limit_in_bytes=100 & memory.memsw.limit_in_bytes=300"],
            ["memory.max=100", "memory.swap.max=200"],
        ),
        (
            {"memory": {"limit": 100, "swap": 100}},
            ["memory.limit_in_bytes=100 & memory.memsw.limit_in_bytes=100"],
            ["memory.max=100", "memory.swap.max=0"],
        ),
        (
            {"memory": {"limit": 100, "swap": -1}},
            ["memory.limit_in_bytes=100 & memory.memsw.limit_in_bytes=-1"],
            ["memory.max=100", "memory.swap.max=max"],
        ),
        (
            {"memory": {"limit": -1}},
            ["memory.limit_in_bytes=-1 & memory.memsw.limit_in_bytes=-1"],
            ["memory.max=max", "memory.swap.max=max"],
        ),
        (
            {
                "memory": {
                    "limit": 100,
                    "reservation": 50,
                    "swappiness": 0,
                    "disableOOMKiller": True,
                }
            },
            [
                "memory.limit_in_bytes=100",
                "memory.soft_limit_in_bytes=50",
                "memory.oom_control=1",
                "memory.swappiness=0",
            ],
            ["memory.max=100", "memory.low=50", "=", "="],
        ),
        ({"memory": {"swap": 500}}, ["memory.memsw.limit_in_bytes=500"], ValueError),
        ({"memory": {"kernelTCP": 7}}, ["memory.kmem.tcp.limit_in_bytes=7"], []),
        ({"memory": {"swappiness": 101}}, ValueError, ["="]),
        ({"cpu": {"shares": 1024}}, ["cpu.shares=1024"], ["cpu.weight=100"]),
        (
            {"cpu": {"quota": 50000, "period": 100000}},
            ["cpu.cfs_period_us=100000 & cpu.cfs_quota_us=50000"],
            ["cpu.max=50000 100000"],
        ),
        ({"cpu": {"quota": -1}}, ["cpu.cfs_quota_us=-1"], ["cpu.max=max"]),
        ({"cpu": {"period": 5000}}, ["cpu.cfs_period_us=5000"], ["cpu.max=max 5000"]),
        (
            {"cpu": {"burst": 10, "idle": 1}},
            ["cpu.cfs_burst_us=10", "cpu.idle=1"],
            ["cpu.idle=1", "cpu.max.burst=10"],
        ),
        (
            {"cpu": {"realtimePeriod": 5, "realtimeRuntime": 4}},
            ["cpu.rt_period_us=5 & cpu.rt_runtime_us=4"],
            ["="],
        ),
        (
            {"cpu": {"cpus": "0-1", "mems": "0"}},
            ["cpuset.cpus=0-1", "cpuset.mems=0"],
            ["cpuset.cpus=0-1", "cpuset.mems=0"],
        ),
        ({"pids": {"limit": 5}}, ["pids.max=5"], ["pids.max=5"]),
        ({"pids": {"limit": -1}}, ["pids.max=max"], ["pids.max=max"]),
        ({"blockIO": {"weight": 300}}, ["blkio.weight=300"], ["io.bfq.weight=300"]),
        (
            {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 30}]}},
            ["blkio.weight_device=8:0 30"],
            ["io.bfq.weight=8:0 30"],
        ),
        (
            {
                "blockIO": {
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 0}],
                }
            },
            ["blkio.throttle.read_bps_device=8:0 1", "blkio.throttle.write_iops_device=8:1 0"],
            ["io.max=8:0 rbps=1", "io.max=8:1 wiops=max"],
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 9}]},
            ["hugetlb.2MB.limit_in_bytes=9", "hugetlb.2MB.rsvd.limit_in_bytes=9"],
            ["hugetlb.2MB.max=9", "hugetlb.2MB.rsvd.max=9"],
        ),
        (
            {"unified": {"memory.high": "5", "io.max": "8:0 rbps=1\n8:1 wbps=2"}},
            ValueError,
            ["memory.high=5", "io.max=8:0 rbps=1", "io.max=8:1 wbps=2"],
        ),
        ({"unified": {"../x": "5"}}, ValueError, ValueError),
        ({"unified": {"plain": "5"}}, ValueError, ValueError),
    ],
)
def test_plans(resources: dict[str, Any], v1: Any, v2: Any) -> None:
    """Each kind of limit; `=` alone is a limit that v2 lacks, which becomes a warning."""
    for plan, expected in ((plan_v1, v1), (plan_v2, v2)):
        if expected is ValueError:
            with pytest.raises(ValueError):
                plan(resources)
        else:
            assert shown(plan(resources)) == expected


def test_every_limit_that_can_be_missing_says_so() -> None:
    """What a user asks for is never dropped in silence."""
    asked = {
        "memory": {
            "limit": 5,
            "swap": 6,
            "reservation": 1,
            "swappiness": 3,
            "disableOOMKiller": True,
        },
        "cpu": {
            "shares": 5,
            "quota": 5,
            "period": 6,
            "cpus": "0",
            "mems": "0",
            "realtimePeriod": 1,
        },
        "pids": {"limit": 5},
        "blockIO": {"weight": 50, "weightDevice": [{"major": 1, "minor": 1, "weight": 50}]},
    }
    for plan in (plan_v1, plan_v2):
        for step in plan(asked):
            for write in (step.first, step.second) if isinstance(step, Pair) else (step,):
                assert isinstance(write, Write)
                assert write.missing
                assert write.missing.startswith("Your kernel does not support ")


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262144, 10000), (1 << 40, 10000)],
)
def test_weight_of_shares(shares: int, weight: int) -> None:
    """runc's curve: least, usual and greatest shares are least, usual and greatest weight."""
    assert weight_of_shares(shares) == weight


def test_weights_rise() -> None:
    """More is never less, for CPU and for block I/O."""
    cpu = [weight_of_shares(shares) for shares in range(2, 262145, 97)]
    block = [weight_of_blkio(weight) for weight in range(10, 1001)]
    assert cpu == sorted(cpu)
    assert block == sorted(block)
    assert (block[0], block[-1]) == (1, 10000)


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [
        (0, 0, None),
        (10, 0, None),
        (10, -1, -1),
        (0, -1, -1),
        (-1, 0, -1),
        (10, 10, 0),
        (10, 25, 15),
    ],
)
def test_swap_v2(limit: int, swap: int, expected: int | None) -> None:
    """v1 counts memory and swap together, v2 swap alone."""
    assert swap_v2(limit, swap) == expected


@pytest.mark.parametrize(("limit", "swap"), [(0, 5), (-1, 5), (10, 5), (-2, 5), (10, -2)])
def test_swap_v2_refuses(limit: int, swap: int) -> None:
    """A limit on both together needs one on memory that is not higher."""
    with pytest.raises(ValueError):
        swap_v2(limit, swap)
