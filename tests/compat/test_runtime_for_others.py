"""`sampan-runtime` in place of runc: under Debian's dockerd (through containerd's shim) and podman (through conmon)."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bundles import make_rootfs
from tests.engines import VENV_BIN, Driver, Host, running_engine, wait_until
from tests.ledger import Ledger
from tests.rootfs import busybox_tar
from tests.terminal import Terminal

RUNTIME = VENV_BIN / "sampan-runtime"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The stock command on the stock daemon, whose containers our runtime makes."""
    if shutil.which("dockerd") is None:
        pytest.skip("the reference engine is not installed (Debian package docker.io)")
    root = Path(tmp_path_factory.mktemp("d"))
    flags = (f"--add-runtime=sampan={RUNTIME}", "--default-runtime=sampan")
    with running_engine("dockerd", root, *flags) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        yield driver
        driver.close()


def test_docker_runs_a_command(docker: Driver) -> None:
    """Output on both streams and the exit code come through."""
    result = docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")


def test_docker_input_reaches_the_command(docker: Driver) -> None:
    assert docker("run", "--rm", "-i", "busybox", "cat", input="one\ntwo\n").out == "one\ntwo\n"


def test_docker_gives_a_terminal(docker: Driver) -> None:
    """Docker's own client with a terminal: input, output, size and exit code."""
    argv = docker.argv("run", "--rm", "-it", "busybox", "sh")
    with Terminal(argv, docker.environment(), rows=33, columns=77) as terminal:
        terminal.expect("# ")
        terminal.type("tty; stty size; exit 6\r")
        terminal.expect("/dev/pts/0\r\n33 77\r\n")
        assert terminal.wait() == 6


def test_docker_connects_it_to_the_bridge(docker: Driver) -> None:
    """dockerd sets networks up in a prestart hook, which gets the container's state."""
    text = docker.ok("run", "--rm", "busybox", "ip", "-o", "addr")
    assert "eth0" in text
    docker.ok("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "172.17.0.1")


@pytest.fixture
def sleeper(docker: Driver) -> Iterator[str]:
    container = docker.ok("run", "-d", "--memory", "64m", "busybox", "sleep", "1000")
    yield container
    docker.ok("rm", "-f", container)


def test_docker_execs(docker: Driver, sleeper: str) -> None:
    result = docker("exec", "-u", "33", "-w", "/tmp", sleeper, "sh", "-c", "id -u; pwd; exit 3")
    assert (result.code, result.out) == (3, "33\n/tmp\n")
    assert docker("exec", "-i", sleeper, "cat", input="in").out == "in"
    result = docker("exec", sleeper, "nope")
    assert result.code in (126, 127)
    assert "executable file not found" in result.out + result.err


def test_docker_limits_pauses_and_counts(docker: Driver, sleeper: str) -> None:
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
    assert docker("exec", sleeper, "sh", "-c", limit).out.strip() == str(64 << 20)
    docker.ok("update", "--memory", "96m", "--memory-swap", "-1", sleeper)
    assert docker("exec", sleeper, "sh", "-c", limit).out.strip() == str(96 << 20)
    docker.ok("pause", sleeper)
    assert docker.inspect(sleeper)["State"]["Status"] == "paused"
    docker.ok("unpause", sleeper)
    assert docker.inspect(sleeper)["State"]["Status"] == "running"
    assert docker.ok("stats", "--no-stream", "--format", "{{.PIDs}}", sleeper) == "1"
    assert "sleep 1000" in docker.ok("top", sleeper)


def test_docker_stops_restarts_and_kills(docker: Driver) -> None:
    script = "trap 'exit 9' TERM; while :; do sleep 0.1; done"
    container = docker.ok("run", "-d", "busybox", "sh", "-c", script)
    docker.ok("restart", container)
    docker.ok("stop", container)
    assert docker.inspect(container)["State"]["ExitCode"] == 9
    docker.ok("start", container)
    docker.ok("kill", container)
    assert docker.ok("wait", container) == "137"
    docker.ok("rm", container)


def test_docker_hears_of_failures(docker: Driver) -> None:
    result = docker("run", "--rm", "busybox", "nope")
    assert result.code == 127
    assert 'exec: "nope": executable file not found in $PATH' in result.err
    result = docker("run", "--rm", "busybox", "/etc/passwd")
    assert result.code == 126
    assert "permission denied" in result.err


def test_docker_volumes_users_and_read_only(docker: Driver, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("bound\n")
    flags = ("--rm", "--read-only", "--tmpfs", "/run", "-u", "33:50", "--cap-drop", "ALL")
    script = "cat /v/file; id -u; id -g; touch /x 2>&1; grep CapEff /proc/self/status"
    lines = docker.ok(
        "run", *flags, "-v", f"{tmp_path}:/v:ro", "busybox", "sh", "-c", script
    ).splitlines()
    assert lines[:3] == ["bound", "33", "50"]
    assert "Read-only file system" in lines[3]
    assert lines[4].split() == ["CapEff:", "0000000000000000"]


def test_docker_keeps_namespaces_shared(docker: Driver, sleeper: str) -> None:
    flags = ("--rm", "--pid", f"container:{sleeper}", "--network", f"container:{sleeper}")
    assert "sleep 1000" in docker.ok("run", *flags, "busybox", "ps")
    assert (
        docker.ok(
            "run", "--rm", "--privileged", "busybox", "sh", "-c", "mount -t tmpfs x /mnt; echo ok"
        )
        == "ok"
    )


def test_docker_leaves_nothing_of_the_runtime(docker: Driver) -> None:
    """No state folder of a container is left after its end."""
    docker.ok("run", "--rm", "busybox", "true")
    folders = [p for p in docker.engine.exec_root.rglob("state.json") if "runtime" in str(p)]
    assert folders == []


# -- ctr ---------------------------------------------------------------------------------------


@pytest.fixture
def ctr(docker: Driver, tmp_path: Path) -> tuple[list[str], list[str]]:
    """containerd's own command on the containerd that dockerd has started: words before and after the flags."""
    if shutil.which("ctr") is None:
        pytest.skip("ctr is not installed (Debian package containerd)")
    make_rootfs(str(tmp_path / "rootfs"))
    socket = docker.engine.exec_root / "containerd" / "containerd.sock"
    return (
        ["ctr", "-a", str(socket), "-n", "sampan-test"],
        ["--env", "PATH=/bin", "--runc-binary", str(RUNTIME), "--rootfs", str(tmp_path / "rootfs")],
    )


def test_ctr_runs_a_command(ctr: tuple[list[str], list[str]]) -> None:
    before, flags = ctr
    script = "echo out; echo err >&2; exit 7"
    argv = [*before, "run", "--rm", *flags, "one", "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_ctr_task_lives_is_execed_paused_and_killed(ctr: tuple[list[str], list[str]]) -> None:
    before, flags = ctr

    def tell(*args: str) -> str:
        done = subprocess.run([*before, *args], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout

    tell("run", "-d", *flags, "two", "sleep", "1000")
    try:
        assert "RUNNING" in tell("task", "ls")
        assert (
            tell("task", "exec", "--exec-id", "e", "two", "readlink", "/proc/1/exe")
            == "/bin/busybox\n"
        )
        assert len(tell("task", "ps", "two").splitlines()) == 2
        tell("task", "pause", "two")
        assert "PAUSED" in tell("task", "ls")
        tell("task", "resume", "two")
        assert "memory" in tell("task", "metrics", "two")
    finally:
        tell("task", "kill", "-s", "SIGKILL", "two")
        wait_until(lambda: "STOPPED" in tell("task", "ls"), "the task to stop")
        tell("task", "rm", "two")
        tell("container", "rm", "two")


# -- podman ------------------------------------------------------------------------------------


class Podman:
    def __init__(self, folder: Path, host: Host) -> None:
        roots = [
            "--root",
            f"{folder}/root",
            "--runroot",
            f"{folder}/run",
            "--tmpdir",
            f"{folder}/tmp",
        ]
        managers = ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        self._argv = [*host.enter(), "podman", *roots, *managers, "--runtime", str(RUNTIME)]

    def __call__(self, *args: str, input: bytes | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._argv, *args],
            input=None if input is None else input.decode("latin-1"),
            encoding="latin-1",
            capture_output=True,
            timeout=60,
        )

    def ok(self, *args: str, input: bytes | None = None) -> str:
        done = self(*args, input=input)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return str(done.stdout).strip()


# Its default limits cannot be set without CAP_SYS_RESOURCE.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed (Debian package podman)")
    folder = Path(tmp_path_factory.mktemp("p"))
    host = Host()
    engine = Podman(folder, host)
    try:
        engine.ok("import", "-c", 'CMD ["sh"]', "-", "busybox:latest", input=busybox_tar())
        yield engine
    finally:
        engine("pod", "rm", "-fa")
        engine("rm", "-fa", "-t", "0")
        for mount in (f"{folder}/root/overlay", f"{folder}/run/overlay-containers"):
            subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        host.close()


def test_podman_runs_a_command(podman: Podman) -> None:
    script = "echo out; echo err >&2; exit 7"
    done = podman("run", "--rm", *LIMITS, "--network", "none", "busybox", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = podman("run", "--rm", *LIMITS, "--network", "none", "busybox", "nope")
    assert done.returncode == 127
    assert "executable file not found" in done.stderr


def test_podman_execs_logs_and_stops(podman: Podman) -> None:
    script = "echo ready; trap 'exit 4' TERM; while :; do sleep 0.1; done"
    flags = ("-d", *LIMITS, "--network", "none")
    container = podman.ok("run", *flags, "busybox", "sh", "-c", script)
    wait_until(lambda: podman.ok("logs", container) == "ready", "its output")
    done = podman("exec", "-e", "A=b", container, "sh", "-c", "echo $A; exit 5")
    assert (done.returncode, done.stdout) == (5, "b\n")
    assert podman.ok("exec", "-t", container, "tty") == "/dev/pts/0"
    podman.ok("pause", container)
    podman.ok("unpause", container)
    podman.ok("stop", container)
    assert podman.ok("inspect", "-f", "{{.State.ExitCode}}", container) == "4"
    podman.ok("start", container)
    podman.ok("kill", container)
    assert podman.ok("wait", container) == "137"
    podman.ok("rm", container)


def test_podman_gives_a_terminal(podman: Podman) -> None:
    flags = ("--rm", "-t", *LIMITS, "--network", "none")
    assert podman.ok("run", *flags, "busybox", "tty") == "/dev/pts/0"


def test_podman_makes_a_pod(podman: Podman) -> None:
    """Containers of a pod share their network, ipc and uts namespaces with its infra container."""
    if shutil.which("catatonit") is None:
        pytest.skip("a pod's infra container needs catatonit (Debian package)")
    podman.ok("pod", "create", "--name", "pod", "--network", "none", "--hostname", "peas")
    podman.ok("run", "-d", "--pod", "pod", *LIMITS, "--name", "one", "busybox", "sleep", "1000")
    assert podman.ok("run", "--rm", "--pod", "pod", *LIMITS, "busybox", "hostname") == "peas"
    link = ("readlink", "/proc/self/ns/net")
    theirs = podman.ok("run", "--rm", "--pod", "pod", *LIMITS, "busybox", *link)
    assert podman.ok("exec", "one", *link) == theirs
    podman.ok("pod", "rm", "-f", "-t", "0", "pod")


def test_podman_leaves_nothing(podman: Podman) -> None:
    before = Ledger.take("libpod")
    podman.ok("run", "--rm", *LIMITS, "--network", "none", "busybox", "true")
    before.require_same(15)
