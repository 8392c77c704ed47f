"""Where containers' cgroups are put, and where the daemon sits: controllers must be handed down all the same."""

from __future__ import annotations

import os
from pathlib import Path

from tests.machine.v2.checks import check
from tests.machine.v2.house import CGROUPS, House, another, group

LIMITS = "-m", "64m", "--pids-limit", "17", "--cpus", "0.5"
READ = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max"
EXPECTED = ["67108864", "17", "50000", "100000"]


@check
def parent_without_controllers(house: House) -> None:
    """--cgroup-parent below cgroups of somebody else's that have nothing enabled; they stay, ours go."""
    with group("/theirs/deep") as folder:
        assert (folder / "cgroup.controllers").read_text().split() == []
        result = house.shell(*LIMITS, "--cgroup-parent=/theirs/deep/ours", "--", READ)
        assert result.out.split() == EXPECTED, result
        assert [entry.name for entry in folder.iterdir() if entry.is_dir()] == []


@check
def parent_of_the_daemon_s_options(house: House) -> None:
    """The daemon's own --cgroup-parent."""
    with another("second", "--cgroup-parent=/elsewhere", parent="/elsewhere") as other:
        container = other.start(*LIMITS)
        assert (
            Path(f"/proc/{container.state['Pid']}/cgroup").read_text()
            == f"0::/elsewhere/{container.id}\n"
        )
        assert container.exec("sh", "-c", READ).out.split() == EXPECTED
    assert not (CGROUPS / "elsewhere").exists()


@check
def daemon_in_a_cgroup_of_its_own(house: House) -> None:
    """As a service is started: the daemon is in a leaf, containers are outside of it."""
    with group("/service"), another("third", cgroup="/service") as other:
        assert other.shell(*LIMITS, "--", READ).out.split() == EXPECTED
        container = other.start()
        assert Path(f"/proc/{container.monitor()}/cgroup").read_text().startswith("0::/service")


@check
def daemon_in_the_parent_of_its_containers(house: House) -> None:
    """A delegated service whose containers go below it: processes stand in the way of controllers, limits hold all the same."""
    options = "--cgroup-parent=/delegated"
    with (
        group("/delegated"),
        another("fourth", options, cgroup="/delegated", parent="/delegated") as other,
    ):
        assert other.shell(*LIMITS, "--", READ).out.split() == EXPECTED


@check
def somebody_else_in_the_parent(house: House) -> None:
    """Processes that are not ours stay where they are: the container runs, and its lost limits are told."""
    with group("/crowded") as folder:
        pid = os.fork()
        if pid == 0:
            (folder / "cgroup.procs").write_text("0")
            os.execv("/bin/busybox", ["busybox", "sleep", "1000"])
        try:
            while str(pid) not in (folder / "cgroup.procs").read_text().split():
                pass
            result = house.shell(
                *LIMITS, "--cgroup-parent=/crowded", "--", "echo runs; ls /sys/fs/cgroup"
            )
            assert result.out.startswith("runs\n"), result
            assert "memory.max" not in result.out
            assert str(pid) in (folder / "cgroup.procs").read_text().split()
            assert "Limitation discarded" in house.log()
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
