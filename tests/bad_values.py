"""Configurations that are wrong in one place: every field of the runtime-spec, with every kind of nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.bundles import make_config

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, 1 << 31, 1 << 63, (1 << 64) - 1, 1 << 64),
    *("", "x", "/", "..", "a\0b", "a\nb", "\udc80", "ä", "x" * 5000, "1", "-1", "0-9999999999"),
    *([], {}, [None], [[]], [{}], ["x"], ["x", "x"], [1], {"x": None}, {"x": 1}, {"": "x"}),
    *({"path": "/x"}, [{"path": "/x"}], [{"type": "x"}], [{"type": "x", "path": "x"}]),
)


def full_config() -> dict[str, Any]:
    """One that has every field, so that each can be spoilt; it is not meant to run."""
    config = {**make_config("fuzz"), "root": {"path": "rootfs", "readonly": False}}
    config["domainname"] = "d"
    config["annotations"] = {"a": "b"}
    config["hooks"] = {
        kind: [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 1}]
        for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
    }
    config["mounts"].append(
        {
            "destination": "/m",
            "type": "bind",
            "source": "/tmp",
            "options": ["rbind", "rro"],
            "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}],
        }
    )
    config["process"] |= {
        "terminal": False,
        "consoleSize": {"height": 1, "width": 1},
        "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1], "username": "x"},
        "apparmorProfile": "",
        "selinuxLabel": "",
        "noNewPrivileges": True,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}],
        "scheduler": {"policy": "SCHED_OTHER", "nice": 0, "priority": 0, "flags": []},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "0", "final": "0"},
    }
    config["linux"] |= {
        "devices": [
            {
                "type": "c",
                "path": "/dev/x",
                "major": 1,
                "minor": 3,
                "fileMode": 438,
                "uid": 0,
                "gid": 0,
            }
        ],
        "netDevices": {},
        "uidMappings": [],
        "gidMappings": [],
        "rootfsPropagation": "private",
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": [],
            "listenerPath": "",
            "listenerMetadata": "",
            "syscalls": [
                {
                    "names": ["mkdir"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 1,
                    "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
                }
            ],
        },
        "personality": {"domain": "LINUX", "flags": []},
        "memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": "", "flags": []},
        "timeOffsets": {},
        "intelRdt": {},
        "mountLabel": "",
    }
    config["linux"]["resources"] |= {
        "unified": {},
        "pids": {"limit": 10},
        "memory": {"limit": 1 << 26, "swap": -1, "reservation": 0, "swappiness": 5},
        "cpu": {"shares": 5, "quota": 1000, "period": 10000, "cpus": "0", "mems": "0", "idle": 0},
        "blockIO": {"weight": 10, "throttleReadBpsDevice": []},
        "hugepageLimits": [],
        "network": {"classID": 0, "priorities": []},
        "rdma": {},
    }
    return config


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in it, outermost first; of a long array only the first three."""
    yield way
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*way, key))
    elif isinstance(value, list):
        for at, item in enumerate(value[:3]):
            yield from places(item, (*way, at))


def spoil(config: dict[str, Any], way: tuple[Any, ...], value: Any) -> Any:
    """A copy with `value` at that place."""
    if not way:
        return value
    config = deepcopy(config)
    place: Any = config
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = value
    return config
