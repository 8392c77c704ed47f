"""`docker update`: other limits and another restart policy for a container, at once if it runs."""

from __future__ import annotations

import errno
import logging

import msgspec

from sampan.engine import intent, validate
from sampan.engine.actor import monitor_of
from sampan.engine.create import attributes_of
from sampan.engine.doors import Monitor
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.monitor.client import RequestFailed
from sampan.spec.container import HostConfig
from sampan.spec.resources import build_limits
from sampan.spec.validate import check_resources

log = logging.getLogger(__name__)

# What can be changed; empty and zero mean "as it is".
FIELDS = (
    *("blkio_weight", "cpu_shares", "nano_cpus", "cpu_period", "cpu_quota"),
    *("cpu_realtime_period", "cpu_realtime_runtime", "cpuset_cpus", "cpuset_mems"),
    *("memory", "memory_swap", "memory_reservation"),
)


# Limits that a container has from its start on; dockerd passes them over in silence.
FIXED = (
    *("blkio_device_read_bps", "blkio_device_read_iops", "blkio_device_write_bps"),
    *("blkio_device_write_iops", "blkio_weight_device", "cgroup_parent", "device_cgroup_rules"),
    *("device_requests", "devices", "init", "memory_swappiness", "oom_kill_disable", "ulimits"),
    *("cpu_count", "cpu_percent", "io_maximum_bandwidth", "io_maximum_iops"),
)
_NOTHING = HostConfig()
_NAMES = {field.name: field.encode_name for field in msgspec.structs.fields(HostConfig)}


async def update_container(services: Services, ref: str, wanted: HostConfig) -> list[str]:
    """Warnings. Raises NotFound, InvalidParameter, Conflict (with what is set already, or being removed)."""
    actor = services.containers.actor(ref)
    validate.check_restart_policy(wanted)
    host = services.host
    changeable, discarded = _without_fixed(wanted)
    wanted, warnings = check_resources(
        changeable,
        features=host.cgroup_features,
        cpus=host.cpu_set,
        mems=host.memory_nodes,
        update=True,
    )
    warnings.extend(discarded)

    async def job() -> list[str]:
        record = actor.record
        try:
            updated = merge(record, wanted)
            if record.state.alive:
                warnings.extend(await _apply(monitor_of(actor), record.host_config, updated))
        except (Conflict, InvalidParameter) as error:
            raise type(error)(f"Cannot update container {record.id}: {error}") from None
        except RequestFailed as error:
            raise _refused(record, error) from None
        actor.save(msgspec.structs.replace(record, host_config=updated))
        services.events.emit("container", "update", record.id, attributes_of(record))
        return warnings

    return await actor.do(job)


def _without_fixed(wanted: HostConfig) -> tuple[HostConfig, list[str]]:
    """And a warning for each setting that only a new container could have."""
    asked = [name for name in FIXED if getattr(wanted, name)]
    usual = msgspec.structs.replace(wanted, **{name: getattr(_NOTHING, name) for name in asked})
    return usual, [f"{_NAMES[name]} cannot be changed by update. Discarded." for name in asked]


async def _apply(monitor: Monitor, before: HostConfig, after: HostConfig) -> list[str]:
    """What was changed already when the kernel refuses something is changed back, as far as it had been set."""
    old, new = (build_limits(host, intent.block_devices(host)) for host in (before, after))
    try:
        return await monitor.update(new) if new else []
    except RequestFailed as error:
        if error.errno == errno.ESRCH:
            return []  # it ended meanwhile; its next start has them
        try:
            await monitor.update(old)
        except SampanError as error:
            log.warning("limits could not be set back: %s", error)
        raise


def merge(record: ContainerRecord, wanted: HostConfig) -> HostConfig:
    """Raises Conflict."""
    if record.state in (State.REMOVING, State.DEAD):
        raise Conflict('container is marked for removal and cannot be "update"')
    current = record.host_config
    _check_cpu(current, wanted)
    if wanted.memory > current.memory_swap and not wanted.memory_swap and wanted.memory:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    changes = {name: getattr(wanted, name) for name in FIELDS if getattr(wanted, name)}
    if wanted.pids_limit is not None:
        changes["pids_limit"] = wanted.pids_limit
    policy = wanted.restart_policy
    if policy is not None and policy.name:
        if current.auto_remove and policy.name != "no":
            raise Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        changes["restart_policy"] = policy
    return msgspec.structs.replace(current, **changes)


def _check_cpu(current: HostConfig, wanted: HostConfig) -> None:
    """Number of CPUs, and period and quota, are two ways to say the same."""
    for name, there in (("CPU Period", current.cpu_period), ("CPU Quota", current.cpu_quota)):
        if wanted.nano_cpus > 0 and there > 0:
            raise Conflict(
                f"Conflicting options: Nano CPUs cannot be updated as {name} has already been set"
            )
    for name, asked in (("CPU Period", wanted.cpu_period), ("CPU Quota", wanted.cpu_quota)):
        if asked > 0 and current.nano_cpus > 0:
            raise Conflict(
                f"Conflicting options: {name} cannot be updated as NanoCPUs has already been set"
            )


def _refused(record: ContainerRecord, error: RequestFailed) -> Exception:
    """The kernel's own refusal: more is in use than the new limit (EBUSY), or the value makes no sense."""
    kind = Conflict if error.errno == errno.EBUSY else InvalidParameter
    return kind(f"Cannot update container {record.id}: {error}")
