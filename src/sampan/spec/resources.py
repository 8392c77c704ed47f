"""A container's limits as OCI `linux.resources`; used at its start and when it is updated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sampan.errors import InvalidParameter
from sampan.spec.container import HostConfig, ThrottleDevice, Ulimit, WeightDevice
from sampan.spec.defaults import DEVICE_RULES, RLIMITS, UNLIMITED, DeviceRule

_PERIOD = 100_000
_NUMBER_LIMIT = (1 << 32) - 1

BlockDevices = Mapping[str, tuple[int, int]]
"""Path of a block device on the host → major, minor."""


def build_limits(host: HostConfig, block_devices: BlockDevices) -> dict[str, Any]:
    """`memory`, `cpu`, `pids`, `blockIO`, each only when it limits something."""
    limits = {
        "memory": _memory(host),
        "cpu": _cpu(host),
        "pids": _pids(host),
        "blockIO": _block_io(host, block_devices),
    }
    return {key: value for key, value in limits.items() if value}


def _memory(host: HostConfig) -> dict[str, Any]:
    memory: dict[str, Any] = {}
    if host.memory > 0:
        memory["limit"] = host.memory
    if host.memory_reservation > 0:
        memory["reservation"] = host.memory_reservation
    # -1, as much swap as there is, must be said when the limit may have been lower before.
    if host.memory_swap > 0 or (host.memory_swap == -1 and host.memory > 0):
        memory["swap"] = host.memory_swap
    if host.memory_swappiness not in (None, -1):
        memory["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(host: HostConfig) -> dict[str, Any]:
    cpu: dict[str, Any] = {}
    if host.cpu_shares:
        cpu["shares"] = host.cpu_shares
    if host.nano_cpus > 0:
        cpu["period"], cpu["quota"] = _PERIOD, host.nano_cpus * _PERIOD // 10**9
    for key, value in (
        ("period", host.cpu_period),
        ("quota", host.cpu_quota),
        ("realtimePeriod", host.cpu_realtime_period),
        ("realtimeRuntime", host.cpu_realtime_runtime),
        ("cpus", host.cpuset_cpus),
        ("mems", host.cpuset_mems),
    ):
        if value:
            cpu[key] = value
    return cpu


def _pids(host: HostConfig) -> dict[str, Any]:
    """Zero and below are no limit, which the runtime-spec calls -1."""
    if host.pids_limit is None:
        return {}
    return {"limit": host.pids_limit if host.pids_limit > 0 else -1}


def _block_io(host: HostConfig, devices: BlockDevices) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if host.blkio_weight:
        block["weight"] = host.blkio_weight
    if host.blkio_weight_device:
        block["weightDevice"] = [_weighted(item, devices) for item in host.blkio_weight_device]
    for key, items in (
        ("throttleReadBpsDevice", host.blkio_device_read_bps),
        ("throttleWriteBpsDevice", host.blkio_device_write_bps),
        ("throttleReadIOPSDevice", host.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", host.blkio_device_write_iops),
    ):
        if items:
            block[key] = [_throttled(item, devices) for item in items]
    return block


def _weighted(item: WeightDevice, devices: BlockDevices) -> dict[str, int]:
    return {**_number(item.path, devices), "weight": item.weight}


def _throttled(item: ThrottleDevice, devices: BlockDevices) -> dict[str, int]:
    return {**_number(item.path, devices), "rate": item.rate}


def _number(path: str, devices: BlockDevices) -> dict[str, int]:
    if path not in devices:
        raise InvalidParameter(f"stat {path}: no such file or directory")
    major, minor = devices[path]
    return {"major": major, "minor": minor}


def device_rules(rules: Iterable[DeviceRule] = DEVICE_RULES) -> list[dict[str, Any]]:
    return [_rule(*rule) for rule in rules]


def _rule(
    allow: bool, kind: str, major: int | None, minor: int | None, access: str
) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": allow}
    if kind != "a":
        rule["type"] = kind
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return {**rule, "access": access}


def parse_device_rule(text: str) -> DeviceRule:
    """`--device-cgroup-rule`: `TYPE MAJOR:MINOR ACCESS`, `*` for every number."""
    words = text.split(" ")
    numbers = words[1].split(":") if len(words) == 3 else []
    if (
        len(numbers) != 2
        or words[0] not in ("a", "b", "c")
        or not (1 <= len(words[2]) <= 3 and set(words[2]) <= set("rwm"))
    ):
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
    major, minor = (_device_number(number, text) for number in numbers)
    return True, words[0], major, minor, words[2]


def _device_number(number: str, text: str) -> int | None:
    if number == "*":
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 12):
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
    value = int(number)
    if value > _NUMBER_LIMIT:
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
    return value


def build_rlimits(
    ulimits: Iterable[Ulimit], held: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """The defaults, no higher than `held` (the daemon's own hard limits), and what the caller asks for.

    `held` lacks only for a daemon that may raise every limit (CAP_SYS_RESOURCE).
    """
    chosen = {}
    for name, soft, hard in RLIMITS:
        ceiling = (held or {}).get(name, UNLIMITED)
        chosen[name] = (min(soft, ceiling), min(hard, ceiling))
    for ulimit in ulimits:
        values = (n if n >= 0 else UNLIMITED for n in (ulimit.soft, ulimit.hard))
        soft, hard = values
        chosen["RLIMIT_" + ulimit.name.upper()] = (soft, hard)
    return [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in chosen.items()]
