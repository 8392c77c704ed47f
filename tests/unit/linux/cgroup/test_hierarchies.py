"""The hierarchies of v1, hybrid and v2 hosts are recognised from their mount tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup, detect
from sampan.linux.cgroup.hierarchies import Hierarchies, Hierarchy, features, parse_mountinfo

V1 = """\
20 1 0:17 / /sys/fs/cgroup ro,nosuid shared:7 - tmpfs tmpfs ro,mode=755
21 20 0:18 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:8 - cgroup cgroup rw,cpu,cpuacct
22 20 0:19 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory,clone_children
23 20 0:20 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/usr/lib/x,name=systemd
"""
UNIFIED = "24 20 0:21 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V2 = "30 1 0:30 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"


def test_v1() -> None:
    """Controllers that are mounted together share a hierarchy, named ones count as one."""
    found = parse_mountinfo(V1)
    assert found is not None
    assert (found.mode, found.unified) == ("v1", None)
    assert [h.controllers for h in found.v1] == [{"cpu", "cpuacct"}, {"memory"}, {"name=systemd"}]
    assert found.mountpoint("cpuacct") == "/sys/fs/cgroup/cpu,cpuacct"
    assert found.mountpoint("pids") is None


def test_hybrid_and_v2() -> None:
    """v2 beside v1 is hybrid, v2 alone is v2."""
    hybrid, pure = parse_mountinfo(V1 + UNIFIED), parse_mountinfo(V2)
    assert hybrid is not None
    assert pure is not None
    assert (hybrid.mode, len(hybrid.v1)) == ("hybrid", 3)
    assert hybrid.unified == Hierarchy("/sys/fs/cgroup/unified", frozenset(), "/")
    assert pure == Hierarchies("v2", (), Hierarchy("/sys/fs/cgroup", frozenset(), "/"))


def test_hidden_and_repeated_mounts() -> None:
    """What is mounted over is not there; of two mounts of a hierarchy the first counts; escapes are undone."""
    covered = parse_mountinfo(V1 + "40 22 0:50 / /sys/fs/cgroup/memory rw - tmpfs tmpfs rw\n")
    assert covered is not None
    assert covered.mountpoint("memory") is None
    twice = parse_mountinfo(V1 + "41 1 0:19 / /mnt/m rw - cgroup cgroup rw,memory\n")
    assert twice is not None
    assert twice.mountpoint("memory") == "/sys/fs/cgroup/memory"
    nested = parse_mountinfo(r"1 1 0:9 /docker/a\040b /c\134d rw - cgroup cgroup rw,pids" + "\n")
    assert nested is not None
    assert nested.v1 == (Hierarchy("/c\\d", frozenset(["pids"]), "/docker/a b"),)


def test_nothing_mounted(tmp_path: Path) -> None:
    """A host without cgroups is an error that says so."""
    assert parse_mountinfo("20 1 0:17 / / rw - ext4 /dev/x rw\ngarbage\n") is None
    empty = tmp_path / "mountinfo"
    empty.write_text("")
    with pytest.raises(FileNotFoundError, match="no cgroup file system is mounted"):
        detect(str(empty))


def test_features(tmp_path: Path) -> None:
    """By the files of a v1 root, by the controllers of a v2 root."""
    memory, v2 = tmp_path / "memory", tmp_path / "v2"
    memory.mkdir()
    (memory / "memory.limit_in_bytes").touch()
    one = Hierarchies("v1", (Hierarchy(str(memory), frozenset(["memory"]), "/"),), None)
    assert features(one) == {"MemoryLimit"}
    v2.mkdir()
    (v2 / "cgroup.controllers").write_text("memory pids\n")
    two = Hierarchies("v2", (), Hierarchy(str(v2), frozenset(), "/"))
    assert features(two) == {
        "MemoryLimit",
        "SwapLimit",
        "MemoryReservation",
        "PidsLimit",
        "Devices",
    }


@pytest.mark.parametrize("path", ["", "a", "/", "//a", "/a/", "/a/../b", "/.", "/a//b"])
def test_paths(path: str) -> None:
    """A cgroup's path is absolute and plain, so that none can be made or removed elsewhere."""
    with pytest.raises(ValueError, match="invalid cgroup path"):
        Cgroup(path, Hierarchies("v2", (), Hierarchy("/nowhere", frozenset(), "/")))
