"""Resource limits of a process, cut to what this host lets us set. setrlimit(2)."""

from __future__ import annotations

from sampan.linux import capabilities
from sampan.linux.kernel import Kernel, Limits
from sampan.spec.typing import Any, NamedTuple

# asm-generic/resource.h, in its order: as in `resource`, which is a shared object to load.
_NAMES = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
NUMBERS = {f"RLIMIT_{name}": number for number, name in enumerate(_NAMES.split())}
INFINITY = (1 << 64) - 1
_CAP_SYS_RESOURCE = 1 << capabilities.BITS["CAP_SYS_RESOURCE"]


class Limit(NamedTuple):
    name: str
    soft: int
    hard: int


def parse_limits(process: dict[str, Any]) -> list[Limit]:
    """OCI `process.rlimits`; -1 means no limit, as the engine's clients write it."""
    limits = []
    for entry in process.get("rlimits") or []:
        name = entry["type"]
        if name not in NUMBERS:
            raise ValueError(f"invalid rlimit type: {name}")
        limits.append(Limit(name, _value(entry["soft"]), _value(entry["hard"])))
    return limits


def _value(number: int) -> int:
    return INFINITY if number == -1 else number


def clamp(limit: Limit, current: Limits, ceiling: int) -> tuple[Limit, str | None]:
    """`limit` with nothing above `ceiling`, the most that may be set, and a warning when that cut it."""
    if limit.hard <= ceiling:
        return limit, None
    word = limit.name.removeprefix("RLIMIT_").lower()
    cut = Limit(limit.name, min(limit.soft, ceiling), ceiling)
    return cut, f"The {word} limit of {_text(limit.hard)} was reduced to {_text(ceiling)}, " + (
        "the most this host allows without CAP_SYS_RESOURCE."
        if ceiling == current[1]
        else "the most the kernel allows (fs.nr_open)."
    )


def _text(number: int) -> str:
    return "unlimited" if number == INFINITY else str(number)


def fit_limits(
    kernel: Kernel, limits: list[Limit], *, held: int, nr_open: int
) -> tuple[list[Limit], list[str]]:
    """What can be set by a process with the capabilities `held`, and warnings for what was cut."""
    fitted, warnings = [], []
    for limit in limits:
        current = kernel.prlimit(0, NUMBERS[limit.name])
        ceiling = INFINITY if held & _CAP_SYS_RESOURCE else current[1]
        if limit.name == "RLIMIT_NOFILE":
            # Even the mighty get EPERM above this one.
            ceiling = min(ceiling, nr_open)
        cut, warning = clamp(limit, current, ceiling)
        fitted.append(cut)
        if warning:
            warnings.append(warning)
    return fitted, warnings


def read_nr_open() -> int:
    with open("/proc/sys/fs/nr_open", encoding="utf-8") as file:
        return int(file.read())


def apply_limits(kernel: Kernel, limits: list[Limit]) -> None:
    for limit in limits:
        kernel.prlimit(0, NUMBERS[limit.name], (limit.soft, limit.hard))
