"""Lines as syslog messages: the traditional form of /dev/log, RFC 3164 and RFC 5424. Pure.

Fields are as dockerd fills them: the tag is program and message id, pid is the sender's.
"""

from __future__ import annotations

import time

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ERROR, INFORMATION = 3, 6  # severities of stderr and stdout


class SyslogEncoder:
    """`format`: "", "rfc3164", "rfc5424" or "rfc5424micro"."""

    def __init__(self, *, format: str, facility: int, host: str, tag: str, pid: int) -> None:
        self._format = format
        self._facility = facility << 3
        self._host = host
        self._tag = tag
        self._pid = pid

    def encode(self, line: bytes, *, error: bool, moment: int) -> bytes:
        """One message with its newline. `moment`: nanoseconds since 1970."""
        priority = self._facility | (ERROR if error else INFORMATION)
        host, tag, pid = self._host, self._tag, self._pid
        if self._format.startswith("rfc5424"):
            stamp = _rfc3339(moment, micro=self._format.endswith("micro"))
            head = f"<{priority}>1 {stamp} {host} {tag} {pid} {tag} - "
        elif self._format == "rfc3164":
            head = f"<{priority}>{_stamp(moment)} {host} {tag}[{pid}]: "
        else:
            head = f"<{priority}>{_stamp(moment)} {tag}[{pid}]: "
        return head.encode("utf-8", "replace") + line + b"\n"


def _stamp(moment: int) -> str:
    """`Jan _2 15:04:05`, in local time."""
    at = time.localtime(moment // 10**9)
    clock = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday:2d} {clock}"


def _rfc3339(moment: int, *, micro: bool) -> str:
    at = time.localtime(moment // 10**9)
    text = (
        f"{at.tm_year:04d}-{at.tm_mon:02d}-{at.tm_mday:02d}"
        f"T{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    )
    if micro:
        text += f".{moment % 10**9 // 1000:06d}"
    if not at.tm_gmtoff:
        return text + "Z"
    minutes = abs(at.tm_gmtoff) // 60
    return f"{text}{'-' if at.tm_gmtoff < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
