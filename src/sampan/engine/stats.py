"""`docker stats`: what a container has used so far, as one sample a second of its cgroup and its network.

Out of scope: the JSON (`api/views/stats.py`) and percentages, which are the client's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sampan.engine.groups import cgroup_of
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.linux.cgroup.stats import Statistics

INTERVAL = 1.0  # seconds
_TICK = 1_000_000_000 // 100  # USER_HZ, in nanoseconds
# Columns of /proc/PID/net/dev(5), after the interface's name.
_NETWORK = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """`read` is 0 when the container did not run, and the rest empty. Times are nanoseconds."""

    container_id: str
    name: str
    read: int = 0
    unified: bool = False  # cgroup v2
    cgroup: Statistics = field(default_factory=dict)
    networks: dict[str, dict[str, int]] = field(default_factory=dict)
    system: int = 0  # CPU time of the whole host
    cpus: int = 0
    host_memory: int = 0


class Sampling:
    """A container whose samples may be taken: `now`, or one a second until it is removed."""

    def __init__(self, services: Services, record: ContainerRecord) -> None:
        self._services = services
        self._id = record.id

    def nothing(self) -> Sample:
        """The sample before the first. Raises NotFound."""
        record = self._services.containers.get(self._id)
        return Sample(record.id, record.name)

    async def pair(self, *, interval: float = INTERVAL) -> tuple[Sample, Sample]:
        """The sample before, and the one a second later; both empty when it does not run."""
        before = await self.now()
        if not before.read:
            return before, before
        await asyncio.sleep(interval)
        return before, await self.now()

    async def now(self) -> Sample:
        """An empty one while it does not run. Raises NotFound when it was removed."""
        record = self._services.containers.get(self._id)
        if not record.state.alive:
            return Sample(record.id, record.name)
        try:
            return await asyncio.to_thread(take_sample, self._services, record)
        except (FileNotFoundError, ProcessLookupError):  # it has ended this moment
            return Sample(record.id, record.name)

    async def stream(self, *, interval: float = INTERVAL) -> AsyncIterator[tuple[Sample, Sample]]:
        """Pairs of the one before and the current one; the first one before is empty."""
        before = self.nothing()
        while not self._services.containers.is_gone(self._id):
            sample = await self.now()
            yield before, sample
            before = sample
            await asyncio.sleep(interval)


def open_sampling(services: Services, ref: str) -> Sampling:
    """Raises NotFound, InvalidParameter (ambiguous)."""
    return Sampling(services, services.containers.get(ref))


def take_sample(services: Services, record: ContainerRecord) -> Sample:
    """Blocking, a dozen small files. Raises FileNotFoundError, ProcessLookupError when it is not there any more."""
    cgroup = cgroup_of(services, record)
    if not cgroup.exists():
        raise FileNotFoundError(2, os.strerror(2), cgroup.path)
    networks = {}
    if record.host_config.network_mode not in ("host", "none"):
        with open(f"/proc/{record.pid}/net/dev", encoding="ascii", errors="replace") as file:
            networks = parse_network(file.read())
    with open("/proc/stat", encoding="ascii", errors="replace") as file:
        system, cpus = parse_cpu(file.read())
    return Sample(
        container_id=record.id,
        name=record.name,
        read=services.clock.now(),
        unified=services.host.unified_cgroups,
        cgroup=cgroup.statistics(),
        networks=networks,
        system=system,
        cpus=cpus,
        host_memory=services.host.memory,
    )


def parse_network(text: str) -> dict[str, dict[str, int]]:
    """By interface, `lo` left out."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        values = numbers.split()
        if name.strip() != "lo" and len(values) >= 16:
            found[name.strip()] = {key: int(values[at]) for key, at in _NETWORK.items()}
    return found


def parse_cpu(text: str) -> tuple[int, int]:
    """Nanoseconds that all CPUs have spent, and how many they are (proc_stat(5)); guests count as users already."""
    total, cpus = 0, 0
    for line in text.splitlines():
        if line.startswith("cpu "):
            total = sum(int(word) for word in line.split()[1:9]) * _TICK
        elif line.startswith("cpu"):
            cpus += 1
    return total, cpus
