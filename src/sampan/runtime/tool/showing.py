"""`state`, `list`, `ps`, `events`, `spec`: what is there, in the forms that runc's callers parse."""

from __future__ import annotations

import json
import os
import select

from sampan.linux.cgroup import Cgroup
from sampan.runtime.tool.state import (
    RUNNING,
    STOPPED,
    Record,
    Store,
    ToolError,
    group_of,
    status_of,
    view,
)
from sampan.spec.typing import Any, Iterable

_DOCUMENT = {"indent": 2, "ensure_ascii": False}


def show_state(store: Store, container_id: str) -> None:
    record = store.read(container_id)
    print(json.dumps(view(record, status_of(store, record)), indent=2))


def show_list(store: Store, form: str, *, quiet: bool) -> None:
    if form not in ("", "table", "json"):
        raise ToolError("invalid format option")
    views = [view(record, status_of(store, record)) for record in store.all()]
    if quiet:
        for each in views:
            print(each["id"])
    elif form == "json":
        print(json.dumps(views or None, separators=(",", ":")))
    else:
        rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
        keys = ("id", "pid", "status", "bundle", "created", "owner")
        rows += [[str(each[key]) for key in keys] for each in views]
        print("\n".join(_table(rows)))


def _table(rows: list[list[str]]) -> Iterable[str]:
    """As Go's tabwriter with a minimum of 12 and three spaces between."""
    widths = [max(12, max(len(row[n]) for row in rows) + 3) for n in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        yield "".join([*cells, row[-1]])


def show_processes(store: Store, container_id: str, form: str, arguments: list[str]) -> None:
    if form not in ("", "table", "json"):
        raise ToolError("invalid format option")
    group = _running_group(store, container_id)
    pids = sorted(group.processes())
    if form == "json":
        print(json.dumps(pids, separators=(",", ":")))
        return
    text = _run_ps(arguments or ["-ef"])
    header, *lines = text.splitlines()
    titles = header.split()
    if "PID" not in titles:
        raise ToolError("couldn't find PID field in ps output")
    place = titles.index("PID")
    print(header)
    for line in lines:
        words = line.split()
        if len(words) > place and words[place].isdigit() and int(words[place]) in pids:
            print(line)


def _run_ps(arguments: list[str]) -> str:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1)]
    try:
        pid = os.posix_spawnp("ps", ["ps", *arguments], os.environ, file_actions=actions)
    except OSError as error:
        os.close(reader)
        raise ToolError(f'exec: "ps": {error.strerror}') from None
    finally:
        os.close(writer)
    with open(reader, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 or not text:
        raise ToolError(f"ps {' '.join(arguments)} failed")
    return text


def _running_group(store: Store, container_id: str) -> Cgroup:
    record = store.read(container_id)
    if status_of(store, record) == STOPPED:
        raise ToolError("container not running")
    group = group_of(record)
    if group is None or not group.exists():
        raise ToolError("container has no cgroup")
    return group


def show_events(store: Store, container_id: str, interval: str, *, once: bool) -> None:
    """A line a document: `stats` every interval, `oom` when the kernel has killed something."""
    pause = _seconds(interval or "5s")
    if pause <= 0:
        raise ToolError("duration interval must be greater than 0")
    record = store.read(container_id)
    group = _running_group(store, container_id)
    if once:
        _print_event("stats", container_id, statistics(group))
        return
    _follow(store, record, group, pause)


def _follow(store: Store, record: Record, group: Cgroup, pause: float) -> None:
    oom, kills = group.oom_events_fd(), group.oom_kills()
    poller = select.poll()
    pidfd = os.pidfd_open(record.pid)
    for fd in (pidfd, *([oom] if oom is not None else [])):
        poller.register(fd, select.POLLIN)
    while status_of(store, record) != STOPPED:
        ready = {fd for fd, _ in poller.poll(pause * 1000)}
        if pidfd in ready:
            return
        if oom in ready and oom is not None:
            os.read(oom, 4096)
            if group.exists() and (now := group.oom_kills()) > kills:
                kills = now
                _print_event("oom", record.id, None)
            continue
        _print_event("stats", record.id, statistics(group))


def _print_event(kind: str, container_id: str, data: Any) -> None:
    event = {"type": kind, "id": container_id}
    if data is not None:
        event["data"] = data
    print(json.dumps(event, separators=(",", ":")), flush=True)


_UNITS = {"ms": 0.001, "us": 0.000001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(text: str) -> float:
    """Of one number with Go's unit."""
    number = text.rstrip("smhu")
    try:
        return float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        raise ToolError(f'invalid value "{text}" for flag -interval: parse error') from None


def statistics(group: Cgroup) -> dict[str, Any]:
    """In the form of runc's `events`."""
    found = group.statistics()
    data: dict[str, Any] = {}
    if cpu := found.get("cpu"):
        usage = {"total": cpu["usage"], "kernel": cpu["system"], "user": cpu["user"]}
        if cpu["percpu"]:
            usage["percpu"] = cpu["percpu"]
        throttling = {
            "periods": cpu["periods"],
            "throttledPeriods": cpu["throttled_periods"],
            "throttledTime": cpu["throttled_time"],
        }
        data["cpu"] = {"usage": usage, "throttling": throttling}
    if memory := found.get("memory"):
        entry = {key: memory[key] for key in ("limit", "usage")}
        entry |= {"max": memory["max_usage"], "failcnt": memory["failcnt"]}
        data["memory"] = {"usage": entry, "raw": memory["stat"]}
        data["memory"]["cache"] = memory["stat"].get("cache", memory["stat"].get("file", 0))
    if pids := found.get("pids"):
        limit = {"limit": pids["limit"]} if pids["limit"] > 0 else {}
        data["pids"] = {"current": pids["current"], **limit}
    if block := found.get("blkio"):
        data["blkio"] = {
            "ioServiceBytesRecursive": block["io_service_bytes_recursive"],
            "ioServicedRecursive": block["io_serviced_recursive"],
        }
    return data


def require_running(store: Store, container_id: str) -> Record:
    record = store.read(container_id)
    if status_of(store, record) not in (RUNNING,):
        raise ToolError("container not running")
    return record
