"""What a monitor leaves in its folder for a daemon that comes back, each file whole or absent.

monitor.json   who serves the container and which process it is    (gone after `delete`)
exit.json      how it ended: the `exit` message
monitor.err    what went wrong inside the monitor itself; normally not there
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from sampan.linux.atomic import write_file

MONITOR, EXIT, SOCKET, ERRORS, CONFIG = (
    "monitor.json",
    "exit.json",
    "monitor.sock",
    "monitor.err",
    "config.json",
)
ERRORS_LIMIT = 64 * 1024

R = TypeVar("R", "MonitorRecord", "ExitRecord")


@dataclass(frozen=True, slots=True)
class MonitorRecord:
    """`init_pid` is 0 until the container is created; `started_at` empty until its command runs."""

    version: int
    pid: int
    start_time: int
    boot_id: str
    container_id: str
    cgroup: str
    init_pid: int = 0
    init_start_time: int = 0
    started_at: str = ""


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """`exit_code` as a shell counts it; `signal` 0 when it ended by itself; times are RFC3339Nano.

    `log_dropped`: records lost because the log could not be written. What the container has used in all, in
    bytes and nanoseconds, 0 where the host does not count it.
    """

    exit_code: int
    signal: int
    oom_killed: bool
    finished_at: str
    container_id: str
    pid: int
    started_at: str = ""
    error: str = ""
    log_dropped: int = 0
    peak_memory: int = 0
    cpu_time: int = 0
    io_read: int = 0
    io_written: int = 0
    oom_kills: int = 0


def as_message(record: ExitRecord) -> dict[str, Any]:
    return asdict(record)


def write_record(directory: str, record: MonitorRecord | ExitRecord) -> None:
    name = MONITOR if isinstance(record, MonitorRecord) else EXIT
    data = json.dumps(asdict(record), separators=(",", ":")).encode()
    write_file(os.path.join(directory, name), data)


def read_monitor_record(directory: str) -> MonitorRecord | None:
    """None when there is none, or nothing that can be trusted."""
    fields = _read(directory, MONITOR)
    return None if fields is None else _checked(MonitorRecord, fields)


def read_exit_record(directory: str) -> ExitRecord | None:
    """None when there is none, or nothing that can be trusted."""
    fields = _read(directory, EXIT)
    return None if fields is None else _checked(ExitRecord, fields)


def _read(directory: str, name: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(directory, name), "rb") as file:
            value = json.loads(file.read(1024 * 1024))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _checked(kind: type[R], fields: dict[str, Any]) -> R | None:
    """`fields` as a record; those that this version does not know are left out."""
    known = {name: fields[name] for name in kind.__dataclass_fields__ if name in fields}
    for name, value in known.items():
        wanted = kind.__dataclass_fields__[name].type  # the annotation's text
        if type(value).__name__ != wanted:
            return None
    try:
        return kind(**known)
    except TypeError:
        return None  # one is missing


def append_error(directory: str, text: str) -> None:
    """Best effort, bounded: whoever debugs a monitor looks here."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(os.path.join(directory, ERRORS), flags, 0o600)
        try:
            if os.fstat(fd).st_size < ERRORS_LIMIT:
                os.write(fd, text.encode("utf-8", "replace"))
        finally:
            os.close(fd)
    except OSError:
        pass
