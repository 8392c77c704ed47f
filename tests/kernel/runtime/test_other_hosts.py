"""Verifies user namespaces, and cgroup v2 alone (on a hybrid host, by looking only at its v2 hierarchy)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from sampan.linux.cgroup import detect
from sampan.runtime.request import Target
from tests.kernel.conftest import Box

FIRST = 100_000


@pytest.fixture
def unified() -> Any:
    hierarchies = detect()
    if hierarchies.unified is None:
        pytest.skip("no cgroup v2 is mounted")
    return hierarchies._replace(mode="v2", v1=())


def test_v2_alone_shows_one_hierarchy_and_filters_devices(box: Box, unified: Any) -> None:
    os.symlink("busybox", box.lower / "bin/mknod")
    os.symlink("busybox", box.lower / "bin/mkdir")
    script = (
        "grep ' /sys/fs/cgroup ' /proc/self/mountinfo; cat /sys/fs/cgroup/cgroup.procs; "
        "mknod /tmp/b b 254 0 && head -c 1 /tmp/b; mkdir /sys/fs/cgroup/x; echo x >/dev/null"
    )
    os.symlink("busybox", box.lower / "bin/grep")
    config = box.config("sh", "-c", script)
    config["linux"]["namespaces"].append({"type": "cgroup"})
    result = box.run(config=config, hierarchies=unified)
    assert result.status == 0
    mount, *processes = result.lines()
    assert "- cgroup2 cgroup" in mount
    assert " / /sys/fs/cgroup ro,nosuid,nodev,noexec" in mount
    assert processes[0] == "1"
    assert "Operation not permitted" in result.errors
    assert "Read-only file system" in result.errors


def test_v2_alone_takes_executed_processes_in(
    box: Box, unified: Any, running: Callable[..., Target]
) -> None:
    config = box.config("sleep", "1000")
    target = running(config, hierarchies=unified)
    result = box.exec(target, "cat", "/proc/self/cgroup")
    assert result.lines()[-1] == f"0::{config['linux']['cgroupsPath']}"


def _with_user_namespace(box: Box, *args: str) -> dict[str, Any]:
    """For a root that belongs to the first id of the map."""
    for folder, folders, files in os.walk(box.lower):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), FIRST, FIRST, follow_symlinks=False)
    config = box.config(*args)
    config["root"] = {"path": str(box.lower)}
    config["linux"]["namespaces"].append({"type": "user"})
    entry = {"containerID": 0, "hostID": FIRST, "size": 65536}
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [entry]
    # The map lacks most of that range.
    del config["linux"]["sysctl"]["net.ipv4.ping_group_range"]
    return config


@pytest.fixture
def reachable(box: Box) -> Box:
    """Folders above the root that its mapped owner may pass."""
    folder = box.folder
    while folder != folder.parent and folder.stat().st_uid == os.geteuid():
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
        folder = folder.parent
    return box


def test_root_in_a_user_namespace_is_nobody_outside(reachable: Box) -> None:
    box = reachable
    script = "cat /proc/self/uid_map /proc/keys; echo x > /tmp/written; echo > /dev/null; id"
    config = _with_user_namespace(box, "sh", "-c", script)
    result = box.run(config=config, root=())
    assert result.errors == ""
    first, last = result.lines()
    assert first.split() == ["0", str(FIRST), "65536"]
    assert last.startswith("uid=0")
    assert (box.lower / "tmp/written").stat().st_uid == FIRST


def test_executed_processes_join_the_user_namespace(
    reachable: Box, running: Callable[..., Target]
) -> None:
    box = reachable
    target = running(_with_user_namespace(box, "sleep", "1000"), root=())
    result = box.exec(target, "cat", "/proc/self/uid_map", "/proc/self/status")
    assert result.lines()[0].split() == ["0", str(FIRST), "65536"]
    assert result.table()["Uid"].split() == ["0"] * 4
    with open(f"/proc/{target.pid}/status", encoding="ascii") as file:
        assert f"Uid:\t{FIRST}\t" in file.read()


def test_the_hosts_null_device_cannot_be_changed_through_a_mask(reachable: Box) -> None:
    box = reachable
    os.symlink("busybox", box.lower / "bin/chmod")
    before = os.stat("/dev/null")
    config = _with_user_namespace(box, "chmod", "600", "/proc/keys")
    assert box.run(config=config, root=()).status == 1
    assert os.stat("/dev/null") == before
