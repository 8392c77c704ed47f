"""A config.json that somebody wrote: every field is what the runtime-spec says, or an error with the field's path.

    check_config({...})   →   ToolError("linux.resources.memory.limit: expected an integer, not 'much'")

As in Go, whose programs write most of these files, null is a field that is not there, and fields that nobody
knows are left alone. What the types cannot say (an unknown capability, a clash of two options) is found later.
"""

from __future__ import annotations

from sampan.runtime.namespaces import FLAGS
from sampan.runtime.tool.state import ToolError
from sampan.spec import quickjson
from sampan.spec.sysctls import namespace_of
from sampan.spec.typing import Any, Callable, Mapping, Sequence

Check = Callable[[Any, str], None]


def _refuse(path: str, expected: str, value: Any) -> None:
    text = quickjson.dumps(value)
    raise ToolError(f"{path or 'config.json'}: expected {expected}, not {text[:80]}")


def integer(low: int, high: int) -> Check:
    def check(value: Any, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            _refuse(path, "an integer", value)
        if not low <= value <= high:
            _refuse(path, f"an integer from {low} to {high}", value)

    return check


def text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        _refuse(path, "a string", value)
    if "\0" in value:
        _refuse(path, "a string without NUL", value)


def flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        _refuse(path, "true or false", value)


def one_of(*words: str) -> Check:
    def check(value: Any, path: str) -> None:
        text(value, path)
        if value not in words:
            _refuse(path, "one of " + ", ".join(words), value)

    return check


_DIGITS, _UPPER = frozenset("0123456789"), frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")


def that(holds: Callable[[str], bool], meaning: str) -> Check:
    def check(value: Any, path: str) -> None:
        text(value, path)
        if not holds(value):
            _refuse(path, meaning, value)

    return check


def _is_size(value: str) -> bool:
    number = value[:-2]
    return value[-2:] in ("KB", "MB", "GB") and _is_number(number) and number[0] != "0"


def _is_version(value: str) -> bool:
    number = value.replace("+", "-").partition("-")[0].split(".")
    return number[0] == "1" and len(number) == 3 and all(map(_is_number, number))


def _is_number(word: str) -> bool:
    return bool(word) and _DIGITS.issuperset(word)


def array(kind: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            _refuse(path, "an array", value)
        for at, item in enumerate(value):
            kind(item, f"{path}[{at}]")

    return check


def mapping(kind: Check) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        for key, item in value.items():
            text(key, f"{path}[{quickjson.dumps(key)}]")
            kind(item, f"{path}[{quickjson.dumps(key)}]")

    return check


def fields(kinds: Mapping[str, Check], required: Sequence[str] = ()) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        for name in required:
            if value.get(name) is None:
                raise ToolError(f"{path + '.' if path else ''}{name}: required and missing")
        for name, item in value.items():
            if item is not None and name in kinds:
                kinds[name](item, f"{path}.{name}" if path else name)

    return check


_INT64, _UINT64 = integer(-(1 << 63), (1 << 63) - 1), integer(0, (1 << 64) - 1)
_INT32, _UINT32 = integer(-(1 << 31), (1 << 31) - 1), integer(0, (1 << 32) - 1)
_ID = integer(0, (1 << 31) - 1)
_SIZE = integer(-1, (1 << 63) - 1)
_TEXTS = array(text)
_PATH = that(lambda value: value[:1] in ("", "/"), "an absolute path")
_WEIGHT = integer(0, 1000)
_CPUS = that((_DIGITS | set(", -")).issuperset, "a list of CPUs")

_MAPPINGS = array(
    fields(
        {"containerID": _UINT32, "hostID": _UINT32, "size": _UINT32},
        ("containerID", "hostID", "size"),
    )
)
_HOOKS = array(
    fields(
        {"path": _PATH, "args": _TEXTS, "env": _TEXTS, "timeout": integer(1, 1 << 31)}, ("path",)
    )
)
_PROCESS = fields(
    {
        "args": _TEXTS,
        "consoleSize": fields(
            {"height": integer(0, 65535), "width": integer(0, 65535)}, ("height", "width")
        ),
        "cwd": text,
        "env": _TEXTS,
        "terminal": flag,
        "user": fields(
            {
                "uid": _ID,
                "gid": _ID,
                "umask": integer(0, 0o777),
                "additionalGids": array(_ID),
                "username": text,
            }
        ),
        "capabilities": fields(
            dict.fromkeys(("bounding", "permitted", "effective", "inheritable", "ambient"), _TEXTS)
        ),
        "apparmorProfile": text,
        "oomScoreAdj": integer(-1000, 1000),
        "selinuxLabel": text,
        "ioPriority": fields(
            {
                "class": one_of("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"),
                "priority": integer(0, 7),
            },
            ("class",),
        ),
        "noNewPrivileges": flag,
        "scheduler": fields(
            {
                "policy": one_of(
                    *("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO"),
                    *("SCHED_IDLE", "SCHED_DEADLINE"),
                ),
                "nice": _INT32,
                "priority": _INT32,
                "flags": _TEXTS,
                "runtime": _UINT64,
                "deadline": _UINT64,
                "period": _UINT64,
            },
            ("policy",),
        ),
        "rlimits": array(
            fields(
                {
                    "type": that(
                        lambda value: value[:7] == "RLIMIT_" and _UPPER.issuperset(value[7:]),
                        "the name of a limit",
                    ),
                    # -1 as some engines write "no limit".
                    "soft": integer(-1, (1 << 64) - 1),
                    "hard": integer(-1, (1 << 64) - 1),
                },
                ("type", "soft", "hard"),
            )
        ),
        "execCPUAffinity": fields({"initial": _CPUS, "final": _CPUS}),
    },
    ("args", "cwd"),
)
_DEVICE_NUMBER = integer(-1, (1 << 32) - 1)
_BLOCK = {"major": _DEVICE_NUMBER, "minor": _DEVICE_NUMBER}
_THROTTLE = array(fields({**_BLOCK, "rate": _UINT64}, ("major", "minor", "rate")))
_RESOURCES = fields(
    {
        "unified": mapping(text),
        "devices": array(
            fields(
                {
                    "allow": flag,
                    "type": one_of("a", "b", "c", ""),
                    **_BLOCK,
                    "access": that(frozenset("rwm").issuperset, "some of r, w and m"),
                }
            )
        ),
        "pids": fields({"limit": _INT64}),
        "blockIO": fields(
            {
                "weight": _WEIGHT,
                "leafWeight": _WEIGHT,
                "weightDevice": array(
                    fields({**_BLOCK, "weight": _WEIGHT, "leafWeight": _WEIGHT}, ("major", "minor"))
                ),
                **dict.fromkeys(
                    (
                        *("throttleReadBpsDevice", "throttleWriteBpsDevice"),
                        *("throttleReadIOPSDevice", "throttleWriteIOPSDevice"),
                    ),
                    _THROTTLE,
                ),
            }
        ),
        "cpu": fields(
            {
                "cpus": _CPUS,
                "mems": _CPUS,
                "period": _UINT64,
                "quota": _INT64,
                "burst": _UINT64,
                "realtimePeriod": _UINT64,
                "realtimeRuntime": _INT64,
                "shares": _UINT64,
                "idle": integer(0, 1),
            }
        ),
        "hugepageLimits": array(
            fields(
                {
                    "pageSize": that(_is_size, "a size as 2MB"),
                    "limit": _UINT64,
                },
                ("pageSize", "limit"),
            )
        ),
        "memory": fields(
            {
                **dict.fromkeys(("kernel", "kernelTCP", "limit", "reservation", "swap"), _SIZE),
                # 2**64-1 is what callers write who count in signed numbers and mean "leave it".
                "swappiness": integer(-1, (1 << 64) - 1),
                **dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), flag),
            }
        ),
        "network": fields(
            {
                "classID": _UINT32,
                "priorities": array(
                    fields({"name": text, "priority": _UINT32}, ("name", "priority"))
                ),
            }
        ),
        "rdma": mapping(fields({"hcaHandles": _UINT32, "hcaObjects": _UINT32})),
    }
)
_SECCOMP = fields(
    {
        "defaultAction": text,
        "defaultErrnoRet": _UINT32,
        "flags": _TEXTS,
        "listenerPath": text,
        "listenerMetadata": text,
        "architectures": _TEXTS,
        "syscalls": array(
            fields(
                {
                    "names": _TEXTS,
                    "action": text,
                    "errnoRet": _UINT32,
                    "args": array(
                        fields(
                            {
                                "index": integer(0, 5),
                                "value": _UINT64,
                                "valueTwo": _UINT64,
                                "op": text,
                            },
                            ("index", "op"),
                        )
                    ),
                },
                ("names", "action"),
            )
        ),
    },
    ("defaultAction",),
)
_OFFSET = fields({"secs": _INT64, "nanosecs": integer(0, 999_999_999)})
_LINUX = fields(
    {
        "devices": array(
            fields(
                {
                    "type": one_of("c", "b", "u", "p"),
                    "path": _PATH,
                    "major": integer(0, (1 << 12) - 1),
                    "minor": integer(0, (1 << 20) - 1),
                    "fileMode": integer(0, 0o177777),
                    "uid": _ID,
                    "gid": _ID,
                },
                ("type", "path"),
            )
        ),
        "netDevices": mapping(fields({"name": text})),
        "uidMappings": _MAPPINGS,
        "gidMappings": _MAPPINGS,
        "namespaces": array(fields({"type": one_of(*FLAGS), "path": _PATH}, ("type",))),
        "resources": _RESOURCES,
        "cgroupsPath": text,
        "rootfsPropagation": text,
        "seccomp": _SECCOMP,
        "sysctl": mapping(text),
        "maskedPaths": _TEXTS,
        "readonlyPaths": _TEXTS,
        "mountLabel": text,
        "intelRdt": mapping(lambda _value, _path: None),
        "memoryPolicy": fields({"mode": text, "nodes": text, "flags": _TEXTS}),
        "personality": fields({"domain": one_of("LINUX", "LINUX32"), "flags": _TEXTS}),
        "timeOffsets": fields({"boottime": _OFFSET, "monotonic": _OFFSET}),
    }
)
_CONFIG = fields(
    {
        "ociVersion": text,
        "hooks": fields(
            dict.fromkeys(
                (
                    *("prestart", "createRuntime", "createContainer", "startContainer"),
                    *("poststart", "poststop"),
                ),
                _HOOKS,
            )
        ),
        "annotations": mapping(text),
        "hostname": text,
        "domainname": text,
        "mounts": array(
            fields(
                {
                    "destination": text,
                    "type": text,
                    "source": text,
                    "options": _TEXTS,
                    "uidMappings": _MAPPINGS,
                    "gidMappings": _MAPPINGS,
                },
                ("destination",),
            )
        ),
        "root": fields({"path": text, "readonly": flag}, ("path",)),
        "process": _PROCESS,
        "linux": _LINUX,
    },
    ("ociVersion", "root", "process"),
)
_OTHER_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


def check_config(config: Any) -> None:
    """Raises ToolError."""
    _CONFIG(config, "")
    if not _is_version(config["ociVersion"]):
        raise ToolError(f"ociVersion: unknown version {quickjson.dumps(config['ociVersion'])}")
    for name in _OTHER_PLATFORMS:
        if config.get(name):
            raise ToolError(f"{name}: is not for Linux")
    _check_names(config)


def _check_names(config: dict[str, Any]) -> None:
    linux = config.get("linux") or {}
    kinds = {entry["type"] for entry in linux.get("namespaces") or []}
    for name in ("hostname", "domainname"):
        if config.get(name) and "uts" not in kinds:
            raise ToolError(f"{name}: needs a uts namespace of the container's own")
    for name in linux.get("sysctl") or {}:
        check_sysctl(name, kinds)


_SYSCTL = _LOWER | _UPPER | _DIGITS | set("_@:./-")


def check_sysctl(name: str, kinds: set[str]) -> None:
    """Only those that the container's own namespaces hold (CVE-2022-0811)."""
    if not _SYSCTL.issuperset(name) or not all(name.replace("/", ".").split(".")):
        raise ToolError(f"linux.sysctl[{quickjson.dumps(name)}]: is not the name of a sysctl")
    dotted = name.replace("/", ".")
    needed = namespace_of(dotted)
    if needed is None:
        raise ToolError(
            f"linux.sysctl[{quickjson.dumps(name)}]: is not in a separate kernel namespace"
        )
    if needed not in kinds:
        raise ToolError(
            f"linux.sysctl[{quickjson.dumps(name)}]: needs a separate {needed} namespace"
        )


def check_process(process: Any, path: str) -> None:
    _PROCESS(process, path)


def check_resources(resources: Any, path: str) -> None:
    _RESOURCES(resources, path)
