"""`spec` and `features`: what this runtime takes, as documents."""

from __future__ import annotations

import json
import os

from sampan.linux.capabilities import NAMES
from sampan.runtime.hooks import KINDS
from sampan.runtime.namespaces import FLAGS
from sampan.runtime.options import mount_words
from sampan.runtime.tool.state import OCI_VERSION, ToolError
from sampan.spec.typing import Any
from sampan.spec.version import VERSION

_SAFE = ["nosuid", "noexec", "nodev"]
_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


def example(*, rootless: bool) -> dict[str, Any]:
    """A configuration to begin with: a shell on a terminal."""
    kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    linux: dict[str, Any] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": [
            *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
            *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware"),
            "/proc/scsi",
        ],
        "readonlyPaths": [
            *("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),
        ],
    }
    mounts = _mounts()
    if rootless:
        linux["namespaces"] = [{"type": k} for k in (*kinds, "user") if k != "network"]
        del linux["resources"]
        for key, own in (("uidMappings", os.geteuid()), ("gidMappings", os.getegid())):
            linux[key] = [{"containerID": 0, "hostID": own, "size": 1}]
        mounts = [_for_rootless(mount) for mount in mounts if mount["type"] != "cgroup"]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {key: _CAPABILITIES for key in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "sampan",
        "mounts": mounts,
        "linux": linux,
    }


def _mount(place: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"destination": place, "type": kind, "source": source}
    return {**entry, "options": list(options)} if options else entry


def _mounts() -> list[dict[str, Any]]:
    pts = ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    return [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", *pts),
        _mount("/dev/shm", "tmpfs", "shm", *_SAFE, "mode=1777", "size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", *_SAFE),
        _mount("/sys", "sysfs", "sysfs", *_SAFE, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_SAFE, "relatime", "ro"),
    ]


def _for_rootless(mount: dict[str, Any]) -> dict[str, Any]:
    """One id is mapped, so there is no group 5; and sysfs belongs to the network namespace, the host's here."""
    if mount["destination"] == "/sys":
        return _mount("/sys", "none", "/sys", "rbind", *_SAFE, "ro")
    options = [word for word in mount.get("options", ()) if word != "gid=5"]
    return {**mount, "options": options} if options else mount


def write_example(bundle: str, *, rootless: bool) -> None:
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(example(rootless=rootless), file, indent="\t")
    except FileExistsError:
        raise ToolError("File config.json exists. Remove it first") from None


def features() -> dict[str, Any]:
    from sampan.linux.seccomp import ACTIONS, ARCHITECTURES, OPERATORS
    from sampan.runtime.filters import FLAGS as SECCOMP_FLAGS

    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(KINDS),
        "mountOptions": mount_words(),
        "linux": {
            "namespaces": sorted(FLAGS),
            "capabilities": list(NAMES),
            "cgroup": {
                "v1": True,
                "v2": True,
                "systemd": True,
                "systemdUser": False,
                "rdma": True,
            },
            "seccomp": {
                "enabled": True,
                "actions": sorted(ACTIONS),
                "operators": sorted(OPERATORS),
                "archs": sorted(ARCHITECTURES),
                "knownFlags": sorted(SECCOMP_FLAGS),
                "supportedFlags": sorted(SECCOMP_FLAGS),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"enabled": True},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"io.github.seccomp.libseccomp.version": "none", "sampan.version": VERSION},
    }


def show_features() -> None:
    print(json.dumps(features(), indent=4))
