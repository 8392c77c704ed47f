"""Flags of `run` that limit a container or give it rights: what it sees of them, and what is refused, in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engines import Driver, wait_until

V1 = os.path.isdir("/sys/fs/cgroup/memory")
needs_v1 = pytest.mark.skipif(not V1, reason="cgroup v2 is covered by tests/machine")
MEM, CPU, PIDS = "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/pids"
DISK = next((f"/dev/{path.name}" for path in Path("/sys/block").glob("[vsn][dv]*")), "")


def run(driver: Driver, flags: str, script: str) -> tuple[int, str, str]:
    words = [word.replace("~", " ") for word in flags.split()]
    done = driver("run", "--rm", *words, "busybox", "sh", "-c", script)
    return done.code, done.out, done.err


@needs_v1
@pytest.mark.parametrize(
    ("flags", "files", "values"),
    [
        (
            "-m 20m --memory-swap 30m --memory-reservation 10m --memory-swappiness 30",
            f"{MEM}/memory.limit_in_bytes {MEM}/memory.memsw.limit_in_bytes "
            f"{MEM}/memory.soft_limit_in_bytes {MEM}/memory.swappiness",
            "20971520 31457280 10485760 30",
        ),
        (
            "-m 20m --memory-swap -1",
            f"{MEM}/memory.limit_in_bytes {MEM}/memory.memsw.limit_in_bytes",
            "20971520 9223372036854771712",
        ),
        ("-m 20m", f"{MEM}/memory.memsw.limit_in_bytes", "41943040"),
        (
            "--cpu-shares 100 --cpu-quota 20000 --cpu-period 50000",
            f"{CPU}/cpu.shares {CPU}/cpu.cfs_quota_us {CPU}/cpu.cfs_period_us",
            "100 20000 50000",
        ),
        ("--cpus 0.5", f"{CPU}/cpu.cfs_quota_us {CPU}/cpu.cfs_period_us", "50000 100000"),
        (
            "--cpuset-cpus 0 --cpuset-mems 0",
            "/sys/fs/cgroup/cpuset/cpuset.cpus /sys/fs/cgroup/cpuset/cpuset.mems",
            "0 0",
        ),
        ("--pids-limit 7", f"{PIDS}/pids.max", "7"),
        ("--pids-limit -5", f"{PIDS}/pids.max", "max"),
    ],
)
def test_cgroup_files(driver: Driver, flags: str, files: str, values: str) -> None:
    """What the kernel has been told, as the container itself reads it."""
    code, out, err = run(driver, flags, f"cat {files}")
    assert (code, out.split()) == (0, values.split()), err


@needs_v1
@pytest.mark.skipif(not DISK, reason="no disk to throttle")
def test_throttles(driver: Driver) -> None:
    """Rates of a disk."""
    blkio = "/sys/fs/cgroup/blkio/blkio.throttle"
    code, out, _ = run(
        driver,
        f"--device-read-bps {DISK}:1mb --device-write-iops {DISK}:50",
        f"cat {blkio}.read_bps_device {blkio}.write_iops_device",
    )
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == ["1048576", "50"]


@needs_v1
def test_device_rules(driver: Driver) -> None:
    """A rule of the user's is among the others."""
    script = "grep '42:' /sys/fs/cgroup/devices/devices.list"
    assert run(driver, "--device-cgroup-rule c~42:*~rmw", script)[1] == "c 42:* rwm\n"


@pytest.mark.parametrize(
    ("flags", "script", "out"),
    [
        ("--ulimit nofile=100:200 --ulimit core=0", "ulimit -n; ulimit -Hn; ulimit -c", "100 200 0"),
        ("--sysctl net.ipv4.ip_forward=1", "cat /proc/sys/net/ipv4/ip_forward", "1"),
        ("--sysctl kernel.shmmax=1000", "cat /proc/sys/kernel/shmmax", "1000"),
        ("--shm-size 1m", "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024"),
        ("--oom-score-adj 300", "cat /proc/self/oom_score_adj", "300"),
        ("--cap-drop ALL --cap-add NET_ADMIN", "grep CapEff /proc/self/status", "CapEff: 0000000000001000"),
        ("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status", "NoNewPrivs: 1"),
        ("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "Seccomp: 0"),
        ("--security-opt systempaths=unconfined", "mount | grep -c '/proc/' || true", "0"),
        ("--ipc none", "mount | grep -c /dev/shm || true", "0"),
        ("--userns host", "cat /proc/self/uid_map", "0 0 4294967295"),
        ("-u 1000:2000", "id -u; id -g", "1000 2000"),
        ("--group-add 99 --group-add www", "id -G", "0 10 33 99"),
        ("--read-only", "touch /x 2>/dev/null || echo refused", "refused"),
        ("--domainname foo -h bar", "cat /proc/sys/kernel/domainname; hostname", "foo bar"),
        ("--init", "ps | grep -c '[ ]1 root.*docker-init --'", "1"),
        ("--device /dev/null:/dev/xnull:r", "ls -l /dev/xnull | cut -c1", "c"),
        ("--tmpfs /t:size=1m,mode=700", "df -k /t | tail -1 | awk '{print $2}'", "1024"),
        ("--pid host", "[ $(ls /proc | grep -c '^[0-9]') -gt 20 ] && echo many", "many"),
        ("--uts host", "hostname", os.uname().nodename),
        ("--cgroupns private", "grep -c ':/$' /proc/self/cgroup | grep -v '^0$' >/dev/null; echo $?", "0"),
    ],
)  # fmt: skip
def test_what_a_container_sees(driver: Driver, flags: str, script: str, out: str) -> None:
    """Each flag by its effect inside."""
    code, found, err = run(driver, flags, script)
    assert (code, found.split()) == (0, out.split()), err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--memory 1m", "Minimum memory limit allowed is 6MB"),
        ("--memory 10m --memory-swap 5m", "Minimum memoryswap limit should be larger than memory"),
        ("--memory-swap 5m", "You should always set the Memory limit when using Memoryswap limit"),
        ("--memory-swappiness 101", "alid memory swappiness range is 0-100"),
        ("--cpus 999", "Range of CPUs is from 0.01 to"),
        ("--cpuset-cpus 999", "Requested CPUs are not available - requested 999, available: "),
        ("--cpuset-cpus x", "Invalid value x for cpuset cpus: invalid format: x"),
        ("--cpu-period 5", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s"),
        ("--oom-score-adj 3000", "Invalid value 3000, range for oom score adj is [-1000, 1000]"),
        ("--device-read-bps /dev/nosuch:1mb", "stat /dev/nosuch: no such file or directory"),
        ("--device /dev/nosuch", 'error gathering device information while adding custom device "/d'),
        ("--net host --sysctl net.ipv4.ip_forward=1", 'sysctl "net.ipv4.ip_forward" not allowed in host'),
        ("--cap-add FOO", 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ("--security-opt foo", 'nvalid --security-opt: "foo"'),
        ("--security-opt seccomp=/nosuch", "opening seccomp profile (/nosuch) failed"),
        ("--pid container:nosuch", "No such container: nosuch"),
        ("--ipc container:nosuch", "No such container: nosuch"),
        ("--ipc foo", "nvalid IPC mode: foo"),
        ("--uts host -h foo", "conflicting options: hostname and the UTS mode"),
        ("--group-add nosuch", "Unable to find group nosuch: no matching entries in group file"),
        ("--gpus all", 'could not select device driver "" with capabilities: [[gpu]]'),
        ("--isolation hyperv", "Invalid isolation: \"hyperv\" - linux only supports 'default'"),
        ("--storage-opt size=1g", "--storage-opt is supported only for overlay over xfs with 'pquota'"),
    ],
)  # fmt: skip
def test_refused(driver: Driver, flags: str, complaint: str) -> None:
    """In docker's words, and nothing stays."""
    code, _, err = run(driver, flags, "true")
    assert code in (125, 127)
    assert complaint in err
    assert driver.ok("ps", "-aq") == ""


@pytest.mark.skipif(
    os.path.exists("/sys/fs/cgroup/blkio/blkio.weight"), reason="this kernel has weights"
)
@needs_v1
def test_what_the_kernel_lacks_is_a_warning(driver: Driver) -> None:
    """A weight of block I/O, for one."""
    code, _, err = run(driver, "--blkio-weight 300", "true")
    assert code == 0
    assert err == (
        "WARNING: Your kernel does not support Block I/O weight or the cgroup is not mounted. "
        "Weight discarded.\n"
    )


def test_shared_memory_of_another(driver: Driver) -> None:
    """--ipc container: of one that shares it; one that does not, or does not run, is refused."""
    script = "echo hi > /dev/shm/f; exec sleep 1000"
    donor = driver.ok("run", "-d", "--ipc", "shareable", "busybox", "sh", "-c", script)
    driver.ok("exec", donor, "sh", "-c", "until [ -e /dev/shm/f ]; do :; done")
    both = ["--ipc", f"container:{donor}", "--pid", f"container:{donor}"]
    seen = "cat /dev/shm/f; ps | grep -q '[s]leep 1000' && echo seen; echo back > /dev/shm/g"
    assert driver.ok("run", "--rm", *both, "busybox", "sh", "-c", seen) == "hi\nseen"
    assert driver.ok("exec", donor, "cat", "/dev/shm/g") == "back"
    alone = driver.ok("run", "-d", "--ipc", "private", "busybox", "sleep", "1000")
    refused = driver("run", "--rm", "--ipc", f"container:{alone}", "busybox", "true")
    assert refused.code == 125
    assert (
        f"can't join IPC of container {alone}: non-shareable IPC (hint: use IpcMode" in refused.err
    )
    driver.ok("kill", donor)
    wait_until(lambda: not driver.inspect(donor)["State"]["Running"], "the donor's end")
    late = driver("run", "--rm", "--ipc", f"container:{donor}", "busybox", "true")
    assert late.code == 125
    assert f"can't join IPC of container {donor}: container {donor} is not running" in late.err


@needs_v1
def test_out_of_memory(driver: Driver) -> None:
    """The container's first process, or a child whose parent goes on: State and an event say so."""
    name = driver.ok("run", "-d", "-m", "16m", "busybox", "tail", "/dev/zero")
    assert driver.ok("wait", name) == "137"
    assert driver.inspect(name)["State"]["OOMKilled"] is True
    script = "tail /dev/zero; echo $?; exec sleep 1000"
    parent = driver.ok(
        "run", "-d", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", script
    )
    wait_until(lambda: "137" in driver.ok("logs", parent), "the child's end")
    wait_until(
        lambda: "oom" in driver.ok(
            *("events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"),
            *("-f", f"container={parent}"),
        ),
        "the event",
    )  # fmt: skip
    driver.ok("kill", parent)
    wait_until(lambda: driver.inspect(parent)["State"]["OOMKilled"], "the mark")
