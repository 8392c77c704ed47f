"""The cgroup of a container that runs, for whoever looks at it from the daemon."""

from __future__ import annotations

from sampan.engine import intent
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.linux.cgroup import Cgroup


def cgroup_of(services: Services, record: ContainerRecord) -> Cgroup:
    return Cgroup(intent.cgroup_path(services, record), services.host.hierarchies)
