"""Limits: the kernel's files hold what the flags say, and the limits bite."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.engines import wait_until
from tests.machine.v2.checks import check
from tests.machine.v2.house import CGROUPS, House

MIB = 1 << 20
DISK = "/dev/vda"


@check
def memory_files(house: House) -> None:
    """-m, with as much swap again or what --memory-swap leaves; the soft limit is memory.low."""
    assert house.file("memory.max", "-m", "64m") == str(64 * MIB)
    assert house.file("memory.swap.max", "-m", "64m") == str(64 * MIB)
    assert house.file("memory.swap.max", "-m", "64m", "--memory-swap", "80m") == str(16 * MIB)
    assert house.file("memory.swap.max", "-m", "64m", "--memory-swap", "-1") == "max"
    assert house.file("memory.low", "-m", "64m", "--memory-reservation", "32m") == str(32 * MIB)
    assert house.file("memory.max") == "max"


@check
def memory_limit_kills_the_first_process(house: House) -> None:
    """The OOM killer's victim is PID 1: 137, and OOMKilled is true."""
    container = house.start("-m", "16m", "--", "tail", "/dev/zero")
    state = container.wait_exited()
    assert (state["ExitCode"], state["OOMKilled"], state["Status"]) == (137, True, "exited"), state


@check
def memory_limit_kills_another_process(house: House) -> None:
    """A killed exec ends with 137; the container goes on and is marked."""
    container = house.start("-m", "16m", "--oom-score-adj", "-900")
    assert (
        container.exec("sh", "-c", "echo 900 >/proc/self/oom_score_adj; exec tail /dev/zero").code
        == 137
    )
    assert container.state["Running"]
    wait_until(lambda: container.state["OOMKilled"], "OOMKilled")


@check
def kill_without_oom_is_not_marked(house: House) -> None:
    """137 by a plain kill says OOMKilled false."""
    container = house.start("-m", "16m")
    house.sampan.ok("kill", container.id)
    state = container.wait_exited()
    assert (state["ExitCode"], state["OOMKilled"]) == (137, False)


@check
def cpu_quota(house: House) -> None:
    """--cpus, --cpu-period and --cpu-quota are cpu.max."""
    assert house.file("cpu.max", "--cpus", "0.5") == "50000 100000"
    assert house.file("cpu.max", "--cpu-period", "20000", "--cpu-quota", "5000") == "5000 20000"
    assert house.file("cpu.max") == "max 100000"


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
    assert house.file("cpuset.mems", "--cpuset-mems", "0") == "0"
    result = house.run("--cpuset-cpus", "7", "--", "true")
    assert result.code == 125
    assert "Requested CPUs are not available - requested 7, available: 0-1" in result.err


@check
def pids_limit(house: House) -> None:
    """pids.max holds it, and a fork too many fails; 0 and -1 are no limit."""
    assert house.file("pids.max", "--pids-limit", "17") == "17"
    assert house.file("pids.max", "--pids-limit", "-1") == "max"
    result = house.shell(
        "--pids-limit", "4", "--", "for i in 1 2 3 4 5 6; do sleep 1 & done; echo all"
    )
    assert result.code != 0
    assert "can't fork" in result.err, result


@check
def io_weight(house: House) -> None:
    """--blkio-weight 10..1000 is io.weight 1..10000, and bfq's own file once that scheduler is there."""
    assert house.file("io.weight", "--blkio-weight", "500").splitlines()[0] == "default 4950"
    subprocess.run(["modprobe", "bfq"], check=True)
    assert house.file("io.bfq.weight", "--blkio-weight", "500").splitlines()[0] == "default 500"


@check
def io_weight_of_a_device(house: House) -> None:
    """--blkio-weight-device is a line of its own in bfq's file, for a disk that bfq serves."""
    Path("/sys/block/vda/queue/scheduler").write_text("bfq")
    shown = house.file("io.bfq.weight", "--blkio-weight-device", f"{DISK}:300").splitlines()
    assert shown == ["default 100", "254:0 300"]


@check
def io_throttle(house: House) -> None:
    """Rates for a device stand together in io.max."""
    flags = f"--device-read-bps={DISK}:1mb", f"--device-write-iops={DISK}:30"
    assert house.file("io.max", *flags) == "254:0 rbps=1048576 wbps=max riops=max wiops=30"


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
    body = {"Image": "busybox", "HostConfig": {"CPURealtimePeriod": 1000000}}
    status, answer = house.engine.request("POST", "/containers/create", body)
    assert status == 400, answer
    assert "does not support CPU real-time" in answer["message"]


@check
def limit_that_the_kernel_refuses_leaves_nothing(house: House) -> None:
    """cpuset.mems of a node that is not there fails the start; the cgroup is gone."""
    result = house.run("--device-read-bps=/dev/ttyS0:1mb", "--", "true")
    assert result.code != 0
    assert house.groups() == []
    assert "sampan" in [entry.name for entry in CGROUPS.iterdir()] or house.groups() == []
