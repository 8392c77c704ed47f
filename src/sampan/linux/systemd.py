"""systemd as the one who makes cgroups: transient scopes, by its own socket (no bus daemon is needed).

A scope holds processes that somebody else has started: it is begun with the first of them, ends with the last, and its
cgroup is the container's own to divide (`Delegate`). Limits are told to systemd as its properties *and* written by
ourselves (`cgroup.Cgroup.apply`): it would else take ours back when it reloads.

Source: org.freedesktop.systemd1(5), systemd.resource-control(5), systemd.slice(5). Only for cgroup v2.
"""

from __future__ import annotations

import math
import os

from sampan.linux.cgroup.resources import swap_v2, weight_of_shares
from sampan.linux.dbus import Connection, DBusError, Variant
from sampan.spec.typing import Any, NamedTuple

SOCKET = "/run/systemd/private"
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_MANAGER = "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
_INFINITY = (1 << 64) - 1
_DEFAULT_SLICE = "system.slice"
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.\\-@")
_MAX_NAME = 255


class Scope(NamedTuple):
    """A unit: `name` with its suffix, and the slice that it is in."""

    name: str
    slice: str

    @property
    def cgroup(self) -> str:
        """Its path below the mount point."""
        return f"{slice_path(self.slice)}/{self.name}"


def booted() -> bool:
    return os.path.isdir(_BOOTED)


def slice_path(name: str) -> str:
    """ "a-b.slice" is in "a.slice"; "-.slice" is the root. Raises ValueError."""
    stem = name.removesuffix(".slice")
    if stem == "-" and stem != name:
        return ""
    parts = stem.split("-")
    if stem == name or "/" in name or not all(parts):
        raise ValueError(f"invalid slice name: {name}")
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


def parse_path(text: str, container_id: str) -> Scope:
    """`cgroupsPath` as runc has it with systemd: "slice:prefix:name". Raises ValueError."""
    if not text:
        return _checked(Scope(f"sampan-{container_id}.scope", _DEFAULT_SLICE))
    parts = text.split(":")
    if len(parts) != 3:
        raise ValueError(
            f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "{text}" instead'
        )
    wanted, prefix, name = parts
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return _checked(Scope(name, wanted or _DEFAULT_SLICE))


def _checked(scope: Scope) -> Scope:
    slice_path(scope.slice)
    if not scope.name.endswith(".scope"):
        raise ValueError(f"{scope.name}: only scopes can hold containers")
    if not _NAME.issuperset(scope.name) or len(scope.name) > _MAX_NAME or scope.name == ".scope":
        raise ValueError(f"invalid unit name: {scope.name}")
    return scope


def start_scope(scope: Scope, pid: int, description: str, resources: dict[str, Any]) -> None:
    """Returns when the process is in the scope's cgroup. Raises OSError."""
    properties = [
        ("Description", Variant("s", description)),
        ("Slice", Variant("s", scope.slice)),
        ("PIDs", Variant("au", [pid])),
        ("Delegate", Variant("b", True)),
        ("DefaultDependencies", Variant("b", False)),
        ("CollectMode", Variant("s", "inactive-or-failed")),
        *((f"{kind}Accounting", Variant("b", True)) for kind in ("CPU", "Memory", "IO", "Tasks")),
        *properties_of(resources),
    ]
    with Connection.open(SOCKET) as bus:
        values: tuple[Any, ...] = (scope.name, "fail", properties, [])
        (job,) = bus.call(*_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", values)
        for message in bus.signals():
            # JobRemoved(number, job, unit, result)
            if len(message.body) == 4 and message.body[1] == job:
                if message.body[3] != "done":
                    raise OSError(5, f"systemd: start of {scope.name}: {message.body[3]}")
                return


def stop_scope(scope: Scope) -> None:
    """Does not wait: of a scope without processes there is nothing to wait for but systemd's own books.

    Nothing to stop is no error: a scope ends with its last process.
    """
    try:
        with Connection.open(SOCKET) as bus:
            bus.call(*_MANAGER, "StopUnit", "ss", (scope.name, "replace"))
    except DBusError as error:
        if error.name != "org.freedesktop.systemd1.NoSuchUnit":
            raise
    except (FileNotFoundError, ConnectionRefusedError):
        pass  # no systemd any more: nor has it units


def update_scope(scope: Scope, resources: dict[str, Any]) -> None:
    """Until the next boot. Raises OSError."""
    properties = properties_of(resources)
    if properties:
        with Connection.open(SOCKET) as bus:
            values = (scope.name, True, properties)
            bus.call(*_MANAGER, "SetUnitProperties", "sba(sv)", values)


def properties_of(resources: dict[str, Any]) -> list[tuple[str, Variant]]:
    """OCI's `linux.resources` in systemd's words, as far as it has any."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    found: list[tuple[str, Variant]] = []

    def bytes_of(name: str, value: int | None) -> None:
        if value:
            found.append((name, Variant("t", _INFINITY if value < 0 else value)))

    limit = memory.get("limit") or 0
    bytes_of("MemoryMax", limit)
    bytes_of("MemoryLow", memory.get("reservation"))
    if memory.get("swap"):
        swap = swap_v2(limit, memory["swap"])
        if swap is not None:
            found.append(("MemorySwapMax", Variant("t", _INFINITY if swap < 0 else swap)))
    bytes_of("TasksMax", (resources.get("pids") or {}).get("limit"))
    if cpu.get("shares"):
        found.append(("CPUWeight", Variant("t", weight_of_shares(cpu["shares"]))))
    if cpu.get("quota"):
        period = cpu.get("period") or 100_000
        # In steps of 10 ms a second, as systemd keeps it: rounded up, so that it is never less than asked for.
        share = math.ceil(cpu["quota"] * 1_000_000 / period / 10_000) * 10_000
        value = _INFINITY if cpu["quota"] < 0 else share
        found.append(("CPUQuotaPerSecUSec", Variant("t", value)))
        found.append(("CPUQuotaPeriodUSec", Variant("t", period)))
    for key, name in (("cpus", "AllowedCPUs"), ("mems", "AllowedMemoryNodes")):
        if cpu.get(key):
            found.append((name, Variant("ay", _bits(cpu[key]))))
    return found


def _bits(text: str) -> list[int]:
    """ "0-2,5" as the bytes of a mask, lowest first."""
    mask = 0
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            mask |= 1 << number
    return list(mask.to_bytes(max(1, -(-mask.bit_length() // 8)), "little"))
