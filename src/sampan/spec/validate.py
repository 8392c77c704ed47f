"""What is wrong with a container's limits, in Docker's words; and which of them this host cannot set.

`features` are the names of `linux.cgroup.features`. Adjusted copies are returned, arguments stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from sampan.errors import InvalidParameter
from sampan.spec.container import HostConfig, Ulimit
from sampan.spec.defaults import UNLIMITED
from sampan.spec.users import parse_number

_MINIMUM_MEMORY = 6 * 1024 * 1024
_ULIMITS = frozenset(
    (
        *(
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
        ),
        *("rss", "rtprio", "rttime", "sigpending", "stack"),
    )
)


def check_resources(
    host: HostConfig, *, features: frozenset[str], cpus: str, mems: str, update: bool = False
) -> tuple[HostConfig, list[str]]:
    """The settings without what the host lacks, and a warning for each of those.

    `cpus` and `mems`: what may be chosen, as in `cpuset.cpus` ("0-3,8"). `update`: of a container that
    exists, so that a missing value means "as it is". Raises `InvalidParameter`.
    """
    warnings: list[str] = []
    host = _without_unsupported(host, features, warnings)
    if host.cpu_percent > 0:
        warnings.append("linux does not support CPU percent. Percent discarded.")
        host = replace(host, cpu_percent=0)
    _check_memory(host, update=update)
    _check_cpu(host, cpus, features)
    _check_realtime(host, features)
    _check_cpuset("cpus", "CPUs", host.cpuset_cpus, cpus)
    _check_cpuset("mems", "memory nodes", host.cpuset_mems, mems)
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise InvalidParameter("Range of blkio weight is from 10 to 1000")
    check_ulimits(host.ulimits or [])
    if host.oom_kill_disable and host.memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return host, warnings


_Unsupported = Iterator[tuple[str, dict[str, Any], str | None]]


def _without_unsupported(
    host: HostConfig, features: frozenset[str], warnings: list[str]
) -> HostConfig:
    for feature, changes, warning in _unsupported(host):
        if feature not in features:
            host = replace(host, **changes)
            if warning is not None:
                warnings.append(warning)
    return host


def _no(what: str, discarded: str) -> str:
    return (
        f"Your kernel does not support {what} or the cgroup is not mounted. {discarded} discarded."
    )


def _unsupported(host: HostConfig) -> _Unsupported:
    """Feature that a setting needs, the settings without it, the warning (None: it asks for nothing)."""
    if host.memory > 0:
        text = _no("memory limit capabilities", "Limitation")
        yield "MemoryLimit", {"memory": 0, "memory_swap": -1}, text
    if host.memory > 0 and host.memory_swap != -1:
        yield (
            "SwapLimit",
            {"memory_swap": -1},
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap.",
        )
    if host.memory_swappiness not in (None, -1):
        text = _no("memory swappiness capabilities", "Memory swappiness")
        yield "MemorySwappiness", {"memory_swappiness": None}, text
    if host.memory_reservation > 0:
        text = _no("memory soft limit capabilities", "Limitation")
        yield "MemoryReservation", {"memory_reservation": 0}, text
    if host.oom_kill_disable is not None:
        text = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
        yield "OomKillDisable", {"oom_kill_disable": None}, text if host.oom_kill_disable else None
    if host.pids_limit is not None:
        text = _no("PIDs limit capabilities", "PIDs limit")
        yield "PidsLimit", {"pids_limit": None}, text if host.pids_limit > 0 else None
    if host.cpu_shares > 0:
        yield "CPUShares", {"cpu_shares": 0}, _no("CPU shares", "Shares")
    if host.cpu_period or host.cpu_quota:
        text = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
        yield "CpuCfsQuota", {"cpu_period": 0, "cpu_quota": 0}, text
    if host.cpuset_cpus or host.cpuset_mems:
        yield "CPUSet", {"cpuset_cpus": "", "cpuset_mems": ""}, _no("cpuset", "Cpuset")
    yield from _unsupported_block_io(host)


def _unsupported_block_io(host: HostConfig) -> _Unsupported:
    if host.blkio_weight > 0:
        yield "BlkioWeight", {"blkio_weight": 0}, _no("Block I/O weight", "Weight")
    if host.blkio_weight_device:
        text = _no("Block I/O weight_device", "Weight-device")
        yield "BlkioWeightDevice", {"blkio_weight_device": None}, text
    for feature, field, what, discarded in (
        ("BlkioReadBps", "blkio_device_read_bps", "BPS Block I/O read", "BPS read"),
        ("BlkioWriteBps", "blkio_device_write_bps", "BPS Block I/O write", "BPS write"),
        ("BlkioReadIOps", "blkio_device_read_iops", "IOPS Block read", "IOPS read"),
        ("BlkioWriteIOps", "blkio_device_write_iops", "IOPS Block write", "IOPS write"),
    ):
        if getattr(host, field):
            text = _no(f"{what} limit", f"Block I/O {discarded} limit")
            yield feature, {field: None}, text


def _check_memory(host: HostConfig, *, update: bool) -> None:
    memory, swap, reservation = host.memory, host.memory_swap, host.memory_reservation
    if memory != 0 and memory < _MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if 0 < swap < memory:
        raise InvalidParameter(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if memory == 0 and swap > 0 and not update:
        raise InvalidParameter(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    swappiness = host.memory_swappiness
    if swappiness is not None and swappiness != -1 and not 0 <= swappiness <= 100:
        raise InvalidParameter(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )
    if 0 < reservation < _MINIMUM_MEMORY:
        raise InvalidParameter("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise InvalidParameter(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_realtime(host: HostConfig, features: frozenset[str]) -> None:
    """Cgroup v2 has none of it, and most kernels of distributions neither."""
    period, runtime = host.cpu_realtime_period, host.cpu_realtime_runtime
    if (period or runtime) and "CpuRealtime" not in features:
        raise InvalidParameter("Your kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        raise InvalidParameter("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_cpu(host: HostConfig, cpus: str, features: frozenset[str]) -> None:
    for value, name in ((host.cpu_period, "Period"), (host.cpu_quota, "Quota")):
        if host.nano_cpus > 0 and value > 0:
            raise InvalidParameter(
                f"Conflicting options: Nano CPUs and CPU {name} cannot both be set"
            )
    if host.nano_cpus > 0 and "CpuCfsQuota" not in features:
        raise InvalidParameter(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler "
            "or the cgroup is not mounted"
        )
    count = len(parse_set(cpus))
    if host.nano_cpus < 0 or host.nano_cpus > count * 10**9:
        raise InvalidParameter(
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if host.cpu_shares < 0:
        raise InvalidParameter("shares: invalid argument")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1000000:
        raise InvalidParameter(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < host.cpu_quota < 1000:
        raise InvalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _check_cpuset(kind: str, noun: str, wanted: str, available: str) -> None:
    try:
        chosen = parse_set(wanted)
    except ValueError as error:
        raise InvalidParameter(f"Invalid value {wanted} for cpuset {kind}: {error}") from None
    if not chosen <= parse_set(available):
        raise InvalidParameter(
            f"Requested {noun} are not available - requested {wanted}, available: {available}"
        )


_SET_LIMIT = 8192


def parse_set(text: str) -> frozenset[int]:
    """Numbers in the kernel's list format ("0-3,8"). Raises `ValueError`."""
    numbers: set[int] = set()
    for part in text.split(",") if text else ():
        low, dash, high = part.partition("-")
        first = parse_number(low)
        last = parse_number(high) if dash else first
        if first is None or last is None or not 0 <= first <= last:
            raise ValueError(f"invalid format: {text}")
        if last > _SET_LIMIT:
            raise ValueError(f"value of out range, maximum is {_SET_LIMIT}")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def check_ulimits(ulimits: list[Ulimit]) -> None:
    for ulimit in ulimits:
        if ulimit.name not in _ULIMITS:
            raise InvalidParameter(f"invalid ulimit type: {ulimit.name}")
        soft, hard = (n if n >= 0 else UNLIMITED for n in (ulimit.soft, ulimit.hard))
        if soft > hard:
            raise InvalidParameter(
                "ulimit soft limit must be less than or equal to hard limit: "
                f"{ulimit.soft} > {ulimit.hard}"
            )
