"""Verifies the command `sampan-runtime`: the life of a container over several commands, as runc's callers know it."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sampan.linux.process import start_time
from tests.engines import wait_until
from tests.kernel.runtime.tool import COMMAND, ENVIRONMENT, Tool, tool

__all__ = ["tool"]
pytestmark = pytest.mark.timeout(600)
SLEEP = ("sleep", "1000")


def test_run_in_the_foreground(tool: Tool) -> None:
    """Streams, relative bind sources, exit code, pid file; nothing is left."""
    config = tool.configure("sh", "-c", "cat /bound; echo error >&2; exit 5")
    (tool.bundle / "source").write_text("bound\n")
    entry = {"destination": "/bound", "type": "bind", "source": "source", "options": ["bind"]}
    config["mounts"].append(entry)
    tool.write(config)
    pid_file = tool.folder / "pid"
    done = tool("run", "-b", str(tool.bundle), "--pid-file", str(pid_file), tool.new_id())
    assert (done.returncode, done.stdout, done.stderr) == (5, "bound\n", "error\n")
    assert int(pid_file.read_text()) > 1
    assert list(tool.root.iterdir()) == []


def test_run_relays_a_terminal(tool: Tool) -> None:
    tool.configure("sh", "-c", "read x; echo got $x; tty", terminal=True)
    argv = tool.argv("run", "-b", str(tool.bundle), tool.new_id())
    done = subprocess.run(
        argv, env=ENVIRONMENT, input="hello\n", capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert {"got hello", "/dev/pts/0"} <= set(done.stdout.splitlines())


def test_run_passes_signals_on(tool: Tool) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    tool.configure("sh", "-c", script)
    argv = tool.argv("run", "-b", str(tool.bundle), tool.new_id())
    with subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "got it\n"
    assert process.returncode == 3


def test_a_whole_life(tool: Tool) -> None:
    """create → created → start → running → pause → resume → kill → stopped → delete."""
    tool.configure(*SLEEP)
    container = tool.create()
    state = tool.state(container)
    assert state["status"] == "created"
    assert state["bundle"] == str(tool.bundle)
    assert state["rootfs"] == str(tool.bundle / "rootfs")
    assert list(state) == [
        *("ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"),
    ]
    assert os.readlink(f"/proc/{state['pid']}/exe") != str(tool.bundle / "rootfs/bin/busybox")
    tool.ok("start", container)
    assert tool.status(container) == "running"
    assert tool("start", container).returncode == 1
    assert json.loads(tool.ok("ps", "--format", "json", container)) == [state["pid"]]
    assert "sleep 1000" in tool.ok("ps", container)
    assert tool.ok("list", "-q").split() == [container]
    (row,) = json.loads(tool.ok("list", "-f", "json"))
    assert (row["id"], row["status"]) == (container, "running")
    header, line = tool.ok("list").splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert line.split()[0] == container
    tool.ok("pause", container)
    assert tool.status(container) == "paused"
    done = tool("exec", container, "true")
    assert done.returncode == 255
    assert "cannot exec in a paused container" in done.stderr
    tool.ok("resume", container)
    done = tool("delete", container)
    assert done.returncode == 1
    assert f"cannot delete container {container} that is not stopped: running" in done.stderr
    tool.ok("kill", container, "KILL")
    wait_until(lambda: tool.status(container) == "stopped", "its end")
    assert tool.state(container)["pid"] == 0
    assert "container not running" in tool("kill", container).stderr
    tool.ok("delete", container)
    assert "container does not exist" in tool("state", container).stderr
    assert tool("delete", container).returncode == 1
    tool.ok("delete", "--force", container)


def test_a_created_container_can_be_deleted(tool: Tool) -> None:
    tool.configure(*SLEEP)
    tool.ok("delete", tool.create())


def test_an_id_is_taken_once(tool: Tool) -> None:
    tool.configure(*SLEEP)
    container = tool.create()
    done = tool("create", "-b", str(tool.bundle), container)
    assert done.returncode == 1
    assert "container with given ID already exists" in done.stderr
    assert tool.status(container) == "created"


def test_detached_run_and_its_exec(tool: Tool) -> None:
    """Exit codes, environment, working folder, user, capabilities, a process file, a pid file."""
    tool.configure(*SLEEP)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    assert tool.status(container) == "running"
    flags = ("-e", "A=b", "--cwd", "/tmp", "-u", "7:8", "-g", "9")
    done = tool("exec", *flags, container, "sh", "-c", "echo $A; pwd; id -u; id -G; exit 5")
    assert (done.returncode, done.stdout) == (5, "b\n/tmp\n7\n8 9\n")
    assert tool("exec", container, "nope").returncode == 255
    assert tool("exec", container, "sh", "-c", "kill -9 $$").returncode == 137
    process = {"args": ["/bin/cat", "/proc/self/status"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    process["capabilities"] = {key: ["CAP_KILL"] for key in ("bounding", "permitted", "effective")}
    (tool.folder / "process").write_text(json.dumps(process))
    text = tool.ok("exec", "--process", str(tool.folder / "process"), container)
    assert "CapEff:\t0000000000000020" in text
    pid_file = tool.folder / "pid"
    tool.ok("exec", "-d", "--pid-file", str(pid_file), container, *SLEEP)
    assert int(pid_file.read_text()) in json.loads(tool.ok("ps", "-f", "json", container))


def test_update_and_events(tool: Tool) -> None:
    tool.configure(*SLEEP)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    tool.ok("update", "--memory", "64m", "--pids-limit", "20", container)
    resources = tool.folder / "resources"
    resources.write_text(json.dumps({"cpu": {"shares": 512}}))
    tool.ok("update", "-r", str(resources), container)
    event = json.loads(tool.ok("events", "--stats", container))
    assert (event["type"], event["id"]) == ("stats", container)
    assert event["data"]["pids"] == {"current": 1, "limit": 20}
    assert event["data"]["memory"]["usage"]["limit"] == 64 << 20
    done = tool("update", "--memory", "lots", container)
    assert done.returncode == 1
    assert r"invalid value for memory: \"lots\"" in done.stderr
    resources.write_text(json.dumps({"cpu": {"shares": "many"}}))
    done = tool("update", "-r", str(resources), container)
    assert "resources.cpu.shares: expected an integer" in done.stderr


def test_events_follow_until_the_end(tool: Tool) -> None:
    tool.configure(*SLEEP)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    argv = tool.argv("events", "--interval", "50ms", container)
    with subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as events:
        assert events.stdout is not None
        for _ in range(2):
            assert json.loads(events.stdout.readline())["type"] == "stats"
        tool.ok("kill", container, "9")
        assert events.wait(15) == 0


def test_a_console_goes_to_its_socket(tool: Tool) -> None:
    """For `create` and for `exec`: a master whose other end is the container's terminal."""
    tool.configure("sh", "-c", "read x; echo got $x; sleep 1000", terminal=True)
    path = str(tool.folder / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        container = tool.create("--console-socket", path)
        with received_console(listener) as console:
            tool.ok("start", container)
            console.write(b"hello\n")
            read_until(console.fileno(), b"got hello")
            flags = ("-t", "-d", "--console-socket", path)
            tool.ok("exec", *flags, container, "sh", "-c", "tty; sleep 1000")
            with received_console(listener) as second:
                read_until(second.fileno(), b"/dev/pts/1")
    done = tool("create", "-b", str(tool.bundle), tool.new_id())
    assert (
        "cannot allocate tty if sampan-runtime will detach without setting console socket"
        in done.stderr
    )


def received_console(listener: socket.socket):  # type: ignore[no-untyped-def]
    listener.settimeout(15)
    connection, _ = listener.accept()
    with connection:
        _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    (fd,) = array.array("i", ancillary[0][2])
    return open(fd, "r+b", buffering=0)


def read_until(fd: int, wanted: bytes) -> None:
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 4096)


@pytest.mark.parametrize("detached", [True, False])
def test_descriptors_are_preserved(tool: Tool, detached: bool) -> None:
    """`--preserve-fds` and LISTEN_FDS: those from 3 on, and no other."""
    tool.configure("sh", "-c", "ls /proc/self/fd; cat <&3; cat <&4; env", env=["PATH=/bin", "A=b"])
    os.symlink("busybox", tool.bundle / "rootfs/bin/env")
    output = tool.folder / "output"
    script = (
        "import os, sys\n"
        "for fd, text in ((3, b'three\\n'), (4, b'four\\n'), (5, b'five\\n')):\n"
        "    m = os.memfd_create('m', 0); os.write(m, text); os.lseek(m, 0, 0); os.dup2(m, fd)\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    container = tool.new_id()
    flags = ["run", *(["-d"] if detached else []), "--preserve-fds", "1", "-b", str(tool.bundle)]
    with open(output, "wb") as file:
        subprocess.run(
            [sys.executable, "-c", script, *tool.argv(*flags, container)],
            env={**ENVIRONMENT, "LISTEN_FDS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            timeout=60,
            check=True,
        )
    wait_until(lambda: "LISTEN_PID" in output.read_text(), "its output")
    lines = output.read_text().splitlines()
    # ls has opened the folder itself: 5.
    assert lines[:6] == ["0", "1", "2", "3", "4", "5"]
    assert "three" in lines
    assert "four" in lines
    assert "five" not in lines
    assert {"A=b", "LISTEN_FDS=1", "LISTEN_PID=1"} <= set(lines)


def test_a_descriptor_to_preserve_must_be_open(tool: Tool) -> None:
    tool.configure("true")
    done = tool("run", "--preserve-fds", "40", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert "is to be preserved, but it is not open" in done.stderr


def test_a_reused_process_id_is_not_the_container(tool: Tool) -> None:
    """The recorded pid is another process's by now: the container is stopped, and that process is left alone."""
    tool.configure("true")
    container = tool.create()
    path = tool.root / container / "state.json"
    state = json.loads(path.read_text())
    # Start times are told in ticks of 10 ms; a container may be created within one.
    while (
        time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK") < state["pid_start"] + 2
    ):
        pass
    with subprocess.Popen(["sleep", "1000"]) as other:
        try:
            path.write_text(json.dumps({**state, "pid": other.pid}))
            assert start_time(other.pid) != state["pid_start"]
            assert tool.status(container) == "stopped"
            assert tool("kill", container, "KILL").returncode == 1
            tool.ok("delete", "--force", container)
            assert other.poll() is None
        finally:
            other.kill()


def test_errors_go_to_the_log_and_to_stderr(tool: Tool) -> None:
    """In JSON, as podman and containerd read it, and in text; a failure leaves nothing."""
    tool.configure("nope")
    text = (
        "sampan-runtime create failed: unable to start container process: "
        'exec: "nope": executable file not found in $PATH'
    )
    log = tool.folder / "log"
    flags = ("create", "-b", str(tool.bundle))
    done = tool("--log", str(log), "--log-format", "json", *flags, tool.new_id())
    assert (done.returncode, done.stderr) == (1, text + "\n")
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", text)
    assert set(entry) == {"level", "msg", "time"}
    done = tool(*flags, tool.new_id())
    assert done.stderr.split(" ", 1)[1] == f"level=error msg={json.dumps(text)}\n"


@pytest.mark.parametrize("container_id", ["..", ".", "a/b", "", "a b", "x" * 2000])
def test_an_id_that_could_be_a_path(tool: Tool, container_id: str) -> None:
    tool.configure("true")
    for command in (("create", "-b", str(tool.bundle)), ("delete", "--force"), ("state",)):
        done = tool(*command, container_id)
        assert done.returncode == 1
        assert "invalid container ID format" in done.stderr


def test_a_bundle_that_is_none(tool: Tool) -> None:
    done = tool("run", "-b", str(tool.folder), "x")
    assert done.returncode == 1
    assert "config.json not found" in done.stderr


def test_without_a_pid_namespace_all_processes_are_ended(tool: Tool) -> None:
    """The first process has ended and others live on: `kill KILL` and `delete --force` still reach them."""
    config = tool.configure("sh", "-c", "sleep 1000 & exit 0")
    config["linux"]["namespaces"] = [
        entry for entry in config["linux"]["namespaces"] if entry["type"] != "pid"
    ]
    config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
    for key in ("maskedPaths", "readonlyPaths"):
        config["linux"][key] = []
    tool.write(config)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    wait_until(lambda: tool.status(container) == "stopped", "the end of the first process")
    tool.ok("delete", container)


def test_a_used_cgroup_is_refused(tool: Tool) -> None:
    config = tool.configure(*SLEEP)
    container = tool.create()
    config["linux"]["cgroupsPath"] = f"/sampan-runtime/{container}"
    tool.write(config)
    done = tool("create", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert "container's cgroup is not empty: 1 process(es) found" in done.stderr
    assert tool.status(container) == "created"


def test_the_example_runs_and_features_are_told(tool: Tool) -> None:
    tool.ok("spec", "-b", str(tool.bundle))
    config = json.loads((tool.bundle / "config.json").read_text())
    assert tool("spec", "-b", str(tool.bundle)).returncode == 1
    config["process"] |= {"terminal": False, "args": ["id", "-u"]}
    tool.write(config)
    assert tool.ok("run", "-b", str(tool.bundle), tool.new_id()) == "0\n"
    features = json.loads(tool.ok("features"))
    assert "createRuntime" in features["hooks"]
    assert "rro" in features["mountOptions"]


def test_usage(tool: Tool) -> None:
    assert tool("--version").stdout.startswith("sampan-runtime version ")
    assert "exec" in tool("--help").stdout
    assert "--console-socket" in tool("create", "--help").stdout
    assert tool("nope").returncode == 3
    assert tool("create").returncode == 1
    log = tool.folder / "log"
    done = tool("--log", str(log), "--log-format", "json", "create", "--nope", "x")
    assert done.returncode == 1
    assert done.stdout.startswith("Incorrect Usage: flag provided but not defined: -nope\n\nNAME:")
    assert "sampan-runtime create" in done.stdout
    assert json.loads(log.read_text())["msg"] == "flag provided but not defined: -nope"
    done = tool("spec", "--bundle", str(tool.folder / "none"))
    assert "/none/config.json: no such file or directory" in done.stderr
    assert tool.ok("list", "-f", "json") == "null\n"
    if not Path("/run/systemd/system").exists():
        done = tool("--systemd-cgroup", "state", "x")
        assert done.returncode == 1
        assert "systemd support for managing cgroups is not available" in done.stderr


DYING = [sys.executable, "-m", "tests.fakes.dying_tool"]


@pytest.mark.parametrize("who", ["parent", "child"])
def test_killed_at_every_message_of_create(tool: Tool, who: str) -> None:
    """Whatever is left, `delete --force` removes; the id can be used again."""
    tool.configure(*SLEEP)
    cwd = Path(__file__).parents[3]
    for at in range(100):
        container = tool.new_id()
        command = [*DYING, who, str(at)]
        done = tool("create", "-b", str(tool.bundle), container, command=command, cwd=cwd)
        tool.ok("delete", "--force", container)
        assert container not in tool.ok("list", "-q").split()
        if done.returncode == 0 and at > 4:
            break
    assert 5 <= at < 40


@pytest.mark.parametrize("who", ["parent", "child"])
def test_killed_at_every_message_of_exec(tool: Tool, who: str) -> None:
    """The container goes on, and no half-made process stays in it."""
    tool.configure(*SLEEP)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    cwd = Path(__file__).parents[3]
    for at in range(100):
        done = tool("exec", container, "true", command=[*DYING, who, str(at)], cwd=cwd)
        assert tool.status(container) == "running"
        wait_until(
            lambda: len(json.loads(tool.ok("ps", "-f", "json", container))) == 1, "the exec's end"
        )
        if done.returncode == 0:
            break
    assert 2 <= at < 20


def test_a_start_that_is_killed_has_started_or_not(tool: Tool) -> None:
    """`start` dies after its word was heard: the container runs, and its state says so."""
    tool.configure(*SLEEP)
    cwd = Path(__file__).parents[3]
    for at in range(4):
        container = tool.create()
        tool("start", container, command=[*DYING, "parent", str(at)], cwd=cwd)
        wait_until(
            lambda: tool.status(container) == ("created" if at == 0 else "running"),  # noqa: B023
            f"the right state after point {at}",
        )
        if at == 0:
            tool.ok("start", container)
        tool.ok("delete", "--force", container)


def test_delete_while_it_is_being_created(tool: Tool) -> None:
    """`delete --force` ends the `create` at work, here one that waits in a hook."""
    config = tool.configure(*SLEEP)
    config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}
    tool.write(config)
    container = tool.new_id()
    argv = [*COMMAND, "--root", str(tool.root), "create", "-b", str(tool.bundle), container]
    with subprocess.Popen(argv, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as creator:
        wait_until(lambda: (tool.root / container / "state.json").exists(), "its record")
        assert tool.status(container) == "creating"
        tool.ok("delete", "--force", container)
        assert creator.wait(15) != 0
