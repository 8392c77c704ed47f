"""`run` and what a container finds inside, with every client on every engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.engines import Driver

SH = ("busybox", "sh", "-c")

# (flags, command, expected exit code, pattern of stdout, pattern of stderr)
RUNS: list[tuple[list[str], list[str], int, str, str]] = [
    ([], ["echo", "hello"], 0, r"hello\n", ""),
    ([], ["sh", "-c", "echo out; echo err >&2; exit 3"], 3, r"out\n", r"err\n"),
    (["--pid", "host"], ["sh", "-c", "kill -9 $$"], 137, "", ""),
    ([], ["sh", "-c", "kill -15 $$; sleep 2"], 0, "", ""),
    ([], ["id"], 0, r"uid=0\(root\) gid=0\(root\) groups=0\(root\),10\(wheel\)\n", ""),
    (["-u", "www"], ["id"], 0, r"uid=33\(www\) gid=33\(www\) groups=33\(www\),50\(extra\)\n", ""),
    (["-u", "33"], ["id"], 0, r"uid=33\(www\) gid=33\(www\) groups=33\(www\),50\(extra\)\n", ""),
    (["-u", "www:wheel"], ["id"], 0, r"uid=33\(www\) gid=10\(wheel\) groups=10\(wheel\)\n", ""),
    (["-u", "12345"], ["id"], 0, r"uid=12345 gid=0\(root\) groups=0\(root\)\n", ""),
    (["-u", "12345:678"], ["id"], 0, r"uid=12345 gid=678 groups=678\n", ""),
    (
        ["-u", "1000", "--group-add", "50", "--group-add", "wheel"],
        ["id"],
        0,
        r"uid=1000 gid=0\(root\) groups=0\(root\),10\(wheel\),50\(extra\)\n",
        "",
    ),
    (["-w", "/made/here"], ["pwd"], 0, r"/made/here\n", ""),
    (["-h", "box1"], ["sh", "-c", "hostname; cat /etc/hostname"], 0, r"box1\nbox1\n", ""),
    (["-e", "A=1", "-e", "B=two words"], ["sh", "-c", 'echo "$A $B"'], 0, r"1 two words\n", ""),
    (["-e", "HOME=/x"], ["sh", "-c", "echo $HOME"], 0, r"/x\n", ""),
    ([], ["sh", "-c", "echo $HOME $PATH"], 0, r"/root /usr/local/sbin:\S+:/sbin:/bin\n", ""),
    (["-u", "www"], ["sh", "-c", "echo $HOME"], 0, r"/home/www\n", ""),
    ([], ["sh", "-c", "echo ${TERM-none}"], 0, r"none\n", ""),
    (["-t"], ["sh", "-c", "echo $TERM; tty"], 0, r"xterm\r\n/dev/(pts/0|console)\r\n", ""),
    (["--entrypoint", "/bin/echo"], ["a", "b"], 0, r"a b\n", ""),
    (["-i"], ["cat"], 0, r"from stdin\n", ""),
    (["-a", "stderr"], ["sh", "-c", "echo out; echo err >&2"], 0, "", r"err\n"),
    (["-a", "stdin", "-a", "stdout", "-i"], ["cat"], 0, r"from stdin\n", ""),
    (["--read-only"], ["touch", "/x"], 1, "", r"touch: /x: Read-only file system\n"),
    (["--read-only", "--tmpfs", "/x"], ["sh", "-c", "touch /x/y && ls /x"], 0, r"y\n", ""),
    (["--tmpfs", "/x:size=1m,mode=700"], ["sh", "-c", "stat -c %a /x; df -k /x | tail -1 | tr -s ' '"], 0,
     r"700\ntmpfs 1024 \d+ \d+ \d+% /x\n", ""),
    (["--shm-size", "1m"], ["sh", "-c", "df -k /dev/shm | tail -1 | tr -s ' '"], 0, r"shm 1024 .*\n", ""),
    ([], ["sh", "-c", "df -k /dev/shm | tail -1 | tr -s ' '"], 0, r"shm 65536 .*\n", ""),
    (["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -Sn; ulimit -Hn"], 0, r"100\n200\n", ""),
    (["--cap-drop", "ALL"], ["sh", "-c", "grep CapEff /proc/self/status"], 0, r"CapEff:\s0{16}\n", ""),
    (["--cap-add", "NET_ADMIN"], ["sh", "-c", "grep CapEff /proc/self/status"], 0, r"CapEff:\s00000000a80435fb\n", ""),
    (["--cap-drop", "chown", "--cap-add", "SYS_TIME"], ["sh", "-c", "grep CapEff /proc/self/status"], 0,
     r"CapEff:\s00000000aa0425fa\n", ""),
    ([], ["sh", "-c", "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"], 0,
     r"CapInh:\s0{16}\nCapPrm:\s00000000a80425fb\nCapEff:\s00000000a80425fb\nCapBnd:\s00000000a80425fb\n"
     r"CapAmb:\s0{16}\nNoNewPrivs:\s0\nSeccomp:\s2\n", ""),
    (["--security-opt", "seccomp=unconfined"], ["grep", "Seccomp:", "/proc/self/status"], 0, r"Seccomp:\s0\n", ""),
    (["--security-opt", "no-new-privileges"], ["grep", "NoNewPrivs:", "/proc/self/status"], 0, r"NoNewPrivs:\s1\n", ""),
    (["-m", "64m"], ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"], 0, r"67108864\n", ""),
    (["--cpus", "0.5"], ["cat", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"], 0, r"50000\n", ""),
    (["--pids-limit", "7"], ["cat", "/sys/fs/cgroup/pids/pids.max"], 0, r"7\n", ""),
    (["--device", "/dev/fuse:/dev/other:r"], ["sh", "-c", "ls -l /dev/other | cut -c1"], 0, r"c\n", ""),
    (["--network", "none"], ["sh", "-c", "ls /sys/class/net"], 0, r"lo\n", ""),
    (["--network", "host"], ["sh", "-c", "ls /sys/class/net | tr '\\n' ' '"], 0, r".*uplink.*", ""),
    (["--init"], ["sh", "-c", "cat /proc/1/comm"], 0, r"(docker|sampan)-init\n", ""),
    (["-l", "a=b"], ["true"], 0, "", ""),
    (["--sysctl", "net.ipv4.ip_forward=1"], ["cat", "/proc/sys/net/ipv4/ip_forward"], 0, r"1\n", ""),
    (["--uts", "host"], ["hostname"], 0, r".+\n", ""),
    (["--pid", "host"], ["sh", "-c", "cd /proc; set -- [0-9]*; test $# -gt 5 && echo many"], 0, r"many\n", ""),
    (["--oom-score-adj", "500"], ["cat", "/proc/self/oom_score_adj"], 0, r"500\n", ""),
    (["--add-host", "database:10.1.2.3"], ["grep", "database", "/etc/hosts"], 0, r"10\.1\.2\.3\s+database\n", ""),
    (["--dns", "10.9.8.7", "--dns-search", "example.test"], ["cat", "/etc/resolv.conf"], 0,
     r"(?s:.*)nameserver 10\.9\.8\.7\n(?s:.*)", ""),
    ([], ["greet", "x", "y"], 0, r"script ran with 2 arguments\n", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", RUNS, ids=lambda case: " ".join([*case[0], "--", *case[1]])[:60])
def test_run(driver: Driver, case: tuple[list[str], list[str], int, str, str]) -> None:
    """A command line gives the output and the exit code that people know."""
    flags, command, code, out, err = case
    result = driver("run", "--rm", *flags, "busybox", *command, input="from stdin\n")
    assert result.code == code, result
    assert re.fullmatch(out, result.out), result
    assert re.fullmatch(err, result.err), result


# (flags, image and command, exit code, pattern that the error text must contain)
FAILURES: list[tuple[list[str], list[str], int | tuple[int, ...], str]] = [
    ([], ["busybox", "no-such-command"], 127, r'exec: "no-such-command": executable file not found in \$PATH'),
    ([], ["busybox", "/no/such/file"], 127, r'exec: "/no/such/file": stat /no/such/file: no such file or directory'),
    ([], ["busybox", "/etc/passwd"], 126, r'exec: "/etc/passwd": permission denied'),
    ([], ["busybox", "/etc"], 126, r'exec: "/etc": (permission denied|is a directory)'),
    ([], ["busybox", "no-interpreter"], (1, 127), r"exec .*no-interpreter.*: no such file or directory"),
    (["-u", "nosuch"], ["busybox", "id"], 125, r"unable to find user nosuch: no matching entries in passwd file"),
    (["-u", "www:nosuch"], ["busybox", "id"], 125, r"unable to find group nosuch: no matching entries in group file"),
    (["--cap-add", "NOSUCH"], ["busybox", "true"], 125, r'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
    (["--mount", "type=bind,src=/no/such,dst=/x"], ["busybox", "true"], 125,
     r'invalid mount config for type "bind": bind source path does not exist: /no/such'),
    (["-v", "/tmp:relative"], ["busybox", "true"], 125, r"invalid volume spec.*mount path must be absolute"),
    (["-m", "1m"], ["busybox", "true"], 125, r"Minimum memory limit allowed is 6MB"),
    (["--network", "nosuch"], ["busybox", "true"], 125, r"network nosuch not found"),
    (["--device", "/dev/nosuch"], ["busybox", "true"], 127, r'error gathering device information.*"/dev/nosuch"'),
    (["--name", "-bad-"], ["busybox", "true"], 125,
     r"Invalid container name \(-bad-\), only \[a-zA-Z0-9\]\[a-zA-Z0-9_\.-\] are allowed"),
    (["--security-opt", "nosuch=1"], ["busybox", "true"], 125, r"[Ii]nvalid --security-opt"),
    (["--network", "container:nosuch"], ["busybox", "true"], 125, r"No such container: nosuch"),
    (["-w", "relative"], ["busybox", "true"], 125, r"the working directory 'relative' is invalid, it needs to be an absolute path"),
]  # fmt: skip


@pytest.mark.parametrize("case", FAILURES, ids=lambda case: " ".join([*case[0], *case[1]])[:60])
def test_run_fails_clearly(driver: Driver, case: tuple[list[str], list[str], int, str]) -> None:
    """A run that cannot work says why in Docker's words, with Docker's exit code, and `--rm` leaves nothing."""
    flags, command, code, pattern = case
    result = driver("run", "--rm", *flags, *command)
    assert result.code in (code if isinstance(code, tuple) else (code,)), result
    assert re.search(pattern, result.err), result
    assert driver.ok("ps", "-aq") == ""


def test_bind_mounts(driver: Driver, tmp_path: Path) -> None:
    """A host folder is there, writable or not as asked; a missing source of -v is created."""
    (tmp_path / "file").write_text("content\n")
    assert (
        driver.ok(
            "run", "--rm", "-v", f"{tmp_path}:/data", *SH, "cat /data/file; echo x > /data/new"
        )
        == "content"
    )
    assert (tmp_path / "new").read_text() == "x\n"
    refused = driver("run", "--rm", "-v", f"{tmp_path}:/data:ro", *SH, "echo y > /data/new")
    assert refused.code == 1
    assert "Read-only file system" in refused.err
    assert (tmp_path / "new").read_text() == "x\n"
    driver.ok("run", "--rm", "-v", f"{tmp_path}/made:/data", *SH, "echo z > /data/z")
    assert (tmp_path / "made" / "z").read_text() == "z\n"
    driver.ok("run", "--rm", "-v", f"{tmp_path}/file:/etc/one:ro", *SH, "grep content /etc/one")


def test_volumes_keep_data_and_are_filled_from_the_image(driver: Driver) -> None:
    """A named volume outlives its container; a new one is filled with what the image has there."""
    driver.ok("run", "--rm", "-v", "keep:/data", *SH, "echo kept > /data/file")
    try:
        assert driver.ok("run", "--rm", "-v", "keep:/data", *SH, "cat /data/file") == "kept"
        assert driver.ok("run", "--rm", "-v", "filled:/etc", *SH, "grep -c root /etc/passwd") == "1"
    finally:
        for name in "keep", "filled":
            driver.engine.request("DELETE", f"/volumes/{name}?force=1")


def test_network_modes(driver: Driver) -> None:
    """The bridge gives an address and a way out; container:NAME shares it."""
    driver.ok("run", "-d", "--name", "first", *SH, "sleep 100")
    address = driver.ok(
        "exec", "first", "sh", "-c", "ip -4 addr show eth0 | grep -o 'inet [0-9.]*' | cut -c6-"
    )
    assert address == driver.inspect("first")["NetworkSettings"]["IPAddress"]
    shared = driver.ok("run", "--rm", "--network", "container:first", *SH, "ip -4 addr show eth0")
    assert address in shared
    gateway = driver.inspect("first")["NetworkSettings"]["Gateway"]
    assert f"default via {gateway} dev eth0" in driver.ok("exec", "first", "ip", "route")
    driver.ok("exec", "first", "ping", "-c1", "-W2", gateway)
    # 192.0.2.1 is another host, which has no route back: only masquerading lets its answer return.
    driver.ok("exec", "first", "ping", "-c1", "-W2", "192.0.2.1")
    other = driver.ok("run", "--rm", *SH, f"ping -c1 -W2 {address} >/dev/null && echo reached")
    assert other == "reached"
    hosts = driver.ok("exec", "first", "cat", "/etc/hosts")
    identifier = driver.inspect("first")["Id"]
    assert re.search(rf"^{re.escape(address)}\s+{identifier[:12]}$", hosts, re.M)
    driver.ok("run", "-d", "--name", "named", "-h", "box", "busybox", "sleep", "1000")
    assert driver.ok("run", "--rm", "--network", "container:named", "busybox", "hostname") == "box"


def test_environment_of_a_container(driver: Driver) -> None:
    """PATH, HOSTNAME and HOME are set, in Docker's order, and nothing of the daemon's leaks in."""
    lines = driver.ok("run", "--rm", "-h", "box", "-e", "X=1", "busybox", "env").splitlines()
    assert lines == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=box",
        "X=1",
        "HOME=/root",
    ]
    driver.ok("run", "--rm", "busybox", "test", "-f", "/.dockerenv")
    assert driver.ok("run", "--name", "mt", "busybox", "readlink", "/etc/mtab") == "/proc/mounts"
    assert driver.ok("diff", "mt") == ""


def test_devices_and_mounts_of_a_container(driver: Driver) -> None:
    """`/dev` and the mount table are what the reference gives, in kind and in options."""
    names = driver.ok("run", "--rm", "busybox", "ls", "/dev").split()
    names = [name for name in names if name != "core"]  # only where the kernel has /proc/kcore
    assert names == [
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    ]
    table = driver.ok("run", "--rm", "busybox", "cat", "/proc/self/mountinfo").splitlines()
    seen = {}
    for line in table:
        left, _, right = line.partition(" - ")
        fields = left.split()
        seen[fields[4]] = (right.split()[0], set(fields[5].split(",")))
    assert seen["/"][0] == "overlay"
    assert seen["/proc"] == ("proc", {"rw", "nosuid", "nodev", "noexec", "relatime"})
    assert seen["/dev"] == ("tmpfs", {"rw", "nosuid"})
    assert seen["/dev/pts"] == ("devpts", {"rw", "nosuid", "noexec", "relatime"})
    assert seen["/sys"] == ("sysfs", {"ro", "nosuid", "nodev", "noexec", "relatime"})
    assert seen["/dev/mqueue"] == ("mqueue", {"rw", "nosuid", "nodev", "noexec", "relatime"})
    assert seen["/dev/shm"] == ("tmpfs", {"rw", "nosuid", "nodev", "noexec", "relatime"})
    assert "ro" in seen["/sys/fs/cgroup/memory"][1]
    for path in "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys":
        assert "ro" in seen[path][1], path
    for path in "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware":
        assert path in seen or not Path(path).exists(), path
    for path in "/etc/hosts", "/etc/hostname", "/etc/resolv.conf":
        assert "rw" in seen[path][1], path


def test_inspect_of_a_run(driver: Driver) -> None:
    """`inspect` tells what was asked for."""
    driver.ok(
        "run",
        "-d",
        "--name",
        "c1",
        "-e",
        "A=1",
        "-l",
        "k=v",
        "-m",
        "32m",
        "busybox",
        "sleep",
        "100",
    )
    facts = driver.inspect("c1")
    assert facts["Name"] == "/c1"
    assert facts["Path"] == "sleep"
    assert facts["Args"] == ["100"]
    assert facts["State"]["Status"] == "running"
    assert facts["State"]["Running"] is True
    assert facts["State"]["Pid"] > 1
    assert facts["Config"]["Env"][0] == "A=1"
    assert facts["Config"]["Labels"] == {"k": "v"}
    assert facts["HostConfig"]["Memory"] == 32 << 20
    assert facts["Image"].startswith("sha256:")
    assert driver.ok("inspect", "-f", "{{.State.Status}} {{.HostConfig.NetworkMode}}", "c1") in (
        "running default",
        "running bridge",
    )
    assert json.loads(driver.ok("inspect", "-f", "{{json .Config.Cmd}}", "c1")) == ["sleep", "100"]


def test_privileged(ours: Driver) -> None:
    """All of the host's devices and rights; what the daemon itself may not do is not asked for.

    Not run on the reference: its runtime fails where root lacks one capability (CAP_SYS_RESOURCE, say).
    """
    script = "grep Seccomp: /proc/self/status; ls /dev/kmsg; mount -t tmpfs x /mnt && echo mounted"
    out = ours.ok("run", "--rm", "--privileged", "-w", "/mnt", *SH, script)
    assert re.fullmatch(r"Seccomp:\s0\n/dev/kmsg\nmounted", out)
    held = int(re.search(r"CapBnd:\s(\w+)", Path("/proc/self/status").read_text())[1], 16)
    status = ours.ok("run", "--rm", "--privileged", "busybox", "cat", "/proc/self/status")
    assert int(re.search(r"CapEff:\s(\w+)", status)[1], 16) == held
