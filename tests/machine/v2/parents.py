"""Where containers' cgroups are put, and where the daemon sits: controllers must be handed down all the same."""

from __future__ import annotations

import os
from pathlib import Path

from tests.machine.v2.checks import check
from tests.machine.v2.house import Here, House, Nested, another, group, is_inside, same

LIMITS = "-m", "64m", "--pids-limit", "17", "--cpus", "0.5"
READ = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max"
EXPECTED = (0, "67108864\n17\n50000 100000\n", "")


@check
def parent_without_controllers(house: House) -> None:
    """--cgroup-parent below cgroups of somebody else's that have nothing enabled."""
    with group("/theirs/deep") as folder:
        same((folder / "cgroup.controllers").read_text().split(), [])
        result = house.shell(*LIMITS, "--cgroup-parent=/theirs/deep/ours", "--", READ)
        same(result, EXPECTED)
        same([entry.name for entry in folder.rglob("*/")], ["ours"])


@check
def parent_of_the_daemon_s_options(house: House) -> None:
    """The daemon's own --cgroup-parent."""
    with another("second", "--cgroup-parent=/elsewhere", parent="/elsewhere") as other:
        container = other.start(*LIMITS)
        assert (
            Path(f"/proc/{container.state['Pid']}/cgroup").read_text()
            == f"0::/elsewhere/{container.id}\n"
        )
        same(container.exec("sh", "-c", READ), EXPECTED)


@check
def daemon_in_a_cgroup_of_its_own(house: House) -> None:
    """As a service is started: the daemon is in a leaf, containers are outside of it."""
    with group("/service"), another("third", host=Here("/service")) as other:
        same(other.shell(*LIMITS, "--", READ), EXPECTED)
        container = other.start()
        assert Path(f"/proc/{container.monitor()}/cgroup").read_text().startswith("0::/service")


@check
def daemon_in_the_parent_of_its_containers(house: House) -> None:
    """A delegated service whose containers go below it: processes stand in the way of controllers, limits hold all the same."""
    options = "--cgroup-parent=/delegated"
    with (
        group("/delegated"),
        another("fourth", options, host=Here("/delegated"), parent="/delegated") as other,
    ):
        same(other.shell(*LIMITS, "--", READ), EXPECTED)


@check
def daemon_at_the_root_of_a_namespace(house: House) -> None:
    """In a container of its own the daemon sits at the root that it sees, which is not the host's."""
    house.run("--", "true")  # for the host's root to hand controllers down
    with (
        group("/nested"),
        another("fifth", host=Nested("/nested"), parent="/nested/sampan") as other,
    ):
        same(other.shell(*LIMITS, "--", READ), EXPECTED)
        container = other.start(*LIMITS)
        same(container.read("memory.max"), "67108864")
        assert is_inside(container.exec("cat", "/proc/self/cgroup").out)
        other.sampan.ok("pause", container.id)
        other.sampan.ok("unpause", container.id)
        same(Path(f"/proc/{other.engine.process.pid}/cgroup").read_text(), "0::/nested/sampand\n")


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
