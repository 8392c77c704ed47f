"""The programs that sampan generates are run for real: on this machine's processor, the other under emulation."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.spec.programs import init_program, print_program, sealed_program

QEMU = {"aarch64": "qemu-aarch64-static", "x86_64": "qemu-x86_64-static"}


@pytest.fixture(params=["x86_64", "aarch64"])
def arch(request: pytest.FixtureRequest) -> str:
    if request.param != os.uname().machine and shutil.which(QEMU[request.param]) is None:
        pytest.skip(f"{QEMU[request.param]} is not installed")
    return str(request.param)


def argv(arch: str, path: Path) -> list[str]:
    return [str(path)] if arch == os.uname().machine else [QEMU[arch], str(path)]


@pytest.fixture
def init(arch: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "init"
    path.write_bytes(init_program(arch))
    path.chmod(0o755)
    return argv(arch, path)


def test_print_program(arch: str, tmp_path: Path) -> None:
    """It writes its text, whole, and exits with 0; with nobody to read, with 1."""
    path = tmp_path / "hello"
    text = ("many lines\n" * 500).encode()
    path.write_bytes(print_program(arch, text))
    path.chmod(0o755)
    done = subprocess.run(argv(arch, path), capture_output=True, check=True)
    assert done.stdout == text
    with open("/dev/full", "wb") as full:
        assert subprocess.run(argv(arch, path), stdout=full, check=False).returncode == 1


@pytest.mark.parametrize(
    ("command", "code", "out"),
    [
        (["sh", "-c", "exit 7"], 7, b""),
        (["/bin/sh", "-c", "echo $0 $1", "a", "b"], 0, b"a b\n"),
        (["sh", "-c", "kill -9 $$"], 137, b""),
        (["sh", "-c", "kill -TERM $$"], 143, b""),
        (["no-such-command"], 127, b""),
        (["/no/such/file"], 127, b""),
        (["/etc/passwd"], 126, b""),
    ],
)
def test_init_runs_the_command(init: list[str], command: list[str], code: int, out: bytes) -> None:
    """The command is found in PATH or by its path, and its end is init's end."""
    done = subprocess.run(
        [*init, "--", *command], capture_output=True, check=False, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (code, out)


@pytest.mark.parametrize("environment", [{}, {"PATHS": "/x", "PATH": "/nowhere:/bin:/usr/bin"}])
def test_init_passes_the_environment(init: list[str], environment: dict[str, str]) -> None:
    """The environment is handed on unchanged; without PATH the usual folders are searched."""
    done = subprocess.run([*init, "--", "env"], capture_output=True, check=True, env=environment)
    lines = done.stdout.decode().splitlines()
    assert sorted(lines) == sorted(f"{k}={v}" for k, v in environment.items())


def test_init_forwards_signals(init: list[str]) -> None:
    """What init is sent the command receives, with no signal left blocked."""
    script = "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [*init, "--", "sh", "-c", script], stdout=-1, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.read() == b"caught\n"
        assert process.wait(10) == 5


def test_init_reaps_orphans_as_the_first_process(tmp_path: Path) -> None:
    """In a pid namespace of its own, orphans leave no zombie."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a pid namespace")
    path = tmp_path / "init"
    path.write_bytes(init_program(os.uname().machine))
    path.chmod(0o755)
    script = "for n in 1 2 3; do (sleep 0.05 & ) ; done; sleep 0.5; ps -eo stat | grep -c Z"
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", str(path), "--", "sh", "-c", script],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout == b"0\n"


def test_other_machines_are_refused() -> None:
    """Nothing is generated for a processor that the assembler does not know."""
    with pytest.raises(KeyError):
        init_program("riscv64")


SHOW = "import os, sys; print(sys.executable, sys.argv[1:], os.environ['X'], os.listdir('/proc/self/fd'))"
SEALS = "import fcntl; print(fcntl.fcntl(open('/proc/self/exe'), fcntl.F_GET_SEALS) & 15)"


def test_sealed_program(tmp_path: Path) -> None:
    """What it becomes runs from memory with all seals, under its own name, with arguments, environment and descriptors."""
    path = tmp_path / "sealed"
    path.write_bytes(sealed_program(os.uname().machine))
    path.chmod(0o755)

    def run(code: str, *before: str) -> str:
        words = [*before, sys.executable, "-ISc", code, "a", "b c"]
        return subprocess.run(
            words, env={"X": "y"}, capture_output=True, text=True, check=True
        ).stdout

    assert run(SEALS, str(path)) == "15\n"
    assert run(SHOW, str(path)) == run(SHOW)


def test_sealed_program_of_another_machine(arch: str, tmp_path: Path) -> None:
    """Whatever it cannot seal it runs all the same; without a program it says so."""
    path = tmp_path / "sealed"
    path.write_bytes(sealed_program(arch))
    path.chmod(0o755)
    done = subprocess.run([*argv(arch, path), "/bin/echo", "x"], capture_output=True, check=True)
    assert done.stdout == b"x\n"
    assert subprocess.run(argv(arch, path), check=False).returncode == 127
    assert subprocess.run([*argv(arch, path), "/no/such"], check=False).returncode == 127
