"""How the kernel shall treat a process: scheduler, I/O priority, CPUs, personality, memory policy.

runtime-spec config.md, "process", and config-linux.md, "Personality", "Memory policy". Parsed in the parent, put on
by the process itself while it still has the rights to. Sources: sched_setattr(2), ioprio_set(2), personality(2),
set_mempolicy(2).
"""

from __future__ import annotations

from sampan.linux.kernel import Kernel
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping

_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_REAL_TIME, _DEADLINE = (1, 2), 6
_SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
_MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
_MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
_MAX_NUMBER = 8191  # of a CPU or a memory node


@dataclass(frozen=True, slots=True)
class Scheduler:
    policy: int
    flags: int = 0
    nice: int = 0
    priority: int = 0
    runtime: int = 0
    deadline: int = 0
    period: int = 0


@dataclass(frozen=True, slots=True)
class Attributes:
    scheduler: Scheduler | None = None
    io_priority: int | None = None
    initial_cpus: frozenset[int] = frozenset()  # while it is brought in; empty: leave it
    final_cpus: frozenset[int] = frozenset()
    personality: int | None = None
    memory_policy: tuple[int, int] | None = None  # mode with flags, mask of nodes


NONE = Attributes()


def parse_attributes(process: Mapping[str, Any], linux: Mapping[str, Any]) -> Attributes:
    """Raises ValueError with the field's path. Affinity is an exec'd process's alone, see `exec.py`."""
    if not any(process.get(n) for n in ("scheduler", "ioPriority", "execCPUAffinity")) and not any(
        linux.get(n) for n in ("personality", "memoryPolicy")
    ):
        return NONE
    affinity = process.get("execCPUAffinity") or {}
    return Attributes(
        scheduler=_scheduler(process.get("scheduler")),
        io_priority=_io_priority(process.get("ioPriority")),
        initial_cpus=parse_list(affinity.get("initial"), "process.execCPUAffinity.initial"),
        final_cpus=parse_list(affinity.get("final"), "process.execCPUAffinity.final"),
        personality=_personality(linux.get("personality")),
        memory_policy=_memory_policy(linux.get("memoryPolicy")),
    )


def _one(table: Mapping[str, int], word: Any, place: str) -> int:
    if word not in table:
        raise ValueError(f"{place}: {word!r} is not supported")
    return table[word]


def _flags(table: Mapping[str, int], words: Any, place: str) -> int:
    bits = 0
    for word in words or ():
        bits |= _one(table, word, place)
    return bits


def _scheduler(entry: Mapping[str, Any] | None) -> Scheduler | None:
    if not entry:
        return None
    place = "process.scheduler"
    policy = _one(_POLICIES, entry.get("policy"), f"{place}.policy")
    numbers = {
        key: int(entry.get(key) or 0)
        for key in ("nice", "priority", "runtime", "deadline", "period")
    }
    if not -20 <= numbers["nice"] <= 19:
        raise ValueError(f"{place}.nice: {numbers['nice']} is not in -20..19")
    if numbers["priority"] and policy not in _REAL_TIME:
        raise ValueError(f"{place}.priority: only for SCHED_FIFO and SCHED_RR")
    if policy != _DEADLINE and any(numbers[k] for k in ("runtime", "deadline", "period")):
        raise ValueError(f"{place}.runtime: only for SCHED_DEADLINE, as deadline and period")
    flags = _flags(_SCHEDULER_FLAGS, entry.get("flags"), f"{place}.flags")
    return Scheduler(policy, flags, **numbers)


def _io_priority(entry: Mapping[str, Any] | None) -> int | None:
    if not entry:
        return None
    kind = _one(_IO_CLASSES, entry.get("class"), "process.ioPriority.class")
    priority = int(entry.get("priority") or 0)
    if not 0 <= priority <= 7:
        raise ValueError(f"process.ioPriority.priority: {priority} is not in 0..7")
    return kind << 13 | priority


def parse_list(text: str | None, place: str) -> frozenset[int]:
    """`0-2,5` as a set; cpuset(7), "Formats", "List format"."""
    found: set[int] = set()
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{place}: invalid list {text!r}")
        low, high = int(first), int(last or first)
        if low > high or high > _MAX_NUMBER:
            raise ValueError(f"{place}: invalid list {text!r}")
        found.update(range(low, high + 1))
    return frozenset(found)


def _personality(entry: Mapping[str, Any] | None) -> int | None:
    if not entry:
        return None
    if entry.get("flags"):
        raise ValueError("linux.personality.flags: none are supported")
    return _one(_PERSONALITIES, entry.get("domain"), "linux.personality.domain")


def _memory_policy(entry: Mapping[str, Any] | None) -> tuple[int, int] | None:
    if not entry or not entry.get("mode"):
        return None
    place = "linux.memoryPolicy"
    mode = _one(_MEMORY_MODES, entry["mode"], f"{place}.mode")
    mode |= _flags(_MEMORY_FLAGS, entry.get("flags"), f"{place}.flags")
    return mode, sum(1 << node for node in parse_list(entry.get("nodes"), f"{place}.nodes"))


def apply_attributes(kernel: Kernel, attributes: Attributes) -> None:
    if attributes is NONE:
        return
    if attributes.scheduler is not None:
        one = attributes.scheduler
        numbers = (one.nice, one.priority, one.runtime, one.deadline, one.period)
        kernel.sched_setattr(one.policy, one.flags, numbers)
    if attributes.io_priority is not None:
        kernel.ioprio_set(attributes.io_priority)
    if attributes.memory_policy is not None:
        kernel.set_mempolicy(*attributes.memory_policy)
    if attributes.personality is not None:
        kernel.personality(attributes.personality)
    if attributes.final_cpus:
        kernel.sched_setaffinity(attributes.final_cpus)
