"""What a cgroup has used: raw numbers, from v1's files and from v2's, in one shape.

Times are nanoseconds, sizes bytes; -1 is "no limit". `stat` is the kernel's table as it stands.

    {"cpu": {"usage", "user", "system", "percpu": [...],
             "periods", "throttled_periods", "throttled_time"},
     "memory": {"usage", "max_usage", "limit", "failcnt", "stat": {...}},
     "pids": {"current", "limit"},
     "blkio": {"io_service_bytes_recursive": [{"major", "minor", "op", "value"}],
               "io_serviced_recursive": [...]}}

A controller that the host lacks is an absent key.
"""

from __future__ import annotations

from sampan.linux.cgroup.files import read_number, read_or, read_table
from sampan.spec.typing import Any, Mapping, NamedTuple

Statistics = dict[str, dict[str, Any]]

_NO_LIMIT = 1 << 62
_TICK = 1_000_000_000 // 100  # USER_HZ is 100 on every architecture that Linux still has


def statistics_v1(folders: Mapping[str, str]) -> Statistics:
    found: Statistics = {}
    if "cpuacct" in folders:
        found["cpu"] = _cpu_v1(folders["cpuacct"], folders.get("cpu"))
    if "memory" in folders:
        found["memory"] = _memory_v1(folders["memory"])
    if "pids" in folders:
        found["pids"] = _pids(folders["pids"])
    if "blkio" in folders:
        found["blkio"] = _blkio_v1(folders["blkio"])
    return found


def statistics_v2(folder: str) -> Statistics:
    controllers = read_or(folder + "/cgroup.controllers", "").split()
    found = {"cpu": _cpu_v2(folder)}
    if "memory" in controllers:
        found["memory"] = _memory_v2(folder)
    if "pids" in controllers:
        found["pids"] = _pids(folder)
    if "io" in controllers:
        found["blkio"] = _io_v2(folder)
    return found


def _cpu_v1(accounting: str, cpu: str | None) -> dict[str, Any]:
    ticks = read_table(accounting + "/cpuacct.stat")
    throttling = read_table(cpu + "/cpu.stat") if cpu else {}
    percpu = read_or(accounting + "/cpuacct.usage_percpu", "").split()
    return {
        "usage": read_number(accounting + "/cpuacct.usage"),
        "user": ticks.get("user", 0) * _TICK,
        "system": ticks.get("system", 0) * _TICK,
        "percpu": [int(word) for word in percpu],
        "periods": throttling.get("nr_periods", 0),
        "throttled_periods": throttling.get("nr_throttled", 0),
        "throttled_time": throttling.get("throttled_time", 0),
    }


def _cpu_v2(folder: str) -> dict[str, Any]:
    table = read_table(folder + "/cpu.stat")
    return {
        "usage": table.get("usage_usec", 0) * 1000,
        "user": table.get("user_usec", 0) * 1000,
        "system": table.get("system_usec", 0) * 1000,
        "percpu": [],
        "periods": table.get("nr_periods", 0),
        "throttled_periods": table.get("nr_throttled", 0),
        "throttled_time": table.get("throttled_usec", 0) * 1000,
    }


def _memory_v1(folder: str) -> dict[str, Any]:
    limit = read_number(folder + "/memory.limit_in_bytes", -1)
    return {
        "usage": read_number(folder + "/memory.usage_in_bytes"),
        "max_usage": read_number(folder + "/memory.max_usage_in_bytes"),
        "limit": -1 if limit >= _NO_LIMIT else limit,
        "failcnt": read_number(folder + "/memory.failcnt"),
        "stat": read_table(folder + "/memory.stat"),
    }


def _memory_v2(folder: str) -> dict[str, Any]:
    return {
        "usage": read_number(folder + "/memory.current"),
        "max_usage": read_number(folder + "/memory.peak"),
        "limit": read_number(folder + "/memory.max", -1),
        "failcnt": read_table(folder + "/memory.events").get("max", 0),
        "stat": read_table(folder + "/memory.stat"),
    }


def _pids(folder: str) -> dict[str, Any]:
    return {
        "current": read_number(folder + "/pids.current"),
        "limit": read_number(folder + "/pids.max", -1),
    }


def _blkio_v1(folder: str) -> dict[str, Any]:
    keys = ("io_service_bytes_recursive", "io_serviced_recursive")
    return {key: _blkio_v1_rows(folder, key) for key in keys}


def _blkio_v1_rows(folder: str, key: str) -> list[dict[str, Any]]:
    """A disk is counted by its scheduler when that is bfq, by the throttle layer always."""
    text = read_or(f"{folder}/blkio.bfq.{key}", "")
    return _blkio_rows(text) or _blkio_rows(read_or(f"{folder}/blkio.throttle.{key}", ""))


def _blkio_rows(text: str) -> list[dict[str, Any]]:
    """Lines of `MAJOR:MINOR Operation N`; the last line, `Total N`, is left out."""
    rows = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3:
            major, _, minor = fields[0].partition(":")
            rows.append(_row(major, minor, fields[1], fields[2]))
    return rows


def _io_v2(folder: str) -> dict[str, Any]:
    """Lines of `MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N dbytes=N dios=N`."""
    sizes, counts = [], []
    for line in read_or(folder + "/io.stat", "").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for operation, letter in (("read", "r"), ("write", "w")):
            sizes.append(_row(major, minor, operation, values.get(f"{letter}bytes", "0")))
            counts.append(_row(major, minor, operation, values.get(f"{letter}ios", "0")))
    return {"io_service_bytes_recursive": sizes, "io_serviced_recursive": counts}


def _row(major: str, minor: str, operation: str, value: str) -> dict[str, Any]:
    return {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}


class Totals(NamedTuple):
    """What is left to tell of a cgroup that goes. 0 where the host does not count it."""

    peak_memory: int  # bytes
    cpu_time: int  # nanoseconds
    io_read: int  # bytes
    io_written: int


def totals_v1(folders: Mapping[str, str]) -> Totals:
    """Three small files."""
    cpu, memory, block = (folders.get(name) for name in ("cpuacct", "memory", "blkio"))
    rows = _blkio_v1_rows(block, "io_service_bytes_recursive") if block else []
    return Totals(
        read_number(memory + "/memory.max_usage_in_bytes") if memory else 0,
        read_number(cpu + "/cpuacct.usage") if cpu else 0,
        _sum(rows, "read"),
        _sum(rows, "write"),
    )


def totals_v2(folder: str) -> Totals:
    rows = _io_v2(folder)["io_service_bytes_recursive"]
    return Totals(
        read_number(folder + "/memory.peak"),
        read_table(folder + "/cpu.stat").get("usage_usec", 0) * 1000,
        _sum(rows, "read"),
        _sum(rows, "write"),
    )


def _sum(rows: list[dict[str, Any]], operation: str) -> int:
    return sum(row["value"] for row in rows if row["op"].lower() == operation)
