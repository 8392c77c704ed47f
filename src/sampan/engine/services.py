"""Everything a verb needs, in one frozen bundle that `daemon.py` (or a test) makes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sampan.engine.clock import Clock
from sampan.engine.config import DaemonConfig, Live
from sampan.engine.containers import Containers
from sampan.engine.doors import Monitors, Networks
from sampan.engine.events import Events
from sampan.engine.host import Host
from sampan.engine.network.registry import NetworkRegistry
from sampan.engine.paths import Paths
from sampan.engine.receipts import Receipts
from sampan.engine.records import ContainerRecord, encode
from sampan.linux.kernel import Kernel

if TYPE_CHECKING:
    from sampan.distribution.distribution import Distribution
    from sampan.engine.exec import Execs
    from sampan.engine.remap import Remap
    from sampan.store.jobs import Spawn
    from sampan.store.store import Store


@dataclass(frozen=True, slots=True)
class Services:
    live: Live
    paths: Paths
    host: Host
    store: Store
    distribution: Distribution
    networks: Networks
    network_records: NetworkRegistry
    monitors: Monitors
    containers: Containers
    execs: Execs
    events: Events
    kernel: Kernel
    spawn: Spawn  # of worker roles
    receipts: Receipts
    remap: Remap | None = None
    seccomp_default: str = ""  # "" for the built-in profile, "unconfined", or JSON
    clock: Clock = field(default_factory=Clock)

    @property
    def config(self) -> DaemonConfig:
        """As it is now; what a reload may change is read where it is used."""
        return self.live.config

    def debugging(self) -> bool:
        """Whether the daemon logs everything; SIGHUP may change it."""
        return logging.getLogger("sampan").isEnabledFor(logging.DEBUG)

    def write_record(self, record: ContainerRecord) -> None:
        """The row of an actor's record."""
        self.store.metadata.containers.put(record.id, record.name, encode(record))
