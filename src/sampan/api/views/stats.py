"""Samples of `docker stats` as the API shows them: StatsResponse, whose fields differ between cgroup v1 and v2."""

from __future__ import annotations

from typing import Any

from sampan.engine import times
from sampan.engine.stats import Sample

_BLKIO = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
# What dockerd takes of memory.stat.
_WORDS_V1 = """
    cache rss rss_huge mapped_file dirty writeback pgpgin pgpgout pgfault pgmajfault inactive_anon active_anon
    inactive_file active_file unevictable
"""
_WORDS_V2 = """
    anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp inactive_anon active_anon
    inactive_file active_file unevictable slab_reclaimable slab_unreclaimable pgfault pgmajfault workingset_refault
    workingset_activate workingset_nodereclaim pgrefill pgscan pgsteal pgactivate pgdeactivate pglazyfree
    pglazyfreed thp_fault_alloc thp_collapse_alloc
"""
_MEMORY_V1 = {
    *_WORDS_V1.split(),
    *(f"total_{word}" for word in _WORDS_V1.split()),
    *("hierarchical_memory_limit", "hierarchical_memsw_limit"),
}
_MEMORY_V2 = {*_WORDS_V2.split()}


def stats(before: Sample, sample: Sample) -> dict[str, Any]:
    body: dict[str, Any] = {
        "read": times.to_text(sample.read),
        "preread": times.to_text(before.read),
        "pids_stats": _pids(sample),
        "blkio_stats": _blkio(sample),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample),
        "precpu_stats": _cpu(before),
        "memory_stats": _memory(sample),
        "name": f"/{sample.name}",
        "id": sample.container_id,
    }
    if sample.networks:
        body["networks"] = sample.networks
    return body


def _pids(sample: Sample) -> dict[str, int]:
    pids = sample.cgroup.get("pids")
    if pids is None:
        return {}
    found = {"current": pids["current"]}
    if pids["limit"] > 0:
        found["limit"] = pids["limit"]
    return found


def _blkio(sample: Sample) -> dict[str, Any]:
    body: dict[str, Any] = dict.fromkeys(_BLKIO)
    if sample.read and not sample.unified:
        body = {name: [] for name in _BLKIO}
    tables = sample.cgroup.get("blkio") or {}
    for name, rows in tables.items():
        body[name] = rows or body[name]
    return body


def _cpu(sample: Sample) -> dict[str, Any]:
    cpu = sample.cgroup.get("cpu") or {}
    usage: dict[str, Any] = {
        "total_usage": cpu.get("usage", 0),
        "usage_in_kernelmode": cpu.get("system", 0),
        "usage_in_usermode": cpu.get("user", 0),
    }
    if cpu.get("percpu"):
        usage["percpu_usage"] = cpu["percpu"]
    body: dict[str, Any] = {"cpu_usage": usage}
    if sample.read:
        body |= {"system_cpu_usage": sample.system, "online_cpus": sample.cpus}
    body["throttling_data"] = {
        "periods": cpu.get("periods", 0),
        "throttled_periods": cpu.get("throttled_periods", 0),
        "throttled_time": cpu.get("throttled_time", 0),
    }
    return body


def _memory(sample: Sample) -> dict[str, Any]:
    memory = sample.cgroup.get("memory")
    if memory is None:
        return {}
    known = _MEMORY_V2 if sample.unified else _MEMORY_V1
    body: dict[str, Any] = {"usage": memory["usage"]}
    if not sample.unified:
        body["max_usage"] = memory["max_usage"]
    body["stats"] = {name: value for name, value in memory["stat"].items() if name in known}
    if memory["failcnt"] and not sample.unified:
        body["failcnt"] = memory["failcnt"]
    limit = memory["limit"]
    body["limit"] = limit if 0 < limit < sample.host_memory else sample.host_memory
    return body
