"""`--runtime NAME`: Debian's runc, and our own runtime's command, under sampand's monitors."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import VENV_BIN, Driver, Engine, running_engine, wait_until
from tests.rootfs import busybox_tar
from tests.terminal import Terminal

PROGRAMS = {"debian": shutil.which("runc") or "runc", "own": str(VENV_BIN / "sampan-runtime")}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    root = Path(tmp_path_factory.mktemp("r"))
    file = root / "daemon.json"
    runtimes = {name: {"path": path} for name, path in PROGRAMS.items()}
    file.write_text(json.dumps({"runtimes": runtimes}))
    with running_engine("sampand", root / "e", f"--config-file={file}") as engine:
        Driver(engine, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        yield engine


@pytest.fixture(params=["docker", "sampan"])
def driver(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Driver]:
    driver = Driver(engine, request.param)
    yield driver
    driver.close()


@pytest.fixture(params=list(PROGRAMS))
def flags(request: pytest.FixtureRequest) -> tuple[str, str]:
    if shutil.which(PROGRAMS[request.param]) is None:
        pytest.skip(f"{PROGRAMS[request.param]} is not installed")
    return ("--runtime", request.param)


def test_streams_and_exit_codes(driver: Driver, flags: tuple[str, str]) -> None:
    result = driver("run", "--rm", *flags, "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")
    assert driver("run", "--rm", "-i", *flags, "busybox", "cat", input="in\n").out == "in\n"


def test_a_command_that_is_not_there(driver: Driver, flags: tuple[str, str]) -> None:
    result = driver("run", "--rm", *flags, "busybox", "nope")
    assert result.code == 127
    assert 'exec: "nope": executable file not found in $PATH' in result.err
    result = driver("run", "--rm", *flags, "busybox", "/etc/passwd")
    assert result.code == 126
    assert driver.engine.containers() == []


def test_a_terminal(driver: Driver, flags: tuple[str, str]) -> None:
    argv = driver.argv("run", "--rm", "-it", *flags, "busybox", "sh")
    with Terminal(argv, driver.environment(), rows=33, columns=77) as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size; exit 6\r")
        terminal.expect("/dev/pts/0\r\n33 77\r\n")
        assert terminal.wait() == 6


def test_exec(driver: Driver, flags: tuple[str, str]) -> None:
    container = driver.ok("run", "-d", *flags, "busybox", "sleep", "1000")
    result = driver("exec", "-u", "33", "-w", "/tmp", container, "sh", "-c", "id -u; pwd; exit 3")
    assert (result.code, result.out) == (3, "33\n/tmp\n")
    assert driver("exec", "-i", container, "cat", input="in").out == "in"
    assert driver("exec", container, "nope").code in (126, 127)
    with Terminal(driver.argv("exec", "-it", container, "sh"), driver.environment()) as terminal:
        terminal.expect("# ")
        terminal.type("tty; exit 4\r")
        terminal.expect("/dev/pts/0")
        assert terminal.wait() == 4


def test_network_limits_and_pause(driver: Driver, flags: tuple[str, str]) -> None:
    container = driver.ok("run", "-d", "--memory", "64m", *flags, "busybox", "sleep", "1000")
    assert "eth0" in driver.ok("exec", container, "ip", "addr")
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert driver("exec", container, "sh", "-c", limit).out.strip() == str(64 << 20)
    driver.ok("update", "--memory", "96m", "--memory-swap", "-1", container)
    assert driver("exec", container, "sh", "-c", limit).out.strip() == str(96 << 20)
    driver.ok("pause", container)
    assert driver.inspect(container)["State"]["Paused"]
    driver.ok("unpause", container)
    assert driver.inspect(container)["HostConfig"]["Runtime"] == flags[1]


def test_kill_stop_restart_and_logs(driver: Driver, flags: tuple[str, str]) -> None:
    script = "echo up; trap 'exit 9' TERM; while :; do sleep 0.1; done"
    container = driver.ok("run", "-d", *flags, "busybox", "sh", "-c", script)
    wait_until(lambda: driver.ok("logs", container) == "up", "its output")
    driver.ok("restart", container)
    driver.ok("stop", container)
    assert driver.inspect(container)["State"]["ExitCode"] == 9
    driver.ok("start", container)
    driver.ok("kill", container)
    assert driver.ok("wait", container) == "137"
    assert driver.ok("logs", container).split() == ["up"] * 3


def test_what_lives_on_when_the_daemon_restarts(engine: Engine, flags: tuple[str, str]) -> None:
    """The container goes on, its exit is known, an exec works; after kill -9 too."""
    driver = Driver(engine, "docker")
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    container = driver.ok("run", "-d", *flags, "busybox", "sh", "-c", script)
    pid = driver.inspect(container)["State"]["Pid"]
    engine.restart()
    assert driver.inspect(container)["State"]["Pid"] == pid
    assert driver.ok("exec", container, "echo", "here") == "here"
    engine.kill()
    engine.start()
    driver.ok("stop", container)
    assert driver.inspect(container)["State"]["ExitCode"] == 5
    driver.ok("rm", container)


def test_nothing_is_left(engine: Engine, flags: tuple[str, str]) -> None:
    """No mount on the host, no cgroup, no state of the runtime, also when its monitor is killed."""
    driver = Driver(engine, "docker")
    container = driver.ok("run", "-d", *flags, "busybox", "sleep", "1000")
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(engine.root) not in mounts
    assert container not in mounts
    monitor = json.loads((engine.exec_root / f"containers/{container}/monitor.json").read_text())
    os.kill(monitor["pid"], signal.SIGKILL)
    wait_until(lambda: not driver.inspect(container)["State"]["Running"], "its end")
    driver.ok("rm", container)
    wait_until(
        lambda: not [p for p in Path("/sys/fs/cgroup").rglob(container)], "its cgroups to go"
    )
    assert not (engine.exec_root / "containers" / container).exists()


def test_names_are_checked(driver: Driver, engine: Engine) -> None:
    result = driver("run", "--rm", "--runtime", "nope", "busybox", "true")
    assert result.code == 125
    assert "unknown or invalid runtime name: nope" in result.err
    info = engine.request("GET", "/info")[1]
    assert info["DefaultRuntime"] == "sampan"
    assert info["Runtimes"]["debian"]["path"] == PROGRAMS["debian"]


def test_the_flags(tmp_path: Path) -> None:
    """`--add-runtime` and `--default-runtime`: every container that asks for none gets that one."""
    flags = (f"--add-runtime=other={PROGRAMS['own']}", "--default-runtime=other")
    with running_engine("sampand", tmp_path / "e", *flags) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox:latest")
        container = driver.ok("run", "-d", "busybox", "sleep", "1000")
        assert driver.inspect(container)["HostConfig"]["Runtime"] == "other"
        assert (engine.exec_root / "containers" / container / "runtime").exists()
