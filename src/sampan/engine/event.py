"""One thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    type: str  # "container", "image", "network", "volume", "daemon"
    action: str  # "create", "die", "exec_start: /bin/sh", …
    actor: str  # id (or name) of the thing
    attributes: Mapping[str, str] = field(default_factory=dict)
    time: int = 0  # nanoseconds since the epoch, different for every event
    scope: str = "local"
