"""What the API says about the host, and what a container sees of the hierarchy."""

from __future__ import annotations

import re
from pathlib import Path

from tests.machine.v2.checks import check
from tests.machine.v2.house import CGROUPS, IMAGE, House, same


@check
def machine_is_pure_v2(house: House) -> None:
    """Nothing but cgroup2 is mounted, and nobody has handed a controller down yet; the daemon starts."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    assert [m[1] for m in mounts if m[2].startswith("cgroup")] == [str(CGROUPS)]
    same((CGROUPS / "cgroup.subtree_control").read_text().split(), [])
    house.open()


@check
def info(house: House) -> None:
    """Version 2, its namespace among the security options, all limits that v2 has, no warning about those that it has not."""
    status, answer = house.engine.request("GET", "/info")
    same(status, 200)
    same(answer["CgroupVersion"], "2")
    same(answer["CgroupDriver"], "cgroupfs")
    assert "name=cgroupns" in answer["SecurityOptions"]
    names = (
        "MemoryLimit",
        "SwapLimit",
        "PidsLimit",
        "CPUShares",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "CPUSet",
    )
    assert {name: answer[name] for name in names} == dict.fromkeys(names, True)
    assert answer["OomKillDisable"] is False
    assert answer["Warnings"] in (None, []), answer["Warnings"]


@check
def run_prints_and_passes_the_exit_code(house: House) -> None:
    """Output, errors and status come back from a container."""
    result = house.shell("--", "echo out; echo err >&2; exit 3")
    same(result, (3, "out\n", "err\n"))


@check
def controllers_were_handed_down(house: House) -> None:
    """After the first container every controller that limits use is on for the cgroups of containers."""
    container = house.start()
    for folder in (CGROUPS, house.parent):
        enabled = (folder / "cgroup.subtree_control").read_text().split()
        assert {"cpuset", "cpu", "io", "memory", "pids"} <= set(enabled), folder
    assert set(container.read("cgroup.controllers").split()) >= {
        "cpuset",
        "cpu",
        "io",
        "memory",
        "pids",
    }


@check
def namespace_is_private_by_default(house: House) -> None:
    """A container sees itself at the root, on the host it is below /sampan; `--cgroupns host` shows that."""
    same(house.run("--", "cat", "/proc/self/cgroup").out, "0::/\n")
    container = house.start()
    same(container.inspect()["HostConfig"]["CgroupnsMode"], "private")
    pid = container.state["Pid"]
    same(Path(f"/proc/{pid}/cgroup").read_text(), f"0::/sampan/{container.id}\n")
    shown = house.run("--cgroupns=host", "--", "cat", "/proc/self/cgroup").out
    assert re.fullmatch(r"0::/sampan/[0-9a-f]{64}\n", shown), shown


@check
def hierarchy_is_read_only(house: House) -> None:
    """cgroup2 is mounted read only with the container's own files; nothing in it can be written or made."""
    result = house.shell("--", "grep /sys/fs/cgroup /proc/mounts")
    device, place, kind, options, *_ = result.out.split()
    same((device, place, kind), ("cgroup", "/sys/fs/cgroup", "cgroup2"))
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(",")), options
    same(len(result.lines), 1)
    result = house.shell("--", "cd /sys/fs/cgroup; cat cgroup.procs; mkdir x; echo max >memory.max")
    same(result.out.split()[0], "1")
    same(result.err.count("Read-only file system"), 2)


@check
def mode_host_shows_the_container_s_part_of_the_hierarchy_too(house: House) -> None:
    """With the host's namespace the mount still is read only."""
    result = house.shell(
        "--cgroupns=host", "--", "grep -c ' cgroup2 ro,' /proc/mounts; mkdir /sys/fs/cgroup/x"
    )
    same(result.out, "1\n")
    assert "Read-only file system" in result.err


@check
def privileged_may_write_and_leaves_nothing(house: House) -> None:
    """A privileged container makes cgroups of its own below its root; they go when it ends."""
    script = (
        "cd /sys/fs/cgroup && mkdir -p a/b && echo $$ >a/b/cgroup.procs && cat /proc/self/cgroup"
    )
    result = house.shell("--privileged", "--", script)
    same(result, (0, "0::/a/b\n", ""))
    same(house.groups(), [])


@check
def writable_cgroups_option(house: House) -> None:
    """`--security-opt writable-cgroups` lets an unprivileged container divide its own cgroup."""
    script = "cd /sys/fs/cgroup && mkdir a && echo 5 >a/pids.max; cat a/cgroup.type"
    result = house.shell("--security-opt=writable-cgroups=true", "--", script)
    same(result.out, "domain\n")


@check
def bridge_network(house: House) -> None:
    """A container on the default bridge reaches its gateway."""
    script = "ip route | grep default; ping -c 1 -w 20 $(ip route | awk '/default/ {print $3}')"
    result = house.sampan("run", "--rm", IMAGE, "sh", "-c", script)
    assert "default via" in result.out, result
    assert "1 packets received" in result.out, result
    same(result.code, 0)
