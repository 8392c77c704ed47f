"""From OCI `linux.resources` to the writes that set them: pure, for v1 and for v2.

A plan is a list of steps in order. `Write.missing` is what the user is told when the host lacks
the file (Docker's text where dockerd has one); where it is None a missing file is passed over in
silence. Devices are not here (`devices.py`). Conversions are runc's (opencontainers/cgroups).
Out of scope: kernel memory limits (gone from the kernel, ignored as runc does).
"""

from __future__ import annotations

from sampan.spec.typing import Any, Iterator, NamedTuple

Resources = dict[str, Any]


class Write(NamedTuple):
    controller: str
    file: str
    value: str
    missing: str | None = None
    default: str | None = None
    """What a fresh cgroup holds; a write of the same is left out there."""

    otherwise: Write | None = None
    """What to write on kernels that have another file for it."""


class Pair(NamedTuple):
    """Two files of which either order may be refused with EINVAL, by what stands in them now."""

    first: Write
    second: Write


Step = Write | Pair


def _no(what: str, discarded: str) -> str:
    return (
        f"Your kernel does not support {what} or the cgroup is not mounted. {discarded} discarded."
    )


_NO_MEMORY = _no("memory limit capabilities", "Limitation")
_NO_SWAP = (
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
    "Memory limited without swap."
)
_NO_RESERVATION = _no("memory soft limit capabilities", "Limitation")
_NO_SWAPPINESS = _no("memory swappiness capabilities", "Memory swappiness")
_NO_OOM_DISABLE = "Your kernel does not support OomKillDisable. OomKillDisable discarded."
_NO_PIDS = _no("PIDs limit capabilities", "PIDs limit")
_NO_SHARES = _no("CPU shares", "Shares")
_NO_CFS = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."
_NO_CPUSET = _no("cpuset", "Cpuset")
_NO_REALTIME = _no("CPU real-time scheduling", "Real-time limit")
_NO_WEIGHT = _no("Block I/O weight", "Weight")
_NO_WEIGHT_DEVICE = _no("Block I/O weight_device", "Weight-device")
_NO_NET_CLS = _no("network classes", "The class")
_NO_NET_PRIO = _no("network priorities", "The priorities")
_NO_RDMA = _no("RDMA limits", "The limits")
_NO_HUGETLB = _no("huge page limits", "Limit")


def _no_throttle(unit: str, direction: str) -> str:
    return _no(f"{unit} Block I/O {direction} limit", f"Block I/O {unit} {direction} limit")


_THROTTLES = (
    ("throttleReadBpsDevice", "read_bps", "rbps", _no_throttle("BPS", "read")),
    ("throttleWriteBpsDevice", "write_bps", "wbps", _no_throttle("BPS", "write")),
    ("throttleReadIOPSDevice", "read_iops", "riops", _no_throttle("IOPS", "read")),
    ("throttleWriteIOPSDevice", "write_iops", "wiops", _no_throttle("IOPS", "write")),
)


def plan_v1(resources: Resources) -> list[Step]:
    """Raises `ValueError` for what v1 cannot do at all."""
    if resources.get("unified"):
        raise ValueError("resources.unified: this host has cgroup v1")
    return [
        *_memory_v1(resources.get("memory") or {}),
        *_cpu_v1(resources.get("cpu") or {}),
        *_cpuset(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}, file="pids.max"),
        *_blkio_v1(resources.get("blockIO") or {}),
        *_hugetlb(resources.get("hugepageLimits") or [], suffix="limit_in_bytes"),
        *_network(resources.get("network") or {}),
        *_rdma(resources.get("rdma") or {}),
    ]


def plan_v2(resources: Resources) -> list[Step]:
    if any((resources.get("network") or {}).values()):
        raise ValueError("resources.network: cgroup v2 has no controller for it")
    return [
        *_rdma(resources.get("rdma") or {}),
        *_memory_v2(resources.get("memory") or {}),
        *_cpu_v2(resources.get("cpu") or {}),
        *_cpuset(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}, file="pids.max"),
        *_io_v2(resources.get("blockIO") or {}),
        *_hugetlb(resources.get("hugepageLimits") or [], suffix="max"),
        *_unified(resources.get("unified") or {}),
    ]


_NO_VALUE = (None, -1, (1 << 64) - 1)  # -1 as those write it whose numbers have no sign


def _memory_v1(memory: dict[str, Any]) -> Iterator[Step]:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit == -1 and swap == 0:
        swap = -1
    limit_write = Write("memory", "memory.limit_in_bytes", str(limit), _NO_MEMORY, "-1")
    swap_write = Write("memory", "memory.memsw.limit_in_bytes", str(swap), _NO_SWAP, "-1")
    if limit and swap:
        yield Pair(limit_write, swap_write)
    elif limit:
        yield limit_write
    elif swap:
        yield swap_write
    if memory.get("reservation"):
        reservation = str(memory["reservation"])
        yield Write("memory", "memory.soft_limit_in_bytes", reservation, _NO_RESERVATION, "-1")
    if memory.get("kernelTCP"):
        yield Write("memory", "memory.kmem.tcp.limit_in_bytes", str(memory["kernelTCP"]))
    if memory.get("disableOOMKiller"):
        yield Write("memory", "memory.oom_control", "1", _NO_OOM_DISABLE)
    swappiness = memory.get("swappiness")
    if swappiness not in _NO_VALUE:
        if not 0 <= swappiness <= 100:
            raise ValueError(
                f"invalid memory swappiness value: {swappiness} (valid range is 0-100)"
            )
        yield Write("memory", "memory.swappiness", str(swappiness), _NO_SWAPPINESS)


def _memory_v2(memory: dict[str, Any]) -> Iterator[Step]:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit:
        yield Write("memory", "memory.max", _unlimited(limit), _NO_MEMORY, "max")
    swap_max = swap_v2(limit, swap)
    if swap_max is not None:
        yield Write("memory", "memory.swap.max", _unlimited(swap_max), _NO_SWAP, "max")
    if memory.get("reservation"):
        reservation = _unlimited(memory["reservation"])
        yield Write("memory", "memory.low", reservation, _NO_RESERVATION, "0")
    if memory.get("disableOOMKiller"):
        yield Write("memory", "", "", _NO_OOM_DISABLE)
    if memory.get("swappiness") not in _NO_VALUE:
        yield Write("memory", "", "", _NO_SWAPPINESS)


def swap_v2(limit: int, swap: int) -> int | None:
    """v1 counts memory + swap, v2 swap alone. None: leave it; -1: no limit."""
    if limit == -1 and swap == 0:
        return -1
    if swap == 0:
        return None
    if swap == -1:
        return -1
    if limit in (0, -1):
        raise ValueError("unable to set swap limit without memory limit")
    if limit < 0 or swap < 0:
        raise ValueError(f"invalid memory or swap value: {limit}, {swap}")
    if swap < limit:
        raise ValueError("memory+swap limit should be >= memory limit")
    return swap - limit


def _cpu_v1(cpu: dict[str, Any]) -> Iterator[Step]:
    if cpu.get("shares"):
        yield Write("cpu", "cpu.shares", str(cpu["shares"]), _NO_SHARES, "1024")
    period, quota = cpu.get("period") or 0, cpu.get("quota") or 0
    period_write = Write("cpu", "cpu.cfs_period_us", str(period), _NO_CFS, "100000")
    quota_write = Write("cpu", "cpu.cfs_quota_us", str(quota), _NO_CFS, "-1")
    yield from _pair(period_write if period else None, quota_write if quota else None)
    if cpu.get("burst") is not None:
        yield Write("cpu", "cpu.cfs_burst_us", str(cpu["burst"]), _NO_CFS, "0")
    rt_period, rt_runtime = cpu.get("realtimePeriod") or 0, cpu.get("realtimeRuntime") or 0
    yield from _pair(
        Write("cpu", "cpu.rt_period_us", str(rt_period), _NO_REALTIME) if rt_period else None,
        Write("cpu", "cpu.rt_runtime_us", str(rt_runtime), _NO_REALTIME) if rt_runtime else None,
    )
    if cpu.get("idle") is not None:
        yield Write("cpu", "cpu.idle", str(cpu["idle"]), None, "0")


def _pair(first: Write | None, second: Write | None) -> Iterator[Step]:
    if first and second:
        yield Pair(first, second)
    elif first or second:
        yield first or second  # type: ignore[misc]


def _cpu_v2(cpu: dict[str, Any]) -> Iterator[Step]:
    if cpu.get("idle") is not None:
        yield Write("cpu", "cpu.idle", str(cpu["idle"]), None, "0")
    # With cpu.idle set the kernel refuses a weight.
    if cpu.get("shares") and not cpu.get("idle"):
        yield Write("cpu", "cpu.weight", str(weight_of_shares(cpu["shares"])), _NO_SHARES, "100")
    period, quota = cpu.get("period") or 0, cpu.get("quota") or 0
    if period or quota:
        text = str(quota) if quota > 0 else "max"
        if period:
            text += f" {period}"
        yield Write("cpu", "cpu.max", text, _NO_CFS, "max")
    if cpu.get("burst") is not None:
        yield Write("cpu", "cpu.max.burst", str(cpu["burst"]), _NO_CFS, "0")
    if cpu.get("realtimePeriod") or cpu.get("realtimeRuntime"):
        yield Write("cpu", "", "", _NO_REALTIME)


def weight_of_shares(shares: int) -> int:
    """cpu.shares 2..262144 to cpu.weight 1..10000; 2, 1024, 262144 become 1, 100, 10000."""
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    import math  # a shared object, which only cgroup v2 needs

    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def _cpuset(cpu: dict[str, Any]) -> Iterator[Step]:
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield Write("cpuset", f"cpuset.{key}", cpu[key], _NO_CPUSET)


def _pids(pids: dict[str, Any], *, file: str) -> Iterator[Step]:
    limit = pids.get("limit")
    if limit:
        yield Write("pids", file, _unlimited(limit), _NO_PIDS, "max")


def _blkio_v1(block: dict[str, Any]) -> Iterator[Step]:
    if block.get("weight"):
        yield _weight("blkio.weight", "blkio.bfq.weight", str(block["weight"]), _NO_WEIGHT)
    if block.get("leafWeight"):
        yield Write("blkio", "blkio.leaf_weight", str(block["leafWeight"]), _NO_WEIGHT)
    for device in block.get("weightDevice") or []:
        number = f"{device['major']}:{device['minor']}"
        if device.get("weight"):
            yield _weight(
                "blkio.weight_device",
                "blkio.bfq.weight_device",
                f"{number} {device['weight']}",
                _NO_WEIGHT_DEVICE,
            )
        if device.get("leafWeight"):
            value = f"{number} {device['leafWeight']}"
            yield Write("blkio", "blkio.leaf_weight_device", value, _NO_WEIGHT_DEVICE)
    for key, file, _, missing in _THROTTLES:
        for device in block.get(key) or []:
            value = f"{device['major']}:{device['minor']} {device['rate']}"
            yield Write("blkio", f"blkio.throttle.{file}_device", value, missing)


def _weight(file: str, other_file: str, value: str, missing: str) -> Write:
    other = Write("blkio", other_file, value, missing)
    return Write("blkio", file, value, missing, otherwise=other)


def _io_v2(block: dict[str, Any]) -> Iterator[Step]:
    # io.bfq.weight has blkio's own scale (10..1000), io.weight the new one (1..10000).
    if block.get("weight"):
        weight = block["weight"]
        other = Write("io", "io.weight", f"default {weight_of_blkio(weight)}", _NO_WEIGHT)
        yield Write("io", "io.bfq.weight", str(weight), _NO_WEIGHT, otherwise=other)
    for device in block.get("weightDevice") or []:
        if device.get("weight"):
            value = f"{device['major']}:{device['minor']} {device['weight']}"
            yield Write("io", "io.bfq.weight", value, _NO_WEIGHT_DEVICE)
    for key, _, word, missing in _THROTTLES:
        for device in block.get(key) or []:
            # Zero takes a limit away in v1; in v2 that is the word max.
            rate = device["rate"] or "max"
            value = f"{device['major']}:{device['minor']} {word}={rate}"
            yield Write("io", "io.max", value, missing)


def weight_of_blkio(weight: int) -> int:
    """blkio.weight 10..1000 to io.weight 1..10000."""
    return 1 + (weight - 10) * 9999 // 990


def _hugetlb(limits: list[dict[str, Any]], *, suffix: str) -> Iterator[Step]:
    for entry in limits:
        size, limit = entry["pageSize"], str(entry["limit"])
        yield Write("hugetlb", f"hugetlb.{size}.{suffix}", limit, _NO_HUGETLB)
        # Kernel 5.7: without the reservation limit an mmap succeeds and its use is a SIGBUS.
        yield Write("hugetlb", f"hugetlb.{size}.rsvd.{suffix}", limit)


def _network(network: dict[str, Any]) -> Iterator[Step]:
    if network.get("classID"):
        yield Write("net_cls", "net_cls.classid", str(network["classID"]), _NO_NET_CLS, "0")
    for entry in network.get("priorities") or []:
        value = f"{entry['name']} {entry['priority']}"
        yield Write("net_prio", "net_prio.ifpriomap", value, _NO_NET_PRIO)


def _rdma(devices: dict[str, dict[str, Any]]) -> Iterator[Step]:
    for device, limits in devices.items():
        words = [
            f"{word}={limits[key]}"
            for key, word in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if limits.get(key) is not None
        ]
        if words:
            yield Write("rdma", "rdma.max", " ".join([device, *words]), _NO_RDMA)


def _unified(files: dict[str, str]) -> Iterator[Step]:
    for file, value in files.items():
        if "/" in file:
            raise ValueError(f'unified resource "{file}" must be a file name (no slashes)')
        controller, dot, _ = file.partition(".")
        if not dot:
            raise ValueError(f'unified resource "{file}" must be in the form CONTROLLER.PARAMETER')
        for line in value.splitlines():
            yield Write(controller, file, line, _no(f'"{file}"', "Setting"))


def _unlimited(number: int) -> str:
    return "max" if number < 0 else str(number)
