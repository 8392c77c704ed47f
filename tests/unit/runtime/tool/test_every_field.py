"""Verifies that no field of the runtime-spec is ignored: each changes what would be done, or is refused by its name.

`FIELDS` names every leaf of the JSON schema of the runtime-spec 1.2 (config-schema.json, for Linux) with a value that is not the
default, and what it needs beside itself. What would be done is everything that follows from a configuration before a
container exists: operations, command, namespaces, hooks, filter, and the writes to cgroups of both kinds.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from sampan.linux.cgroup import Hierarchies, Hierarchy, devices
from sampan.linux.cgroup.resources import plan_v1, plan_v2
from sampan.linux.kernel import LinuxKernel
from sampan.runtime import create
from sampan.runtime.attributes import parse_attributes
from sampan.runtime.filters import listener_of
from sampan.runtime.request import Request
from sampan.runtime.tool.creating import hook_state
from sampan.runtime.tool.state import Record, ToolError
from sampan.runtime.tool.validate import check_config
from tests.bundles import make_config

V1 = Hierarchies("v1", (Hierarchy("/nonexistent", frozenset(["memory"]), "/"),), None)
V2 = Hierarchies("v2", (), Hierarchy("/nonexistent", frozenset(), "/"))
IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
MAPPED = {"type": "bind", "source": "/tmp", "destination": "/m", "options": ["rbind"]}
HOOK = {"path": "/bin/true"}
DEVICE = {"type": "c", "path": "/dev/x", "major": 1, "minor": 3}
RULE = {"allow": False}
USER_NAMESPACE = {"linux.namespaces": [{"type": "mount"}, {"type": "user"}]}
BOTH_MAPS = {"linux.uidMappings": IDS, "linux.gidMappings": IDS}
TIME = {"linux.namespaces": [{"type": "mount"}, {"type": "time"}]}
FILTER = {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}
CALL = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}
ARGUMENT = {"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}
NOTIFIED = {
    "linux.seccomp": {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
        "listenerPath": "/run/x",
    }
}
THROTTLE = {"major": 8, "minor": 0, "rate": 5}
WEIGHTED = {"major": 8, "minor": 0, "weight": 20, "leafWeight": 20}
WITH_TERMINAL = {
    "args": ["x"], "cwd": "/", "terminal": True, "consoleSize": {"height": 1, "width": 1},
}  # fmt: skip
HUGE = {"pageSize": "2MB", "limit": 1}

# Path → a value, or a value and what must be there besides. A number in a path is a place in an array.
FIELDS: dict[str, Any] = {
    "annotations.a": "b",
    "hostname": "h",
    "domainname": "d",
    **{
        f"hooks.{kind}.0.{name}": (value, {f"hooks.{kind}": [HOOK]})
        for kind in (
            *("prestart", "createRuntime", "createContainer", "startContainer"),
            *("poststart", "poststop"),
        )
        for name, value in (("path", "/x"), ("args.0", "a"), ("env.0", "A=b"), ("timeout", 5))
    },
    "mounts.0.source": ("/usr", {"mounts": [MAPPED]}),
    "mounts.0.destination": ("/n", {"mounts": [MAPPED]}),
    "mounts.0.options.1": ("ro", {"mounts": [MAPPED]}),
    "mounts.0.type": ("tmpfs", {"mounts": [{"destination": "/m", "source": "x", "type": "proc"}]}),
    **{
        f"mounts.0.{which}Mappings.0.{name}": (
            7,
            {"mounts": [{**MAPPED, "uidMappings": IDS, "gidMappings": IDS}]},
        )
        for which in ("uid", "gid")
        for name in ("containerID", "hostID", "size")
    },
    "root.path": "other",
    "root.readonly": True,
    "process.args.0": "other",
    "process.consoleSize.height": (7, {"process": WITH_TERMINAL}),
    "process.consoleSize.width": (7, {"process": WITH_TERMINAL}),
    "process.cwd": "/other",
    "process.env.0": "A=b",
    "process.terminal": True,
    "process.user.uid": 7,
    "process.user.gid": 7,
    "process.user.umask": 0o77,
    "process.user.additionalGids.0": 7,
    **{
        f"process.capabilities.{kind}.0": ("CAP_SYS_TIME", {"process.capabilities": {
            each: ["CAP_KILL"] for each in
            ("bounding", "permitted", "effective", "inheritable", "ambient")
        }})
        for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")
    },
    "process.apparmorProfile": "p",
    "process.oomScoreAdj": 7,
    "process.selinuxLabel": "l",
    "process.ioPriority.class": ("IOPRIO_CLASS_IDLE", {"process.ioPriority": {"class": "IOPRIO_CLASS_BE"}}),
    "process.ioPriority.priority": (7, {"process.ioPriority": {"class": "IOPRIO_CLASS_BE"}}),
    "process.noNewPrivileges": True,
    "process.scheduler.policy": ("SCHED_BATCH", {"process.scheduler": {"policy": "SCHED_IDLE"}}),
    "process.scheduler.nice": (7, {"process.scheduler": {"policy": "SCHED_BATCH"}}),
    "process.scheduler.priority": (7, {"process.scheduler": {"policy": "SCHED_FIFO", "priority": 1}}),
    "process.scheduler.flags.0": ("SCHED_FLAG_RESET_ON_FORK", {"process.scheduler": {"policy": "SCHED_BATCH"}}),
    **{
        f"process.scheduler.{name}": (9_000_000, {"process.scheduler": {
            "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 10_000_000, "period": 10_000_000,
        }})
        for name in ("runtime", "deadline", "period")
    },
    **{
        f"process.rlimits.0.{name}": (value, {"process.rlimits": [
            {"type": "RLIMIT_CORE", "soft": 1, "hard": 9}
        ]})
        for name, value in (("hard", 5), ("soft", 5), ("type", "RLIMIT_CPU"))
    },
    "process.execCPUAffinity.initial": "0",
    "process.execCPUAffinity.final": "0",
    **{
        f"linux.devices.0.{name}": (value, {"linux.devices": [DEVICE]})
        for name, value in (
            *(("type", "b"), ("path", "/dev/y"), ("fileMode", 0o600), ("major", 7)),
            *(("minor", 7), ("uid", 7), ("gid", 7)),
        )
    },
    "linux.netDevices.eth9": {"name": "x"},
    **{
        f"linux.{which}Mappings.0.{name}": (7, {**USER_NAMESPACE, **BOTH_MAPS})
        for which in ("uid", "gid")
        for name in ("containerID", "hostID", "size")
    },
    "linux.namespaces.1.type": ("uts", {"linux.namespaces": [{"type": "mount"}, {"type": "ipc"}]}),
    "linux.namespaces.1.path": ("/proc/self/ns/ipc", {"linux.namespaces": [{"type": "mount"}, {"type": "ipc"}]}),
    "linux.resources.unified.cpu.weight": ("7", {"linux.resources.unified": {}}),
    **{
        f"linux.resources.devices.0.{name}": (value, {"linux.resources.devices": [RULE]})
        for name, value in (
            *(("allow", True), ("type", "c"), ("major", 7), ("minor", 7), ("access", "r")),
        )
    },
    "linux.resources.pids.limit": 7,
    "linux.resources.blockIO.weight": 70,
    "linux.resources.blockIO.leafWeight": 70,
    **{
        f"linux.resources.blockIO.throttle{which}Device.0.{name}": (
            7,
            {f"linux.resources.blockIO.throttle{which}Device": [THROTTLE]},
        )
        for which in ("ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")
        for name in ("major", "minor", "rate")
    },
    **{
        f"linux.resources.blockIO.weightDevice.0.{name}": (
            70,
            {"linux.resources.blockIO.weightDevice": [WEIGHTED]},
        )
        for name in ("major", "minor", "weight", "leafWeight")
    },
    "linux.resources.cpu.cpus": "0",
    "linux.resources.cpu.mems": "0",
    "linux.resources.cpu.period": 7000,
    "linux.resources.cpu.quota": 7000,
    "linux.resources.cpu.burst": 7000,
    "linux.resources.cpu.realtimePeriod": 7000,
    "linux.resources.cpu.realtimeRuntime": 7000,
    "linux.resources.cpu.shares": 7,
    "linux.resources.cpu.idle": 1,
    "linux.resources.hugepageLimits.0.pageSize": ("1GB", {"linux.resources.hugepageLimits": [HUGE]}),
    "linux.resources.hugepageLimits.0.limit": (7, {"linux.resources.hugepageLimits": [HUGE]}),
    "linux.resources.memory.kernel": 1 << 26,
    "linux.resources.memory.kernelTCP": 1 << 26,
    "linux.resources.memory.limit": 1 << 26,
    "linux.resources.memory.reservation": 1 << 26,
    "linux.resources.memory.swap": (1 << 27, {"linux.resources.memory": {"limit": 1 << 26}}),
    "linux.resources.memory.swappiness": 7,
    "linux.resources.memory.disableOOMKiller": True,
    "linux.resources.memory.useHierarchy": True,
    "linux.resources.memory.checkBeforeUpdate": (True, {"linux.resources.memory": {"limit": 1 << 26}}),
    "linux.resources.network.classID": 7,
    "linux.resources.network.priorities.0": {"name": "lo", "priority": 7},
    "linux.resources.rdma.mlx": {"hcaHandles": 7},
    "linux.cgroupsPath": "/other",
    "linux.rootfsPropagation": "shared",
    "linux.seccomp.defaultAction": ("SCMP_ACT_LOG", FILTER),
    "linux.seccomp.defaultErrnoRet": (7, {"linux.seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}),
    "linux.seccomp.flags.0": ("SECCOMP_FILTER_FLAG_LOG", FILTER),
    "linux.seccomp.listenerPath": ("/run/y", NOTIFIED),
    "linux.seccomp.listenerMetadata": ("m", NOTIFIED),
    "linux.seccomp.architectures.0": (
        "SCMP_ARCH_X86",
        {"linux.seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [CALL]}},
    ),
    **{
        f"linux.seccomp.syscalls.0.{name}": (
            value,
            {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [CALL]}},
        )
        for name, value in (("names.0", "rmdir"), ("action", "SCMP_ACT_TRAP"), ("errnoRet", 7))
    },
    **{
        f"linux.seccomp.syscalls.0.args.0.{name}": (
            value,
            {"linux.seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{**CALL, "args": [{**ARGUMENT, **more}]}],
            }},
        )
        for name, value, more in (
            *(("index", 1, {}), ("value", 7, {}), ("op", "SCMP_CMP_NE", {})),
            ("valueTwo", 1, {"op": "SCMP_CMP_MASKED_EQ", "valueTwo": 3}),
        )
    },
    "linux.sysctl.net.core.somaxconn": ("7", {"linux.sysctl": {}}),
    "linux.maskedPaths.0": "/x",
    "linux.readonlyPaths.0": "/x",
    "linux.mountLabel": "l",
    **{
        f"linux.intelRdt.{name}": value
        for name, value in (
            *(("closID", "x"), ("schemata", ["x"]), ("l3CacheSchema", "x")),
            *(("memBwSchema", "x"), ("enableMonitoring", True)),
        )
    },
    "linux.memoryPolicy.mode": ("MPOL_LOCAL", {"linux.memoryPolicy": {"mode": "MPOL_DEFAULT"}}),
    "linux.memoryPolicy.nodes": ("0", {"linux.memoryPolicy": {"mode": "MPOL_PREFERRED"}}),
    "linux.memoryPolicy.flags.0": (
        "MPOL_F_STATIC_NODES",
        {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}},
    ),
    "linux.personality.domain": ("LINUX32", {"linux.personality": {"domain": "LINUX"}}),
    "linux.personality.flags.0": ("x", {"linux.personality": {"domain": "LINUX"}}),
    **{
        f"linux.timeOffsets.{clock}.{name}": (7, {**TIME, f"linux.timeOffsets.{clock}": {"secs": 1}})
        for clock in ("boottime", "monotonic")
        for name in ("secs", "nanosecs")
    },
}  # fmt: skip
# Words of the schema that say nothing on Linux, and why they are let pass.
WITHOUT_EFFECT = {
    "process.user.username": "is Windows's; engines write it beside uid and gid",
    "process.commandLine": "is Windows's",
    "linux.resources.memory.useHierarchy": "is what the kernel does since 5.11, or had been asked for anyway",
    "linux.resources.memory.kernel": "is obsolete: the kernel takes no such limit since 5.16",
}
WHOLE_KEYS = ("annotations.", "linux.sysctl.", "linux.resources.unified.")


def base() -> dict[str, Any]:
    config = {**make_config("x"), "root": {"path": "rootfs"}, "mounts": []}
    del config["hostname"], config["linux"]["sysctl"]
    config["linux"]["namespaces"] = [
        {"type": kind} for kind in ("mount", "uts", "network", "ipc", "pid")
    ]
    config["linux"]["resources"] = {}
    return config


def put(config: Any, path: str, value: Any) -> None:
    """What is missing on the way is made: an object, or, before a number, an array."""
    whole = next((key for key in WHOLE_KEYS if path.startswith(key) and path != key), None)
    words = path.split(".") if whole is None else [*whole.split(".")[:-1], path[len(whole) :]]
    place = config
    for word, following in zip(words, [*words[1:], None], strict=True):
        key: Any = int(word) if isinstance(place, list) else word
        if following is None:
            if isinstance(place, list) and key >= len(place):
                place.append(value)
            else:
                place[key] = value
        elif isinstance(place, list):
            place = place[key]
        else:
            empty: Any = [] if following.isdigit() else {}
            place = place[key] if key in place else place.setdefault(key, empty)


def effects(config: dict[str, Any]) -> str:
    """All that follows from it. Raises what refuses it."""
    check_config(config)
    config = deepcopy(config)
    process, linux = config["process"], config["linux"]
    config["process"].setdefault("terminal", False)
    found: list[object] = []
    record = Record("x", "/b", "", "", config, "", annotations=config.get("annotations") or {})
    state = hook_state(record)
    for hierarchies in (V1, V2):
        request = Request(
            config, terminal=process["terminal"], state=state, hierarchies=hierarchies
        )
        found.append(create._make_plan(LinuxKernel(), request))
    found += [state, parse_attributes(process, linux), listener_of(linux.get("seccomp"))]
    # What init or its parent reads of it only when it does it; `tests/kernel` sees these done.
    found += [linux.get(name) for name in ("netDevices", "uidMappings", "gidMappings")]
    found += [process["terminal"], process.get("oomScoreAdj")]

    resources = linux.get("resources") or {}
    found.append((resources.get("memory") or {}).get("checkBeforeUpdate"))
    found.append(devices.parse_rules(resources.get("devices") or []))
    for plan in (plan_v1, plan_v2):
        try:
            found.append(plan(resources))
        except ValueError as error:
            found.append(str(error))
    return repr(found)


@pytest.mark.parametrize("path", FIELDS)
def test_it_counts(path: str) -> None:
    wish = FIELDS[path]
    value, beside = wish if isinstance(wish, tuple) else (wish, {})
    without = base()
    for way, content in beside.items():
        put(without, way, deepcopy(content))
    config = deepcopy(without)
    put(config, path, value)
    assert config != without
    before = effects(without)
    try:
        after = effects(config)
    except (ToolError, ValueError) as error:
        name = next(word for word in reversed(path.split(".")) if not word.isdigit())
        told = str(error)
        assert name in told or path.split(".")[1] in told, told
        return
    if path in WITHOUT_EFFECT:
        assert after == before
    else:
        assert after != before
