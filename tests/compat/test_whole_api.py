"""Every field that the API has for a container on Linux does something, or is refused, or is Windows's: none is ignored.

The lists of fields are the Engine API's own (1.55, `golden/api/fields-1.55.json`). What each cgroup file then
says is in test_rights_and_limits.py; here it is enough that the order reaches the runtime.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.test_rights_and_limits import CPU, DISK
from tests.engines import Driver, Engine, wait_until

FIELDS = json.loads(
    (Path(__file__).parents[1] / "golden/api/fields-1.55.json").read_text(encoding="utf-8")
)
WINDOWS = frozenset(
    ("CpuCount", "CpuPercent", "IOMaximumBandwidth", "IOMaximumIOps", "Isolation", "ArgsEscaped")
)
SCOPE = (Path(__file__).parents[2] / "docs/SCOPE.md").read_text(encoding="utf-8")

# Field → HostConfig, script, what it says.
INSIDE: dict[str, tuple[dict[str, Any], str, str]] = {
    "Binds": ({"Binds": ["/etc:/e:ro"]}, "test -e /e/passwd && mount | grep -c ' /e .*(ro'", "1"),
    "CapAdd": ({"CapAdd": ["NET_ADMIN"]}, "grep CapEff /proc/self/status", "CapEff: 00000000a80435fb"),
    "CapDrop": ({"CapDrop": ["ALL"]}, "grep CapEff /proc/self/status", "CapEff: 0000000000000000"),
    "Dns": ({"Dns": ["192.0.2.53"]}, "grep nameserver /etc/resolv.conf", "nameserver 192.0.2.53"),
    "DnsOptions": ({"DnsOptions": ["ndots:3"]}, "grep options /etc/resolv.conf", "options ndots:3"),
    "DnsSearch": ({"DnsSearch": ["a.example"]}, "grep search /etc/resolv.conf", "search a.example"),
    "Devices": (
        {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}]},
        "ls -l /dev/x | cut -c1",
        "c",
    ),
    "ExtraHosts": ({"ExtraHosts": ["h:192.0.2.7"]}, "grep 192.0.2.7 /etc/hosts", "192.0.2.7 h"),
    "GroupAdd": ({"GroupAdd": ["99"]}, "id -G | tr ' ' '\\n' | grep 99", "99"),
    "Init": ({"Init": True}, "cat /proc/1/comm", "docker-init"),
    "IpcMode": ({"IpcMode": "none"}, "mount | grep -c /dev/shm || true", "0"),
    "MaskedPaths": ({"MaskedPaths": ["/proc/version"]}, "wc -c < /proc/version", "0"),
    "Mounts": (
        {"Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20}}]},
        "df -k /t | tail -1 | awk '{print $2}'",
        "1024",
    ),
    "NetworkMode": ({"NetworkMode": "none"}, "ls /sys/class/net", "lo"),
    "OomScoreAdj": ({"OomScoreAdj": 300}, "cat /proc/self/oom_score_adj", "300"),
    "PidMode": ({"PidMode": "host"}, "test -d /proc/1 && test $$ -gt 2 && echo host", "host"),
    "Privileged": ({"Privileged": True}, "grep Seccomp: /proc/self/status", "Seccomp: 0"),
    "ReadonlyPaths": ({"ReadonlyPaths": ["/proc/asound"]}, "mount | grep -c /proc/sys || true", "0"),
    "ReadonlyRootfs": ({"ReadonlyRootfs": True}, "touch /x 2>/dev/null || echo no", "no"),
    "SecurityOpt": (
        {"SecurityOpt": ["no-new-privileges"]}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs: 1"
    ),
    "ShmSize": ({"ShmSize": 1 << 20}, "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
    "Sysctls": ({"Sysctls": {"kernel.shmmax": "1000"}}, "cat /proc/sys/kernel/shmmax", "1000"),
    "Tmpfs": ({"Tmpfs": {"/t": "size=1m"}}, "df -k /t | tail -1 | awk '{print $2}'", "1024"),
    "Ulimits": ({"Ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 99}]}, "ulimit -n", "99"),
    "UTSMode": ({"UTSMode": "host"}, "cat /proc/sys/kernel/hostname", "HOST"),
    "UsernsMode": ({"UsernsMode": "host"}, "cat /proc/self/uid_map", "0 0 4294967295"),
}  # fmt: skip

_RATE = [{"Path": DISK, "Rate": 1 << 20}]
# Field → HostConfig, the way to its value in the runtime's config.json, the value.
PLANNED: dict[str, tuple[dict[str, Any], str, Any]] = {
    "Annotations": ({"Annotations": {"a.b": "c"}}, "annotations", {"a.b": "c"}),
    "BlkioDeviceReadBps": ({"BlkioDeviceReadBps": _RATE}, "blockIO.throttleReadBpsDevice.0.rate", 1 << 20),
    "BlkioDeviceReadIOps": ({"BlkioDeviceReadIOps": _RATE}, "blockIO.throttleReadIOPSDevice.0.rate", 1 << 20),
    "BlkioDeviceWriteBps": ({"BlkioDeviceWriteBps": _RATE}, "blockIO.throttleWriteBpsDevice.0.rate", 1 << 20),
    "BlkioDeviceWriteIOps": ({"BlkioDeviceWriteIOps": _RATE}, "blockIO.throttleWriteIOPSDevice.0.rate", 1 << 20),
    "CgroupParent": ({"CgroupParent": "/sampan-field"}, "linux.cgroupsPath", "/sampan-field/ID"),
    "CgroupnsMode": ({"CgroupnsMode": "private"}, "namespaces", "cgroup"),
    "CpuPeriod": ({"CpuPeriod": 50000}, "cpu.period", 50000),
    "CpuQuota": ({"CpuQuota": 20000}, "cpu.quota", 20000),
    "CpuRealtimePeriod": ({"CpuRealtimePeriod": 1_000_000}, "cpu.realtimePeriod", 1_000_000),
    "CpuShares": ({"CpuShares": 100}, "cpu.shares", 100),
    "CpusetCpus": ({"CpusetCpus": "0"}, "cpu.cpus", "0"),
    "CpusetMems": ({"CpusetMems": "0"}, "cpu.mems", "0"),
    "DeviceCgroupRules": ({"DeviceCgroupRules": ["c 42:* rwm"]}, "rule", 42),
    "Memory": ({"Memory": 20 << 20}, "memory.limit", 20 << 20),
    "MemoryReservation": ({"MemoryReservation": 10 << 20}, "memory.reservation", 10 << 20),
    "MemorySwap": ({"Memory": 20 << 20, "MemorySwap": 30 << 20}, "memory.swap", 30 << 20),
    "MemorySwappiness": ({"MemorySwappiness": 30}, "memory.swappiness", 30),
    "NanoCpus": ({"NanoCpus": 500_000_000}, "cpu.quota", 50000),
    "OomKillDisable": ({"OomKillDisable": True, "Memory": 20 << 20}, "memory.disableOOMKiller", True),
    "PidsLimit": ({"PidsLimit": 7}, "pids.limit", 7),
    "BlkioWeight": ({"BlkioWeight": 300}, "blockIO.weight", 300),
    "BlkioWeightDevice": ({"BlkioWeightDevice": [{"Path": DISK, "Weight": 300}]}, "blockIO.weightDevice.0.weight", 300),
}  # fmt: skip

# A kernel without it says so; one with it has no time to give, as nobody gave the parent any.
REALTIME = (
    "eal-time scheduler" if not os.path.exists(f"{CPU}/cpu.rt_runtime_us") else "cpu.rt_runtime_us"
)

# Field → HostConfig, why not.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "CpuRealtimeRuntime": ({"CpuRealtimeRuntime": 900}, REALTIME),
    "DeviceRequests": (
        {"DeviceRequests": [{"Driver": "x", "Capabilities": [["gpu"]]}]},
        'could not select device driver "x"',
    ),
    "StorageOpt": ({"StorageOpt": {"size": "1g"}}, "--storage-opt is supported only for overlay"),
    "VolumeDriver": ({"VolumeDriver": "x", "Binds": ["vol:/v"]}, '"x" not found'),
    "Runtime": ({"Runtime": "x"}, "unknown or invalid runtime name: x"),
    "IOMaximumBandwidth": (
        {"IOMaximumBandwidth": 1},
        "linux does not support configuration of maximum bandwidth",
    ),
    "IOMaximumIOps": ({"IOMaximumIOps": 1}, "linux does not support configuration of maximum IOPs"),
    "Cgroup": ({"Cgroup": "container:x"}, "invalid cgroup"),
    "Isolation": ({"Isolation": "hyperv"}, "linux only supports 'default'"),
}
# What is seen elsewhere than inside: the tests below, by name.
TOLD = frozenset(
    (
        *("AutoRemove", "ConsoleSize", "ContainerIDFile", "Links", "LogConfig", "PortBindings"),
        *("PublishAllPorts", "RestartPolicy", "VolumesFrom"),
    )
)


@pytest.fixture
def engine(sampand: Engine) -> Iterator[Engine]:
    yield sampand
    sampand.remove_containers()
    sampand.remove_volumes()
    for place in Path("/sys/fs/cgroup").glob("*/sampan-field"):
        place.rmdir()


def create(engine: Engine, script: str, host: dict[str, Any], **config: Any) -> tuple[int, Any]:
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "HostConfig": host, **config}
    return engine.request("POST", "/containers/create", body)


def made(engine: Engine, script: str, host: dict[str, Any], **config: Any) -> str:
    status, answer = create(engine, script, host, **config)
    assert status == 201, answer
    identifier = answer["Id"]
    assert isinstance(identifier, str)
    return identifier


def said(engine: Engine, identifier: str) -> str:
    """What it writes until its end, its words one space apart."""
    return " ".join(Driver(engine, "docker").ok("start", "-a", identifier).split())


@contextlib.contextmanager
def running(engine: Engine, host: dict[str, Any], **config: Any) -> Iterator[tuple[str, Any]]:
    """Its id and the config.json that the runtime was given."""
    identifier = made(engine, "exec sleep 1000", host, **config)
    status, answer = engine.request("POST", f"/containers/{identifier}/start")
    assert status == 204, answer
    path = engine.exec_root / "containers" / identifier / "config.json"
    yield identifier, json.loads(path.read_text(encoding="utf-8"))


def inspect(engine: Engine, identifier: str) -> Any:
    return engine.request("GET", f"/containers/{identifier}/json")[1]


def test_no_field_is_forgotten() -> None:
    """Each field of HostConfig is in exactly one of the tables, and Windows's are documented as such."""
    tables: list[Any] = [INSIDE, PLANNED, REFUSED, TOLD, {"CpuCount", "CpuPercent"}]
    found = sorted(field for table in tables for field in table)
    assert found == sorted(FIELDS["HostConfig"])
    assert [field for field in sorted(WINDOWS) if f"`{field}`" not in SCOPE] == []


@pytest.mark.parametrize("field", INSIDE)
def test_seen_inside(engine: Engine, field: str) -> None:
    """By what a command in there finds."""
    host, script, expected = INSIDE[field]
    expected = expected.replace("HOST", Path("/proc/sys/kernel/hostname").read_text().strip())
    assert said(engine, made(engine, script, host)) == expected


def find(config: Any, way: str, identifier: str) -> Any:
    if way == "namespaces":
        return next((n["type"] for n in config["linux"][way] if n["type"] == "cgroup"), None)
    if way == "rule":
        return config["linux"]["resources"]["devices"][-1].get("major")
    whole = config if way.split(".")[0] in config else config["linux"]["resources"]
    for step in way.split("."):
        whole = whole[int(step)] if step.isdigit() else whole.get(step, {})
    return whole.replace(identifier, "ID") if isinstance(whole, str) else whole


@pytest.mark.parametrize("field", PLANNED)
def test_ordered_from_the_runtime(engine: Engine, field: str) -> None:
    """It is in config.json; what this kernel cannot do is told as a warning instead."""
    host, way, value = PLANNED[field]
    if "Blkio" in field and not DISK:
        pytest.skip("no disk to throttle")
    status, answer = create(engine, "true", host)
    if status == 400 and "eal-time scheduler" in answer["message"]:
        return
    if status == 201 and any("kernel does not support" in text for text in answer["Warnings"]):
        assert not inspect(engine, answer["Id"])["HostConfig"][field]
        return
    with running(engine, host) as (identifier, config):
        assert find(config, way, identifier) == value
        assert inspect(engine, identifier)["HostConfig"][field] == host[field]


@pytest.mark.parametrize("field", REFUSED)
def test_refused(engine: Engine, field: str) -> None:
    """With a 4xx or at the start, and why; without it the same container is made."""
    host, complaint = REFUSED[field]
    status, answer = create(engine, "true", host)
    if status == 201:
        status, answer = engine.request("POST", f"/containers/{answer['Id']}/start")
    assert status >= 400
    assert complaint in answer["message"]
    assert create(engine, "true", {k: v for k, v in host.items() if k != field})[0] == 201


def test_what_is_windows(engine: Engine) -> None:
    """As dockerd on Linux: the number of CPUs is given back, a percentage discarded with a warning."""
    status, answer = create(
        engine, "true", {"CpuCount": 3, "CpuPercent": 4, "Isolation": "default"}
    )
    assert (status, answer["Warnings"]) == (
        *(201,),
        ["linux does not support CPU percent. Percent discarded."],
    )
    shown = inspect(engine, answer["Id"])["HostConfig"]
    assert (shown["CpuCount"], shown["CpuPercent"], shown["Isolation"]) == (3, 0, "default")


def test_told(engine: Engine) -> None:
    """What is not inside: an end that removes, a terminal's size, restarts, ports, links, a log, another's volumes."""
    docker = Driver(engine, "docker")
    gone = made(engine, "true", {"AutoRemove": True})
    engine.request("POST", f"/containers/{gone}/start")
    wait_until(lambda: gone not in {c["Id"] for c in engine.containers()}, "its removal")
    sized = made(engine, "stty size", {"ConsoleSize": [33, 77]}, Tty=True)
    engine.request("POST", f"/containers/{sized}/start")
    engine.request("POST", f"/containers/{sized}/wait")
    assert docker.ok("logs", sized) == "33 77"
    again = made(
        engine, "exit 3", {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
    )
    engine.request("POST", f"/containers/{again}/start")
    wait_until(lambda: inspect(engine, again)["RestartCount"] == 1, "its second life")
    silent = made(engine, "echo x", {"LogConfig": {"Type": "none"}, "ContainerIDFile": "/x"})
    assert inspect(engine, silent)["HostConfig"]["ContainerIDFile"] == "/x"
    engine.request("POST", f"/containers/{silent}/start")
    assert "does not support reading" in docker("logs", silent).err
    volumes = made(engine, "true", {"Binds": ["fieldvolume:/fv"]})
    other = made(engine, "mount | grep -c ' /fv '", {"VolumesFrom": [volumes]})
    assert said(engine, other) == "1"
    exposed = {"ExposedPorts": {"80/tcp": {}}}
    binding = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18080"}]}
    with running(engine, {"PortBindings": binding}, **exposed) as (server, _):
        shown = inspect(engine, server)["NetworkSettings"]["Ports"]["80/tcp"]
        assert shown == binding["80/tcp"]
        linked = made(engine, "grep -c alias /etc/hosts", {"Links": [f"{server}:alias"]})
        assert said(engine, linked) == "1"
    with running(engine, {"PublishAllPorts": True}, **exposed) as (server, _):
        assert inspect(engine, server)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]


_Check = Callable[[Any], bool]
# Field → ContainerConfig, script, what it says.
CONFIG: dict[str, tuple[dict[str, Any], str, str]] = {
    "Cmd": ({"Cmd": ["echo", "c"]}, "", "c"),
    "Domainname": ({"Domainname": "d.example"}, "cat /proc/sys/kernel/domainname", "d.example"),
    "Entrypoint": ({"Entrypoint": ["echo", "e"], "Cmd": []}, "", "e"),
    "Env": ({"Env": ["A=b"]}, "echo $A", "b"),
    "Hostname": ({"Hostname": "h"}, "hostname", "h"),
    "NetworkDisabled": ({"NetworkDisabled": True}, "ls /sys/class/net", "lo"),
    "Tty": ({"Tty": True}, "test -t 1 && echo tty", "tty"),
    "User": ({"User": "33:1"}, "id -u; id -g", "33 1"),
    "Volumes": ({"Volumes": {"/v": {}}}, "mount | grep -c ' /v '", "1"),
    "WorkingDir": ({"WorkingDir": "/etc"}, "pwd", "/etc"),
    "Image": ({"Image": "busybox:latest"}, "echo made", "made"),
}
SHOWN: dict[str, Any] = {
    "AttachStderr": True,
    "AttachStdin": True,
    "AttachStdout": True,
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"a": "b"},
    "OnBuild": ["RUN x"],
    "OpenStdin": True,
    "StdinOnce": True,
    "StopSignal": "SIGUSR1",
    "StopTimeout": 7,
    "Shell": ["/bin/sh", "-c"],
    "Healthcheck": {"Test": ["CMD-SHELL", "exit 0"], "Interval": 100_000_000},
}


def test_no_field_of_the_configuration_is_forgotten() -> None:
    """Each is in one of the two tables, but for Windows's."""
    assert sorted([*CONFIG, *SHOWN, "ArgsEscaped"]) == sorted(FIELDS["ContainerConfig"])


@pytest.mark.parametrize("field", CONFIG)
def test_configuration_seen_inside(engine: Engine, field: str) -> None:
    """By what the command finds."""
    config, script, expected = CONFIG[field]
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], **config}
    status, answer = engine.request("POST", "/containers/create", body)
    assert status == 201, answer
    identifier = answer["Id"]
    engine.request("POST", f"/containers/{identifier}/start")
    engine.request("POST", f"/containers/{identifier}/wait")
    assert " ".join(Driver(engine, "docker").ok("logs", identifier).split()) == expected


def test_configuration_that_is_kept(engine: Engine) -> None:
    """What others act on (clients, builds, `stop`) is given back; the shell asks the health, the signal stops."""
    script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    identifier = made(engine, script, {}, **SHOWN)
    engine.request("POST", f"/containers/{identifier}/start")
    shown = inspect(engine, identifier)["Config"]
    assert {field: shown[field] for field in SHOWN if field != "Healthcheck"} == {
        field: value for field, value in SHOWN.items() if field != "Healthcheck"
    }
    wait_until(
        lambda: inspect(engine, identifier)["State"]["Health"]["Status"] == "healthy", "its health"
    )
    engine.request("POST", f"/containers/{identifier}/stop")
    assert inspect(engine, identifier)["State"]["ExitCode"] == 5


UPDATED = {
    "CpuPeriod": 50000,
    "CpuQuota": 20000,
    "CpuShares": 100,
    "CpusetCpus": "0",
    "CpusetMems": "0",
    "Memory": 20 << 20,
    "MemoryReservation": 10 << 20,
    "MemorySwap": 30 << 20,
    "PidsLimit": 7,
    "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
}
NOT_UPDATED: dict[str, Any] = {
    "BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}],
    "BlkioDeviceReadIOps": [{"Path": "/dev/null", "Rate": 1}],
    "BlkioDeviceWriteBps": [{"Path": "/dev/null", "Rate": 1}],
    "BlkioDeviceWriteIOps": [{"Path": "/dev/null", "Rate": 1}],
    "BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 300}],
    "CgroupParent": "/x",
    "DeviceCgroupRules": ["c 42:* rwm"],
    "DeviceRequests": [{"Driver": "x"}],
    "Devices": [{"PathOnHost": "/dev/null"}],
    "Init": True,
    "MemorySwappiness": 30,
    "OomKillDisable": True,
    "Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 9}],
}


def test_update(engine: Engine) -> None:
    """What can be changed is; of what cannot be, each is told by a warning; the rest is refused or Windows's."""
    elsewhere = {"BlkioWeight", "NanoCpus", "CpuRealtimePeriod", "CpuRealtimeRuntime"}
    known = {*UPDATED, *NOT_UPDATED, *elsewhere, *WINDOWS - {"ArgsEscaped", "Isolation"}}
    assert known == set(FIELDS["Update"])
    assert set(FIELDS["Resources"]) == known - {"RestartPolicy"}
    with running(engine, {}) as (identifier, _):
        where = f"/containers/{identifier}/update"
        assert engine.request("POST", where, UPDATED) == (200, {"Warnings": None})
        shown = inspect(engine, identifier)["HostConfig"]
        assert {field: shown[field] for field in UPDATED} == UPDATED
        status, answer = engine.request("POST", where, NOT_UPDATED)
        assert status == 200
        told = [text.split()[0] for text in answer["Warnings"] if "cannot be changed" in text]
        assert sorted(told) == sorted(NOT_UPDATED)
        after = inspect(engine, identifier)["HostConfig"]
        assert {f: after.get(f) for f in NOT_UPDATED} == {f: shown.get(f) for f in NOT_UPDATED}
        assert engine.request("POST", where, {"CpuRealtimeRuntime": 900})[0] == 400
    with running(engine, {}) as (identifier, _):
        where = f"/containers/{identifier}/update"
        assert engine.request("POST", where, {"NanoCpus": 500_000_000})[0] == 200
        assert inspect(engine, identifier)["HostConfig"]["NanoCpus"] == 500_000_000
        status, answer = engine.request("POST", where, {"BlkioWeight": 300})
        changed = inspect(engine, identifier)["HostConfig"]["BlkioWeight"] == 300
        assert status == 200
        assert changed or "Block I/O weight" in answer["Warnings"][0]


def test_exec(engine: Engine) -> None:
    """Every field of an exec's making and start."""
    assert FIELDS["ExecConfig"] == [
        *("AttachStderr", "AttachStdin", "AttachStdout", "Cmd", "ConsoleSize", "DetachKeys"),
        *("Env", "Privileged", "Tty", "User", "WorkingDir"),
    ]
    assert FIELDS["ExecStart"] == ["ConsoleSize", "Detach", "Tty"]
    script = "stty size; id -u; pwd; echo $A; grep CapBnd /proc/self/status"
    asked = {
        **{"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True},
        **{"ConsoleSize": [33, 77], "User": "33", "WorkingDir": "/etc", "Env": ["A=b"]},
        **{
            "Privileged": True,
            "DetachKeys": "ctrl-a",
            "Cmd": ["sh", "-c", f"{{ {script}; }} > /tmp/o"],
        },
    }
    with running(engine, {}) as (identifier, _):
        status, answer = engine.request("POST", f"/containers/{identifier}/exec", asked)
        assert status == 201, answer
        shown = engine.request("GET", f"/exec/{answer['Id']}/json")[1]
        process = shown["ProcessConfig"]
        assert (shown["OpenStdin"], shown["OpenStdout"], shown["OpenStderr"]) == (True, True, True)
        assert (process["tty"], process["user"], process["privileged"]) == (True, "33", True)
        assert shown["DetachKeys"] == "AQ=="
        started = {"Detach": True, "Tty": True, "ConsoleSize": [40, 80]}
        assert engine.request("POST", f"/exec/{answer['Id']}/start", started)[0] == 200
        wait_until(
            lambda: engine.request("GET", f"/exec/{answer['Id']}/json")[1]["ExitCode"] == 0,
            "its end",
        )
        seen = Driver(engine, "docker").ok("exec", identifier, "cat", "/tmp/o").split()
    assert seen[:5] == ["40", "80", "33", "/etc", "b"]
    assert int(seen[6], 16) >> 21 & 1  # CAP_SYS_ADMIN, which is of the privileged


def test_mounts(engine: Engine) -> None:
    """Each field of a mount: by what is mounted, or why it is not."""
    seen = set()
    table = [
        (
            "Type Source Target ReadOnly",
            {"Type": "bind", "Source": "/etc", "ReadOnly": True},
            "(ro",
        ),
        (
            "BindOptions BindOptions.Propagation",
            {"Type": "bind", "Source": "/etc", "BindOptions": {"Propagation": "rprivate"}},
            "/t",
        ),
        (
            "BindOptions.NonRecursive Consistency",
            {
                "Type": "bind",
                "Source": "/etc",
                "Consistency": "cached",
                "BindOptions": {"NonRecursive": True},
            },
            "/t",
        ),
        (
            "BindOptions.CreateMountpoint",
            {
                "Type": "bind",
                "Source": str(engine.root / "made"),
                "BindOptions": {"CreateMountpoint": True},
            },
            "/t",
        ),
        (
            "BindOptions.ReadOnlyNonRecursive",
            {
                "Type": "bind",
                "Source": "/etc",
                "ReadOnly": True,
                "BindOptions": {"ReadOnlyNonRecursive": True},
            },
            "(ro",
        ),
        (
            "BindOptions.ReadOnlyForceRecursive",
            {
                "Type": "bind",
                "Source": "/etc",
                "ReadOnly": True,
                "BindOptions": {"ReadOnlyForceRecursive": True, "Propagation": "rprivate"},
            },
            "(ro",
        ),
        (
            "VolumeOptions VolumeOptions.Labels VolumeOptions.NoCopy VolumeOptions.DriverConfig",
            {
                "Type": "volume",
                "Source": "mv",
                "VolumeOptions": {
                    "Labels": {"l": "m"},
                    "NoCopy": True,
                    "DriverConfig": {
                        "Name": "local",
                        "Options": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"},
                    },
                },
            },
            "size=1024k",
        ),
        (
            "ImageOptions ImageOptions.Subpath",
            {"Type": "image", "Source": "busybox", "ImageOptions": {"Subpath": "etc"}},
            "/t",
        ),
        (
            "TmpfsOptions TmpfsOptions.SizeBytes TmpfsOptions.Mode TmpfsOptions.Options",
            {
                "Type": "tmpfs",
                "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700, "Options": [["noexec"]]},
            },
            "noexec",
        ),
    ]
    for fields, mount, expected in table:
        identifier = made(
            engine, "grep ' /t ' /proc/self/mountinfo; mount | grep ' /t '", {"Mounts": [{**mount, "Target": "/t"}]}
        )  # fmt: skip
        assert expected in said(engine, identifier), mount
        seen |= set(fields.split())
    assert (engine.root / "made").is_dir()
    assert engine.request("GET", "/volumes/mv")[1]["Labels"] == {"l": "m"}
    subpath = {"Type": "volume", "Source": "sv", "Target": "/t", "VolumeOptions": {"Subpath": "no"}}
    refused = engine.request(
        "POST", f"/containers/{made(engine, 'true', {'Mounts': [subpath]})}/start"
    )
    assert refused[0] >= 400
    assert seen | {"VolumeOptions.Subpath"} == set(FIELDS["Mount"])


def test_endpoints(engine: Engine) -> None:
    """What can be asked of an endpoint is so; what only the engine says does not come from the caller."""
    engine.request(
        *("POST", "/networks/create"),
        {"Name": "fields", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}},
    )
    try:
        asked: dict[str, Any] = {
            "IPAMConfig": {"IPv4Address": "10.77.0.9"},
            "MacAddress": "02:42:0a:4d:00:09",
            "Aliases": ["nick"],
            "DriverOpts": {
                "com.docker.network.endpoint.ifname": "web0",
                "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1",
            },
            "GwPriority": 5,
        }  # fmt: skip
        answered = {
            **{"NetworkID": "x", "EndpointID": "x", "Gateway": "10.0.0.1", "IPAddress": "10.0.0.2"},
            **{"IPPrefixLen": 3, "IPv6Gateway": "::1", "GlobalIPv6Address": "::2"},
            **{"GlobalIPv6PrefixLen": 3, "DNSNames": ["x"]},
        }
        assert {*asked, *answered, "Links"} == set(FIELDS["EndpointSettings"])
        networking = {"EndpointsConfig": {"fields": {**asked, **answered}}}
        host = {"NetworkMode": "fields"}
        with running(engine, host, NetworkingConfig=networking) as (identifier, _):
            shown = inspect(engine, identifier)["NetworkSettings"]["Networks"]["fields"]
            assert {field: shown[field] for field in asked} == asked
            assert (shown["IPAddress"], shown["IPPrefixLen"]) == ("10.77.0.9", 24)
            assert not {"x"} & {shown["NetworkID"], shown["EndpointID"], *shown["DNSNames"]}
            assert shown["Gateway"] == "10.77.0.1"
            assert (shown["GlobalIPv6Address"], shown["IPv6Gateway"]) == ("", "")
            linked = {"EndpointsConfig": {"fields": {"Links": [f"{identifier}:sister"]}}}
            other = made(
                engine,
                "nslookup sister 2>/dev/null | grep -c 10.77.0.9; nslookup nick | grep -c 10.77.0.9",
                host,
                NetworkingConfig=linked,
            )
            assert said(engine, other) == "1 1"
            martians = Driver(engine, "docker").ok(
                *("exec", identifier, "cat", "/proc/sys/net/ipv4/conf/web0/log_martians")
            )
            assert martians == "1"
        engine.remove_containers()
    finally:
        engine.request("DELETE", "/networks/fields")
