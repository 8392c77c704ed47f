"""R9, R13, R14, R17, R18, R20: rights that a container must not have, each with its negative control.

A test runs twice: as the engine configures containers, where the attack must fail, and with the one defence taken away,
where the same check must see it succeed.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import capabilities
from sampan.linux.kernel import Kernel
from sampan.runtime.request import Target
from tests.bundles import MASKED, READ_ONLY
from tests.kernel.conftest import Box, Result
from tests.kernel.runtime.tool import Tool, tool

__all__ = ["tool"]

Running = Callable[..., Target]
both = pytest.mark.parametrize("naive", [False, True], ids=["ours", "naive"])
V1 = os.path.isdir("/sys/fs/cgroup/devices")
NONE = "0" * 16


def applets(box: Box, *names: str) -> None:
    for name in names:
        os.symlink("busybox", box.lower / "bin" / name)


def with_libraries(box: Box, config: dict[str, Any]) -> dict[str, Any]:
    """/bin/gift is the host's cat: busybox would give up by itself what a file's owner or attributes grant."""
    shutil.copy2("/bin/cat", box.lower / "bin/gift")
    config["mounts"] += [
        {"destination": place, "type": "bind", "source": os.path.realpath(place),
         "options": ["rbind", "ro"]}
        for place in ("/lib", "/lib64")
        if os.path.exists(place)
    ]  # fmt: skip
    return config


# -- R9 ------------------------------------------------------------------------------------------


def naive_apply(
    kernel: Kernel,
    sets: capabilities.CapabilitySets,
    *,
    extra: int = 0,
    apply: Any = capabilities.apply,
) -> None:
    """As Docker did until 20.10.14: inheritable is what the bounding set is."""
    apply(kernel, sets._replace(inheritable=sets.permitted or sets.bounding), extra=extra)


def file_capabilities(permitted: int, inheritable: int) -> bytes:
    """VFS_CAP_REVISION_2 of capabilities(7), with the effective bit."""
    return struct.pack("<IIIII", 0x02000001, permitted, inheritable, 0, 0)


@both
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("way", ["run", "exec", "exec privileged"])
def test_nothing_is_inheritable(
    box: Box, running: Running, monkeypatch: pytest.MonkeyPatch, way: str, uid: int, naive: bool
) -> None:
    """R9 (CVE-2022-24769): nor does a file that could hand inheritable rights on give any."""
    config = with_libraries(box, box.config("sleep", "1000"))
    rights = file_capabilities(0, 0xA80425FB)
    os.setxattr(box.lower / "bin/gift", "security.capability", rights)
    target = running(config) if way != "run" else None
    if naive:
        monkeypatch.setattr(capabilities, "apply", naive_apply)
    script = "cat /proc/self/status; gift /proc/self/status"
    more: dict[str, Any] = {"user": {"uid": uid, "gid": uid}}
    if way == "exec privileged":
        sets = ("bounding", "effective", "permitted")
        more["capabilities"] = dict.fromkeys(sets, capabilities.NAMES)
    if target is not None:
        result = box.exec(target, "sh", "-c", script, **more)
    else:
        config["process"] |= {"args": ["sh", "-c", script], **more}
        result = box.run(config=config)
    own, gift = (text for text in result.output.split("Name:\t")[1:])
    inherited = [line.split()[1] for line in own.splitlines() if line.startswith("CapInh")]
    gained = [line.split()[1] for line in gift.splitlines() if line.startswith("CapPrm")]
    assert (inherited != [NONE]) is naive
    if uid:
        assert (gained != [NONE]) is naive


# -- R13 -----------------------------------------------------------------------------------------


@both
def test_the_cgroup_takes_no_orders(box: Box, naive: bool) -> None:
    """R13 (CVE-2022-0492): no file of it can be written and no cgroup made, by root and by its setting."""
    applets(box, "mkdir", "find")
    script = (
        "cd /sys/fs/cgroup; for d in . *; do mkdir $d/x && echo made $d; done; "
        "for f in $(find . -type f -maxdepth 2); do [ -w $f ] && true >>$f && echo wrote $f; done; true"
    )
    config = box.config("sh", "-c", script)
    (mount,) = (m for m in config["mounts"] if m["type"] == "cgroup")
    if naive:
        mount["options"].remove("ro")
    result = box.run(config=config)
    assert bool(result.output) is naive, result.output
    if not naive:
        assert "Read-only file system" in result.errors


# -- R14 -----------------------------------------------------------------------------------------

BAD_SYSCTLS = [
    *(("kernel.core_pattern", "|/x"), ("kernel.modprobe", "/x"), ("vm.stat_interval", "7")),
    *(("kernel.shm_rmid_forced+kernel.core_pattern", "|/x"), ("fs.suid_dumpable", "2")),
    *(("net", "1"), ("net.", "1"), (".net.ipv4", "1"), ("net..ipv4", "1"), ("net/../vm/x", "1")),
    *(("net.ipv4.ip_forward\nvm.x", "1"), ("net.ipv4.ip_forward\0", "1"), ("net ipv4", "1")),
    *(("../vm/stat_interval", "7"), ("/vm/stat_interval", "7"), ("kernel.msgmax.", "1")),
    *(("fs.mqueue", "1"), ("fs.mqueues.x", "1"), ("kernel.shmmax2", "1"), ("", "1")),
    *(("user.max_user_namespaces", "0"), ("dev.tty.ldisc_autoload", "1"), ("debug.x", "1")),
]


def host_settings() -> dict[str, str]:
    """What the bad ones are after."""
    names = ("kernel/core_pattern", "kernel/modprobe", "vm/stat_interval", "fs/suid_dumpable")
    names += ("user/max_user_namespaces", "net/ipv4/ip_forward", "kernel/shm_rmid_forced")
    files = {name: Path("/proc/sys", name) for name in names}
    return {name: file.read_text() for name, file in files.items() if file.exists()}


def test_no_setting_of_the_hosts_is_changed(tool: Tool) -> None:
    """R14 (CVE-2022-0811): keys of the host's, and keys that smuggle one."""
    before = host_settings()
    for key, value in BAD_SYSCTLS:
        config = tool.configure("true")
        config["linux"]["sysctl"] = {key: value}
        tool.write(config)
        done = tool("run", "-b", str(tool.bundle), tool.new_id())
        assert (done.returncode, "linux.sysctl" in done.stderr) == (1, True), (key, done.stderr)
    assert host_settings() == before


def test_without_that_check_the_hosts_setting_is_changed(box: Box) -> None:
    """The control: what the library does for callers that have checked themselves."""
    before = host_settings()
    old = before["vm/stat_interval"].strip()
    config = box.config("true")
    config["linux"]["sysctl"] = {"vm.stat_interval": str(int(old) + 1)}
    try:
        box.run(config=config)
        assert host_settings() != before
    finally:
        Path("/proc/sys/vm/stat_interval").write_text(old)


# -- R17 -----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("way", ["run", "exec"])
def test_a_setuid_program_gives_nothing(box: Box, running: Running, way: str, naive: bool) -> None:
    """R17: with `noNewPrivileges`, in the first process and in one that is brought in."""
    args = ("gift", "/proc/self/status")
    more = {"user": {"uid": 1000, "gid": 1000}, "noNewPrivileges": not naive}
    config = with_libraries(box, box.config(*args, **more))
    (box.lower / "bin/gift").chmod(0o4755)
    if way == "exec":
        config["process"]["args"] = ["sleep", "1000"]
        result = box.exec(running(config), *args)
    else:
        result = box.run(config=config)
    effective = result.table()["Uid"].split()[1]
    assert (effective == "0") is naive


@both
@pytest.mark.parametrize("place", ["/dev", "/dev/shm"])
def test_a_setuid_program_in_memory_is_an_ordinary_one(
    box: Box, running: Running, place: str, naive: bool
) -> None:
    """R17: /dev and /dev/shm are mounted nosuid."""
    applets(box, "cp", "chmod")
    config = with_libraries(box, box.config("sleep", "1000"))
    gone = {"noexec", *(["nosuid"] if naive else [])}
    for mount in config["mounts"]:
        if mount["destination"] == place:
            mount["options"] = [word for word in mount["options"] if word not in gone]
    target = running(config)
    box.exec(target, "sh", "-c", f"cp /bin/gift {place}/gift && chmod 4755 {place}/gift")
    user = {"uid": 1000, "gid": 1000}
    result = box.exec(target, f"{place}/gift", "/proc/self/status", user=user)
    effective = result.table()["Uid"].split()[1]
    assert (effective == "0") is naive


# -- R18 -----------------------------------------------------------------------------------------


@both
def test_what_would_leak_is_covered(box: Box, naive: bool) -> None:
    """R18: nothing of the masked paths can be read, and no cover taken off, also not with the right to mount."""
    applets(box, "umount")
    script = (
        f"for p in {' '.join([*MASKED, *READ_ONLY])}; do umount $p; done; "
        f"for p in {' '.join(MASKED)}; do [ -d $p ] && ls $p || head -c 100 $p; done; "
        "for p in /proc/sys/kernel/domainname /proc/sysrq-trigger; do true >>$p && echo wrote $p; done"
    )
    config = box.config("sh", "-c", script)
    if naive:
        config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    result = box.run(config=config)
    assert bool(result.output) is naive
    assert ("Read-only file system" in result.errors) is not naive


# -- R20 -----------------------------------------------------------------------------------------

OPEN_THEM = (
    "cd /tmp; mknod disk b 254 0; mknod memory c 1 1; mknod fuse c 10 229; "
    "for n in disk memory fuse; do head -c 0 $n; done; rm -f disk memory fuse"
)


def refusals(result: Result) -> int:
    return result.errors.count("Operation not permitted")


@both
@pytest.mark.parametrize("way", ["run", "exec", "after update"])
def test_devices_that_are_not_its_own(box: Box, running: Running, way: str, naive: bool) -> None:
    """R20: nodes can be made and not opened, whatever limits are changed meanwhile."""
    applets(box, "mknod", "rm")
    config = box.config("sh", "-c", OPEN_THEM) if way == "run" else box.config("sleep", "1000")
    if naive:
        config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    if way == "run":
        assert (refusals(box.run(config=config)) == 3) is not naive
        return
    target = running(config)
    if way == "after update":
        assert target.cgroup is not None
        target.cgroup.apply(json.loads('{"memory": {"limit": 67108864}, "pids": {"limit": 50}}'))
    assert (refusals(box.exec(target, "sh", "-c", OPEN_THEM)) == 3) is not naive
