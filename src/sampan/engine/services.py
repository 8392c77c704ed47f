"""Everything a verb needs, in one frozen bundle that `daemon.py` (or a test) makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampan.engine.config import DaemonConfig
    from sampan.engine.containers import Containers
    from sampan.engine.events import Events


@dataclass(frozen=True, slots=True)
class Services:
    config: DaemonConfig
    store: Any
    networks: Any
    spawner: Any
    containers: Containers
    events: Events
    clock: Any
