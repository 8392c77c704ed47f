from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sampan.engine.services import Services


@dataclass(frozen=True, slots=True)
class LogOptions:
    stdout: bool = False
    stderr: bool = False
    since: int = 0  # nanoseconds since the epoch; see times.from_parameter
    until: int = 0
    timestamps: bool = False
    follow: bool = False
    tail: int = -1  # lines; -1: all
    details: bool = False


@dataclass(frozen=True, slots=True)
class LogStream:
    multiplexed: bool  # no terminal: the API frames the chunks
    chunks: AsyncIterator[tuple[int, bytes]]  # (1 stdout | 2 stderr, bytes); close with aclose()


async def read_logs(services: Services, ref: str, options: LogOptions) -> LogStream:
    """Raises NotFound, InvalidParameter (neither stream), NotImplementedHere (log driver keeps none)."""
    raise NotImplementedError
