"""Limits: the kernel's files hold what the flags say, and the limits bite."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.engines import wait_until
from tests.machine.v2.checks import check
from tests.machine.v2.house import IMAGE, House, same

MIB = 1 << 20
DISK = "/dev/vda"


@check
def memory_files(house: House) -> None:
    """-m, with as much swap again or what --memory-swap leaves; the soft limit is memory.low."""
    same(house.file("memory.max", "-m", "64m"), str(64 * MIB))
    same(house.file("memory.swap.max", "-m", "64m"), str(64 * MIB))
    same(house.file("memory.swap.max", "-m", "64m", "--memory-swap", "80m"), str(16 * MIB))
    same(house.file("memory.swap.max", "-m", "64m", "--memory-swap", "-1"), "max")
    same(house.file("memory.low", "-m", "64m", "--memory-reservation", "32m"), str(32 * MIB))
    same(house.file("memory.max"), "max")


@check
def memory_limit_kills_the_first_process(house: House) -> None:
    """The OOM killer's victim is PID 1: 137, and OOMKilled is true."""
    container = house.start("-m", "16m", "--", "tail", "/dev/zero")
    state = container.wait_exited()
    same((state["ExitCode"], state["OOMKilled"], state["Status"]), (137, True, "exited"))


@check
def memory_limit_kills_another_process(house: House) -> None:
    """A killed exec ends with 137; the container goes on, an event tells it, and at its end it is marked."""
    since = int(time.time()) - 1
    container = house.start("-m", "16m", "--oom-score-adj", "-900")
    assert (
        container.exec("sh", "-c", "echo 900 >/proc/self/oom_score_adj; exec tail /dev/zero").code
        == 137
    )
    assert container.state["Running"]
    wait_until(lambda: "oom" in _actions(house, since), "the event")
    house.sampan.ok("stop", "-t", "0", container.id)
    same(container.state["OOMKilled"], True)


def _actions(house: House, since: int) -> list[str]:
    until = int(time.time()) + 1
    flags = f"--since={since}", f"--until={until}", "--format={{.Action}}"
    return house.sampan.ok("events", *flags).splitlines()


@check
def kill_without_oom_is_not_marked(house: House) -> None:
    """137 by a plain kill says OOMKilled false."""
    container = house.start("-m", "16m")
    house.sampan.ok("kill", container.id)
    state = container.wait_exited()
    same((state["ExitCode"], state["OOMKilled"]), (137, False))


@check
def cpu_quota(house: House) -> None:
    """--cpus, --cpu-period and --cpu-quota are cpu.max."""
    same(house.file("cpu.max", "--cpus", "0.5"), "50000 100000")
    same(house.file("cpu.max", "--cpu-period", "20000", "--cpu-quota", "5000"), "5000 20000")
    same(house.file("cpu.max"), "max 100000")


@check
def cpu_quota_bites(house: House) -> None:
    """A busy loop with a tenth of a processor is throttled."""
    container = house.start("--cpus", "0.1", "--", "sh", "-c", "while :; do :; done")
    wait_until(lambda: _stat(container.read("cpu.stat"), "nr_throttled") > 2, "throttling")


def _stat(text: str, key: str) -> int:
    return int(dict(line.split() for line in text.splitlines())[key])


@check
def cpu_shares(house: House) -> None:
    """cpu.shares 2..262144 become cpu.weight 1..10000, 1024 is 100."""
    for shares, weight in (("2", "1"), ("1024", "100"), ("512", "59"), ("262144", "10000")):
        assert house.file("cpu.weight", "--cpu-shares", shares) == weight, shares


@check
def cpuset(house: House) -> None:
    """Only the named processor is left, and one that does not exist is refused."""
    script = "cat /sys/fs/cgroup/cpuset.cpus.effective; grep Cpus_allowed_list /proc/self/status"
    assert house.shell("--cpuset-cpus", "1", "--", script).out.split() == [
        "1",
        "Cpus_allowed_list:",
        "1",
    ]
    same(house.file("cpuset.mems", "--cpuset-mems", "0"), "0")
    result = house.run("--cpuset-cpus", "7", "--", "true")
    same(result.code, 125)
    assert "Requested CPUs are not available - requested 7, available: 0-1" in result.err


@check
def pids_limit(house: House) -> None:
    """pids.max holds it, and a fork too many fails; 0 and -1 are no limit."""
    same(house.file("pids.max", "--pids-limit", "17"), "17")
    same(house.file("pids.max", "--pids-limit", "-1"), "max")
    result = house.shell(
        "--pids-limit", "4", "--", "for i in 1 2 3 4 5 6; do sleep 1 & done; echo all"
    )
    assert result.code != 0
    assert "can't fork" in result.err, result


@check
def io_weight(house: House) -> None:
    """--blkio-weight 10..1000 is io.weight 1..10000, and bfq's own file once that scheduler is there."""
    same(house.file("io.weight", "--blkio-weight", "500").splitlines()[0], "default 4950")
    subprocess.run(["modprobe", "bfq"], check=True)
    same(house.file("io.bfq.weight", "--blkio-weight", "500").splitlines()[0], "default 500")


@check
def io_weight_of_a_device(house: House) -> None:
    """--blkio-weight-device is a line of its own in bfq's file, for a disk that bfq serves."""
    Path("/sys/block/vda/queue/scheduler").write_text("bfq")
    shown = house.file("io.bfq.weight", "--blkio-weight-device", f"{DISK}:300").splitlines()
    same(shown, ["default 100", "254:0 300"])


@check
def io_throttle(house: House) -> None:
    """Rates for a device stand together in io.max."""
    flags = f"--device-read-bps={DISK}:1mb", f"--device-write-iops={DISK}:30"
    same(house.file("io.max", *flags), "254:0 rbps=1048576 wbps=max riops=max wiops=30")


@check
def what_v2_lacks_is_a_warning(house: House) -> None:
    """Swappiness, OOM-killer switch: dropped with docker's words when the container is made, and it starts."""
    container_id, warnings = house.create(
        {"MemorySwappiness": 10, "OomKillDisable": True, "Memory": 64 * MIB}
    )
    assert sorted(text.partition(" or the cgroup")[0] for text in warnings) == [
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
        "Your kernel does not support memory swappiness capabilities",
    ]
    house.sampan.ok("start", "-a", container_id)


@check
def realtime_is_refused(house: House) -> None:
    """There is no real-time group scheduling on v2: docker's error, nothing made."""
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"CPURealtimePeriod": 1000000}}
    status, answer = house.engine.request("POST", "/containers/create", body)
    text = "Your kernel does not support CPU real-time scheduler"
    same((status, answer), (400, {"message": text}))


@check
def limit_that_the_kernel_refuses_leaves_nothing(house: House) -> None:
    """A quota beyond what the kernel can count: the start fails with the file's name, nothing is left."""
    result = house.run("--cpu-period=1000", "--cpu-quota=1000000000000000", "--", "true")
    same(result.code, 125)
    assert "/cpu.max): invalid argument" in result.err, result
    same(house.groups(), [])
