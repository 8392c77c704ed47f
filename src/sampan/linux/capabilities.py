"""Capabilities: names and bits, what this process holds, putting on the five sets.

Source: capabilities(7). Out of scope: which capabilities a container gets (`spec`).
"""

from __future__ import annotations

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.spec.defaults import ALL_CAPABILITIES
from sampan.spec.typing import Iterable, NamedTuple

NAMES: tuple[str, ...] = ALL_CAPABILITIES  # the index is the kernel's number
BITS = {name: number for number, name in enumerate(NAMES)}
CAP_SYS_ADMIN = 1 << BITS["CAP_SYS_ADMIN"]


class CapabilitySets(NamedTuple):
    """Bit masks."""

    bounding: int = 0
    effective: int = 0
    inheritable: int = 0
    permitted: int = 0
    ambient: int = 0


def mask(names: Iterable[str]) -> int:
    """Raises ValueError for a name that does not exist."""
    bits = 0
    for name in names:
        if name not in BITS:
            raise ValueError(f"unknown capability {name!r}")
        bits |= 1 << BITS[name]
    return bits


def names(bits: int) -> frozenset[str]:
    return frozenset(name for name, number in BITS.items() if bits >> number & 1)


def held_mask(status: str = "/proc/self/status") -> int:
    found = {}
    with open(status, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key in ("CapBnd", "CapPrm"):
                found[key] = int(value, 16)
    return found["CapBnd"] & found["CapPrm"]


def held_in(*, user_namespace: bool) -> int:
    """As `held_mask`, for who enters a user namespace, in which everybody begins with all (user_namespaces(7))."""
    return (1 << 64) - 1 if user_namespace else held_mask()


def held() -> frozenset[str]:
    """What this process can pass on: its bounding set, as far as it is permitted too."""
    return names(held_mask())


def drop_bounding(kernel: Kernel, keep: int) -> None:
    """Take all but `keep` out of the bounding set, also what the kernel has beyond our table.

    Needs CAP_SETPCAP, so it comes before the change of user.
    """
    for number in range(64):
        if keep >> number & 1:
            continue
        try:
            kernel.prctl(c.PR_CAPBSET_DROP, number)
        except OSError as error:
            if (
                number < len(NAMES) or error.errno != 22
            ):  # EINVAL: the kernel's last one is behind us
                raise
            return


def apply(kernel: Kernel, sets: CapabilitySets, *, extra: int = 0) -> None:
    """Put on all but the bounding set; `extra` is permitted and effective besides."""
    kernel.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.capset((sets.effective | extra, sets.permitted | extra, sets.inheritable))
    for number in range(len(NAMES)):
        if sets.ambient >> number & 1:
            kernel.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, number)
