"""The daemon: its options, its sockets, restarts and kills, two side by side."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Driver, Engine, Host, running_engine, wait_until
from tests.rootfs import busybox_tar
from tests.terminal import Terminal

LOOP = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A sampand of this test's own, with the image busybox."""
    with running_engine("sampand", tmp_path / "e") as engine:
        load_busybox(engine)
        yield engine


@pytest.fixture(params=["docker", "sampan"])
def own(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Driver]:
    driver = Driver(engine, request.param)
    yield driver
    driver.close()


def load_busybox(engine: Engine) -> None:
    Driver(engine, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')


def pid_of(driver: Driver, name: str) -> int:
    return int(driver.ok("inspect", "-f", "{{.State.Pid}}", name))


def status(driver: Driver, name: str) -> str:
    return driver.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)


def monitor_of(container_pid: int) -> int:
    return int(Path(f"/proc/{container_pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_containers_outlive_the_daemon(own: Driver, way: str) -> None:
    """SIGTERM and SIGKILL of the daemon: same process, no log line lost, exec works again, exit code is kept."""
    own.ok("run", "-d", "--name", "keeps", "busybox", "sh", "-c", LOOP)
    own.ok(
        "run",
        "-d",
        "--name",
        "ends",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /go ]; do sleep 0.02; done; exit 7",
    )
    pid, ending = pid_of(own, "keeps"), pid_of(own, "ends")
    own.ok("exec", "-d", "ends", "sh", "-c", "sleep 0.7; touch /go")
    getattr(own.engine, way)()
    wait_until(
        lambda: (
            not Path(f"/proc/{ending}").exists()
            or "Z" in Path(f"/proc/{ending}/stat").read_text().split()
        ),
        "the second container to end while the daemon is down",
    )
    own.engine.start()
    assert pid_of(own, "keeps") == pid
    assert status(own, "ends") == "exited 7"
    assert own.ok("exec", "keeps", "echo", "back") == "back"
    lines = [int(line) for line in own.ok("logs", "keeps").splitlines()]
    assert lines == list(range(1, len(lines) + 1))
    assert len(lines) > 20
    own.ok("stop", "keeps")
    assert status(own, "keeps") == "exited 137"


def test_an_attached_terminal_outlives_the_daemon(own: Driver) -> None:
    """Streams do not pass through the daemon: a shell at a terminal does not notice that it was killed."""
    with Terminal(
        own.argv("run", "-ti", "--name", "c1", "busybox", "sh"), own.environment()
    ) as shell:
        shell.expect("/ # ")
        # The shell may prompt a moment before the start is answered.
        wait_until(lambda: status(own, "c1") == "running 0", "the start to be over")
        own.engine.kill()
        shell.type("echo still $((1+1)) here\r")
        shell.expect(r"\r\nstill 2 here\r\n")
        own.engine.start()
        shell.type("echo and $((2+2)) now\r")
        shell.expect(r"\r\nand 4 now\r\n")
        shell.type("exit 6\r")
        assert shell.wait() == 6


@pytest.mark.parametrize("flags", [[], ["--rm"]])
@pytest.mark.parametrize("how", ["killed", "stopped", "away"])
def test_the_exit_code_outlives_the_daemon(own: Driver, how: str, flags: list[str]) -> None:
    """`run` reports it though the daemon that was asked is gone: replaced by another, or by none at all."""
    client = own.popen(
        "run", "-i", "--name", "c1", *flags, "busybox", "sh", "-c", "read word; exit $word"
    )
    wait_until(
        lambda: any(c["State"] == "running" for c in own.engine.containers()), "the container"
    )
    pid = pid_of(own, "c1")
    wait_until(lambda: b"read" in Path(f"/proc/{pid}/cmdline").read_bytes(), "its command")
    if how == "stopped":
        own.engine.stop()
    else:
        own.engine.kill()
    if how != "away":
        own.engine.start()
    assert client.stdin
    client.stdin.write(b"7\n")
    client.stdin.close()
    assert client.wait(30) == 7
    if how == "away":
        own.engine.start()
    wait_until(
        lambda: (status(own, "c1") == "exited 7") if not flags else not own.engine.containers(),
        "the next daemon to know of it",
    )


def test_killed_monitor(own: Driver) -> None:
    """Without its monitor a container is killed, and said to be: exit code 137 with the reason."""
    own.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    pid = pid_of(own, "c1")
    os.kill(monitor_of(pid), signal.SIGKILL)
    wait_until(lambda: status(own, "c1") == "exited 137", "the exit to be recorded")
    assert "monitor" in own.ok("inspect", "-f", "{{.State.Error}}", "c1")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the process to end")
    own.ok("start", "c1")
    assert status(own, "c1") == "running 0"


def test_monitor_killed_while_the_daemon_is_down(own: Driver) -> None:
    """Half a container is never adopted."""
    own.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    pid = pid_of(own, "c1")
    own.engine.kill()
    os.kill(monitor_of(pid), signal.SIGKILL)
    own.engine.start()
    assert status(own, "c1") == "exited 137"
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the process to end")


def test_killed_init(own: Driver) -> None:
    """SIGKILL from the host to the first process: 137."""
    own.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    os.kill(pid_of(own, "c1"), signal.SIGKILL)
    assert own.ok("wait", "c1") == "137"


def spawner_of(engine: Engine) -> list[int]:
    out = subprocess.run(
        ["pgrep", "-f", "sampan.*spawner"], capture_output=True, text=True, check=False
    ).stdout
    assert engine.process
    return [int(p) for p in out.split() if ancestor(int(p), engine.process.pid)]


def ancestor(pid: int, wanted: int) -> bool:
    while pid > 1:
        if pid == wanted:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def test_killed_spawner(own: Driver) -> None:
    """A new one is started; what runs is untouched."""
    own.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    pid = pid_of(own, "c1")
    spawners = spawner_of(own.engine)
    assert spawners
    for spawner in spawners:
        os.kill(spawner, signal.SIGKILL)
    wait_until(
        lambda: own("run", "--rm", "busybox", "echo", "again").out == "again\n",
        "containers to start again",
    )
    assert pid_of(own, "c1") == pid
    assert own.ok("exec", "c1", "echo", "x") == "x"


def test_restart_policies_over_a_daemon_restart(own: Driver) -> None:
    """`always` comes back after its process died while the daemon was down; `no` does not."""
    for name, policy in ("a1", "always"), ("n1", "no"):
        own.ok("run", "-d", "--name", name, "--restart", policy, "busybox", "sleep", "1000")
    pids = {name: pid_of(own, name) for name in ("a1", "n1")}
    own.engine.kill()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    own.engine.start()
    wait_until(lambda: status(own, "a1") == "running 0", "the policy to act")
    assert status(own, "n1") == "exited 137"
    assert pid_of(own, "a1") != pids["a1"]


def test_auto_removed_while_the_daemon_was_down(own: Driver) -> None:
    """`--rm` holds even then."""
    own.ok("run", "-d", "--rm", "--name", "c1", "busybox", "sleep", "1000")
    pid = pid_of(own, "c1")
    own.engine.kill()
    os.kill(pid, signal.SIGKILL)
    own.engine.start()
    wait_until(lambda: own.ok("ps", "-aq") == "", "the container to go")


def test_reboot(own: Driver) -> None:
    """Another boot id: what ran is exited, the run folder may be gone, `always` and `unless-stopped` start."""
    own.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    own.ok(
        "run", "-d", "--name", "always", "--restart", "unless-stopped", "busybox", "sleep", "1000"
    )
    pids = [pid_of(own, name) for name in ("plain", "always")]
    own.engine.kill()
    for pid in pids:
        monitor = monitor_of(pid)
        os.kill(monitor, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", str(own.engine.exec_root)], check=True)
    own.engine.start()
    assert own.ok("inspect", "-f", "{{.State.Status}}", "plain") == "exited"
    wait_until(lambda: status(own, "always") == "running 0", "the policy to act")


def test_second_daemon_on_one_data_root_refuses(engine: Engine) -> None:
    """The second says why and ends; the first goes on."""
    command = [
        word.replace("engine.sock", "other.sock").replace("/pid", "/pid2")
        for word in engine.command()
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode != 0
    assert re.search("another|already|in use|lock", second.stderr + second.stdout)
    assert engine.request("GET", "/_ping")[0] == 200


def test_two_daemons_side_by_side(tmp_path: Path) -> None:
    """Different roots and bridges on one host: containers of both run, and see their own network."""
    host = Host()
    script = "ip link add br1 type bridge; ip addr add 10.77.0.1/24 dev br1; ip link set br1 up"
    try:
        subprocess.run([*host.enter(), "sh", "-ec", script], check=True)
        with (
            running_engine("sampand", tmp_path / "a", host=host) as first,
            running_engine("sampand", tmp_path / "b", "--bridge=br1", host=host) as second,
        ):
            for engine, network in (first, "172.17."), (second, "10.77.0."):
                load_busybox(engine)
                out = Driver(engine, "docker").ok(
                    "run",
                    "--rm",
                    "busybox",
                    "sh",
                    "-c",
                    "ip -4 addr show eth0; ping -c1 -W2 192.0.2.1",
                )
                assert f"inet {network}" in out
            second.restart()
            first.restart()
            for engine in first, second:
                Driver(engine, "docker").ok(
                    "run", "--rm", "busybox", "ping", "-c1", "-W2", "192.0.2.1"
                )
    finally:
        host.close()


def test_sockets_and_group(tmp_path: Path) -> None:
    """Several -H; mode 0660; the group asked for."""
    root = tmp_path / "e"
    group = grp.getgrgid(os.getgid()).gr_name
    with running_engine(
        "sampand", root, f"--host=unix://{root}/second.sock", f"--group={group}"
    ) as engine:
        for name in "engine.sock", "second.sock":
            facts = (root / name).stat()
            assert stat.S_ISSOCK(facts.st_mode)
            assert stat.S_IMODE(facts.st_mode) == 0o660
            assert facts.st_gid == os.getgid()
        second = Driver(engine, "docker")
        out = subprocess.run(
            ["docker", "-H", f"unix://{root}/second.sock", "ps", "-q"],
            capture_output=True,
            env=second.environment(),
            check=True,
        )
        assert out.stdout == b""
        assert int((root / "pid").read_text()) > 1
        assert stat.S_IMODE(engine.data_root.stat().st_mode) & 0o007 == 0


@pytest.mark.parametrize(
    ("flags", "command", "pattern"),
    [
        (["--dns=10.5.5.5", "--dns=10.5.5.6"], "cat /etc/resolv.conf", r"nameserver 10\.5\.5\.5\nnameserver 10\.5\.5\.6"),
        (["--bip=10.88.0.1/24"], "ip -4 addr show eth0; ip route", r"inet 10\.88\.0\.\d+/24(?s:.*)default via 10\.88\.0\.1"),
        (["--dns-search=corp.test", "--dns-opt=ndots:3"], "cat /etc/resolv.conf", r"search corp\.test(?s:.*)options ndots:3"),
        (["--default-ulimit=nofile=77:78"], "ulimit -n", r"^77$"),
        (["--mtu=1400"], "cat /sys/class/net/eth0/mtu", r"^1400$"),
    ],
)  # fmt: skip
def test_options_that_containers_see(
    tmp_path: Path, flags: list[str], command: str, pattern: str
) -> None:
    """Daemon options reach the containers, given as flags and as daemon.json."""
    with running_engine("sampand", tmp_path / "e", *flags) as engine:
        load_busybox(engine)
        assert re.search(
            pattern, Driver(engine, "docker").ok("run", "--rm", "busybox", "sh", "-c", command)
        )


def test_configuration_file(tmp_path: Path) -> None:
    """daemon.json with Docker's keys."""
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"dns": ["10.6.6.6"], "bip": "10.89.0.1/24", "debug": True}))
    with running_engine("sampand", tmp_path / "e", f"--config-file={config}") as engine:
        load_busybox(engine)
        out = Driver(engine, "docker").ok(
            "run", "--rm", "busybox", "sh", "-c", "cat /etc/resolv.conf; ip -4 addr show eth0"
        )
        assert "nameserver 10.6.6.6" in out
        assert "inet 10.89.0." in out
        assert re.search(r"\d ?ms", engine.log)  # debug: steps with their milliseconds


@pytest.mark.parametrize(
    ("config", "flags", "text"),
    [
        ({"nosuch": 1}, [], "the following directives don't match any configuration option: nosuch"),
        ({"debug": True}, ["--debug"], "the following directives are specified both as a flag and in the configuration file"),
        ({"dns": "10.1.1.1"}, [], "dns"),
        ({"bip": "not an address"}, [], "invalid CIDR address"),
        ({}, ["--nosuch"], "nosuch"),
        ({}, ["--host=tcp://127.0.0.1:2375"], "TLS"),
    ],
)  # fmt: skip
def test_configuration_that_is_refused(
    tmp_path: Path, config: dict[str, Any], flags: list[str], text: str
) -> None:
    """Nothing is silently ignored: the daemon does not start and says why."""
    (tmp_path / "daemon.json").write_text(json.dumps(config))
    engine = Engine(
        "sampand", tmp_path / "e", Host(), [f"--config-file={tmp_path}/daemon.json", *flags]
    )
    try:
        done = subprocess.run(
            engine.command(), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode != 0
        assert text in done.stderr + done.stdout
    finally:
        engine.host.close()


def test_stop_takes_no_time(own: Driver) -> None:
    """The daemon ends within two seconds of SIGTERM, with a container running and a client following logs."""
    own.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    own.popen("logs", "-f", "c1")
    begin = time.monotonic()
    own.engine.stop()
    assert time.monotonic() - begin < 2
    own.engine.start()


def test_signals_that_the_starter_blocks_or_ignores(tmp_path: Path) -> None:
    """SIGTERM still ends the daemon, and a container's processes start with no signal blocked or ignored."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        with running_engine("sampand", tmp_path / "e") as engine:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            load_busybox(engine)
            docker = Driver(engine, "docker")
            status = docker.ok(
                "run", "--rm", "busybox", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"
            )
            assert re.findall(r"\w+$", status, re.M) == ["0" * 16] * 2
            engine.stop()
            engine.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_autostart(tmp_path: Path) -> None:
    """`sampan` without -H starts a daemon by itself; switched off, it says that nothing listens."""
    driver = Driver(Engine("sampand", tmp_path, Host()), "sampan")
    script = f"""
        mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /var/log || exit 90
        SAMPAN_AUTOSTART=0 {driver.sampan} ps; echo "off: $?"
        {driver.sampan} run --rm hello-world; echo "code: $?"
        kill $(cat /run/sampan.pid)
        while [ -e /proc/$(cat /run/sampan.pid 2>/dev/null || echo nothing) ]; do sleep 0.05; done
    """
    try:
        done = subprocess.run(
            [*driver.engine.host.enter(), "unshare", "--mount", "--propagation=slave", "sh", "-c", script],
            capture_output=True, text=True, timeout=60, env=driver.environment(), check=False,
        )  # fmt: skip
    finally:
        driver.engine.host.close()
    assert "off: 1" in done.stdout, done
    assert "code: 0" in done.stdout, done
    assert "sampan" in done.stdout
