"""What containers use, as rows of `stats`."""

from __future__ import annotations

from sampan.cli.formats.table import TABLE, short_id
from sampan.cli.units import bytes_size, human_size
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "ID": "CONTAINER ID",
    "Container": "CONTAINER",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_UNKNOWN = "--"


def stats_format(source: str) -> str:
    """A named format in full."""
    if source in (TABLE, ""):
        return f"{TABLE} " + "\t".join(f"{{{{.{name}}}}}" for name in _COLUMNS)
    return source


class StatsRow(Record):
    """`sample` is the daemon's answer, `before` the one before it (None: what stands in the sample); None
    instead of a sample is a container that cannot be asked any more."""

    type_name = "*container.statsContext"

    def __init__(
        self,
        name: str,
        sample: dict[str, Any] | None,
        before: dict[str, Any] | None,
        *,
        truncate: bool,
    ) -> None:
        self._container = name
        self._s = sample
        self._before = before
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        return {
            "BlockIO": lambda: self._pair(self._block),
            "CPUPerc": self._cpu,
            "Container": lambda: self._container,
            "ID": self._id,
            "MemPerc": self._memory_percent,
            "MemUsage": self._memory_usage,
            "Name": self._name,
            "NetIO": lambda: self._pair(self._network),
            "PIDs": lambda: (
                _UNKNOWN if self._s is None else str(_of(self._s, "pids_stats", "current"))
            ),
        }

    def _id(self) -> str:
        if self._s is None:
            return self._container
        identity: str = self._s.get("id") or ""
        return short_id(identity) if self._truncate else identity

    def _name(self) -> str:
        return (self._s or {}).get("name", "").removeprefix("/") or _UNKNOWN

    def _cpu(self) -> str:
        if self._s is None:
            return _UNKNOWN
        before = self._before["cpu_stats"] if self._before else self._s.get("precpu_stats") or {}
        return f"{cpu_percent(before, self._s.get('cpu_stats') or {}):.2f}%"

    def _memory_usage(self) -> str:
        if self._s is None:
            return f"{_UNKNOWN} / {_UNKNOWN}"
        limit = _of(self._s, "memory_stats", "limit")
        return f"{bytes_size(memory_used(self._s))} / {bytes_size(limit)}"

    def _memory_percent(self) -> str:
        if self._s is None:
            return _UNKNOWN
        limit = _of(self._s, "memory_stats", "limit")
        return f"{memory_used(self._s) / limit * 100 if limit else 0:.2f}%"

    def _pair(self, numbers: Callable[[dict[str, Any]], tuple[int, int]]) -> str:
        if self._s is None:
            return _UNKNOWN
        came, went = numbers(self._s)
        return f"{human_size(came, 3)} / {human_size(went, 3)}"

    def _network(self, sample: dict[str, Any]) -> tuple[int, int]:
        links = (sample.get("networks") or {}).values()
        return sum(link["rx_bytes"] for link in links), sum(link["tx_bytes"] for link in links)

    def _block(self, sample: dict[str, Any]) -> tuple[int, int]:
        rows = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
        totals = {"r": 0, "w": 0}
        for row in rows:
            letter = row["op"][:1].lower()
            if letter in totals:
                totals[letter] += row["value"]
        return totals["r"], totals["w"]


def cpu_percent(before: dict[str, Any], now: dict[str, Any]) -> float:
    """Of one CPU."""
    used = _of(now, "cpu_usage", "total_usage") - _of(before, "cpu_usage", "total_usage")
    passed = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    cpus = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or ())
    return used / passed * cpus * 100 if used > 0 and passed > 0 else 0.0


def memory_used(sample: dict[str, Any]) -> int:
    """Without what the kernel would give back at once."""
    memory = sample.get("memory_stats") or {}
    usage: int = memory.get("usage") or 0
    table = memory.get("stats") or {}
    cached: int = table.get("total_inactive_file", table.get("inactive_file", 0))
    return usage - cached if cached < usage else usage


def _of(body: dict[str, Any], outer: str, inner: str) -> int:
    value: int = (body.get(outer) or {}).get(inner) or 0
    return value
