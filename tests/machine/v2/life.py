"""A container's life: exec, pause, stop, a daemon that comes back, a monitor that dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.engines import wait_until
from tests.machine.v2.checks import check
from tests.machine.v2.house import Container, House, is_inside, processes, same

COUNT = "i=0; while :; do echo $((i += 1)); sleep 0.1; done"
# As systemd in a container does: its root is divided, and then takes no process any more.
DIVIDE = """
    cd /sys/fs/cgroup; mkdir init; echo $$ >init/cgroup.procs
    echo +pids +memory >cgroup.subtree_control; sleep 1000"""


@check
def exec_joins_the_cgroup(house: House) -> None:
    """A second process is in the container's cgroup and namespace from its first instruction."""
    container = house.start()
    assert is_inside(container.exec("cat", "/proc/self/cgroup").out)
    house.sampan.ok("exec", "-d", container.id, "sleep", "999")
    wait_until(lambda: len(processes(container.group)) == 2, "both processes in the cgroup")


@check
def exec_joins_a_divided_cgroup(house: House) -> None:
    """Where the container's root takes no process, exec goes beside its first process, or in a cgroup of its own."""
    container = house.start("--privileged", "--", "sh", "-c", DIVIDE)
    wait_until(
        lambda: container.read("cgroup.subtree_control"), "the container to divide its cgroup"
    )
    result = container.exec("cat", "/proc/self/cgroup")
    same((result.code, result.err), (0, ""))
    assert result.out == "0::/init\n" or is_inside(result.out)
    house.sampan.ok("pause", container.id)
    house.sampan.ok("unpause", container.id)
    house.sampan.ok("stop", "-t", "0", container.id)
    same(container.state["ExitCode"], 137)


@check
def pause_and_unpause(house: House) -> None:
    """cgroup.freeze is set, nothing moves, an exec is refused; then it goes on."""
    container = house.start("--", "sh", "-c", COUNT)
    wait_until(lambda: _lines(house, container) > 2, "output")
    house.sampan.ok("pause", container.id)
    same(container.read("cgroup.freeze"), "1")
    assert "frozen 1" in container.read("cgroup.events")
    state = container.state
    same((state["Status"], state["Paused"], state["Running"]), ("paused", True, True))
    assert "is paused, unpause the container before exec" in container.exec("true").err
    usage = container.read("cpu.stat").splitlines()[0]
    before = _lines(house, container)
    house.run("--", "true")
    same(_lines(house, container), before)
    same(container.read("cpu.stat").splitlines()[0], usage)
    house.sampan.ok("unpause", container.id)
    same(container.read("cgroup.freeze"), "0")
    wait_until(lambda: _lines(house, container) > before, "it to go on")


def _lines(house: House, container: Container) -> int:
    return len(house.sampan.ok("logs", container.id).splitlines())


@check
def paused_container_dies_of_kill_and_force(house: House) -> None:
    """SIGKILL reaches a frozen cgroup, `rm -f` as well."""
    container = house.start()
    house.sampan.ok("pause", container.id)
    house.sampan.ok("kill", container.id)
    same(container.wait_exited()["ExitCode"], 137)
    other = house.start()
    house.sampan.ok("pause", other.id)
    house.sampan.ok("rm", "-f", other.id)
    same(house.groups(), [])


@check
def stop_and_kill(house: House) -> None:
    """A handled SIGTERM ends by itself, another signal by `kill -s`, one that ignores all by SIGKILL."""
    trap = "trap 'exit 7' TERM USR1; echo ready; while :; do sleep 0.1; done"
    for how, code in ((["stop"], 7), (["kill", "-s", "USR1"], 7), (["kill"], 137)):
        container = house.start("--", "sh", "-c", trap)
        wait_until(lambda c=container: _lines(house, c), "its trap to be set")  # type: ignore[misc]
        house.sampan.ok(*how, container.id)
        assert container.wait_exited()["ExitCode"] == code, how
    container = house.start()
    house.sampan.ok("stop", "-t", "1", container.id)
    same(container.state["ExitCode"], 137)


@check
def children_die_with_the_first_process(house: House) -> None:
    """Without a pid namespace of its own nothing of a container outlives it, and the cgroup goes."""
    container = house.start(
        "--pid=host", "--", "sh", "-c", "sleep 998 & setsid sleep 997 & sleep 1000"
    )
    wait_until(lambda: len(processes(container.group)) == 3, "three processes")
    os.kill(container.state["Pid"], signal.SIGKILL)
    container.wait_exited()
    same(house.groups(), [])


@check
def daemon_that_comes_back_adopts(house: House) -> None:
    """After SIGTERM and after SIGKILL: same process, its log goes on, exec, pause and limits work."""
    container = house.start("-m", "64m", "--", "sh", "-c", COUNT)
    paused = house.start()
    house.sampan.ok("pause", paused.id)
    pid = container.state["Pid"]
    for end in (house.engine.stop, house.engine.kill):
        end()
        house.engine.start()
        state = container.state
        same((state["Pid"], state["Running"], state["Paused"]), (pid, True, False))
        assert paused.state["Paused"]
        lines = _lines(house, container)
        wait_until(lambda n=lines: _lines(house, container) > n, "its log to go on")  # type: ignore[misc]
        same(container.exec("cat", "/sys/fs/cgroup/memory.max").out, f"{64 << 20}\n")
        house.sampan.ok("pause", container.id)
        house.sampan.ok("unpause", container.id)
    house.sampan.ok("unpause", paused.id)
    house.sampan.ok("stop", "-t", "0", container.id)
    same(house.groups(), [paused.id])


@check
def oom_while_the_daemon_is_away(house: House) -> None:
    """The monitor saw it: 137 and OOMKilled, although nobody listened."""
    container = house.start(
        "-m", "16m", "--", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exec tail /dev/zero"
    )
    pid = container.state["Pid"]
    house.engine.stop()
    Path(f"/proc/{pid}/root/go").touch()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it to be killed")
    house.engine.start()
    state = container.state
    same((state["ExitCode"], state["OOMKilled"]), (137, True))


@check
def dead_monitor_means_137(house: House) -> None:
    """kill -9 of the monitor: all its processes are killed, the cgroup goes, the record says 137."""
    container = house.start("--", "sh", "-c", "sleep 996 & sleep 1000")
    os.kill(container.monitor(), signal.SIGKILL)
    state = wait_until(lambda: (s := container.state)["Status"] == "exited" and s, "its end")
    same(state["ExitCode"], 137)
    assert "monitor" in state["Error"]
    same(house.groups(), [])


@check
def dead_monitor_of_a_paused_container(house: House) -> None:
    """The same with frozen processes, and while the daemon is away."""
    container = house.start()
    house.sampan.ok("pause", container.id)
    monitor = container.monitor()
    house.engine.stop()
    os.kill(monitor, signal.SIGKILL)
    house.engine.start()
    same(container.state["ExitCode"], 137)
    same(house.groups(), [])


@check
def restart_uses_a_fresh_cgroup(house: House) -> None:
    """Limits are set again, counters begin again."""
    container = house.start("-m", "64m", "--pids-limit", "9")
    house.sampan.ok("restart", "-t", "0", container.id)
    same((container.read("memory.max"), container.read("pids.max")), (str(64 << 20), "9"))
    assert "oom_kill 0" in container.read("memory.events")


@check
def container_that_fails_to_start_leaves_nothing(house: House) -> None:
    """Command not found, 127: no cgroup."""
    same(house.run("--", "no-such-command").code, 127)
    same(house.groups(), [])


@check
def many_at_once(house: House) -> None:
    """Eight starts at the same time, with the parent's controllers and folder made by whoever is first."""
    started = [house.sampan.popen("run", "--rm", "--net=none", "-m", "32m", "busybox", "cat", "/sys/fs/cgroup/memory.max") for _ in range(8)]  # fmt: skip
    outputs = [process.communicate(timeout=50) for process in started]
    same(outputs, [(b"33554432\n", b"")] * 8)
