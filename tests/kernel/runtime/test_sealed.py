"""R1: no container can write to the program that our processes in it run from (CVE-2019-5736).

The attack is the real one: root in a container, with CAP_SYS_PTRACE so that even processes that hide can be looked
at, holds `/proc/PID/exe` of everything that enters until that process has ended, then writes to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.linux import seal
from sampan.runtime import exec as exec_module
from sampan.runtime import pack
from sampan.runtime.request import Target
from tests.kernel.conftest import Box
from tests.kernel.runtime.tool import ENVIRONMENT, Tool, tool

__all__ = ["tool"]

pytestmark = pytest.mark.timeout(300)

# Everything by the shell's own means: a child would be one more process to look at.
POLLER = """
while :; do
    for p in /proc/[0-9]*; do
        if [ -e $p/exe ] && ! [ $p/exe -ef /bin/busybox ]; then
            {
                echo caught >> /caught
                while [ -e $p ]; do :; done
                n=0  # as long as it runs anywhere it is busy
                until [ $n -ge 100000 ] || true 1<>/proc/self/fd/9; do n=$((n + 1)); done
                [ $n -lt 100000 ] && echo opened >> /opened
                printf OVERWRITTEN 1<>/proc/self/fd/9 && echo written >> /written
            } 9<$p/exe
        fi
    done
done 2>> /errors
"""
DEADLINE = 20.0
SCRIPT = str(Path(sys.executable).parent / "sampan-runtime")
LAUNCHER = Path(pack.__file__).parent / "__pycache__" / pack.LAUNCHER
WANTED = 2


def unsealed_copy(folder: Path) -> tuple[Path, list[str]]:
    """The command as it would be without the seal, on an interpreter that may be spoilt."""
    copy = folder / "python"
    shutil.copy2(os.path.realpath(sys.executable), copy)
    root = next(path for path in sys.path if path.endswith("src"))
    code = f"import sys; sys.path.append({root!r}); from sampan.runtime.main import entry; entry()"
    # argv[0] is where it finds its library by.
    script = "import os, sys; os.execv(sys.argv[1], sys.argv[2:])"
    words = [str(copy), sys.executable, "-I", "-S", "-c", code]
    return copy, [sys.executable, "-c", script, *words]


def attack(tool: Tool, command: list[str] | None, capabilities: list[str]) -> tuple[int, int]:
    """How often a process of ours was caught, and how often it could be written to."""
    config = tool.configure("sh", "-c", POLLER)
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] += capabilities
    tool.write(config)
    more = {} if command is None else {"command": command}
    root = tool.bundle / "rootfs"
    for name in ("caught", "written", "errors"):
        (root / name).unlink(missing_ok=True)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)

    def lines(name: str) -> int:
        return (root / name).read_text().count("\n") if (root / name).exists() else 0

    deadline = time.monotonic() + (DEADLINE if capabilities else 5)
    for _ in range(200):
        # Once the control's interpreter is spoilt it does not run any more.
        tool("exec", container, "true", **more)
        if lines("caught") >= WANTED or lines("written") or time.monotonic() > deadline:
            break
    tool.ok("delete", "--force", container)
    return lines("caught"), lines("written")


@pytest.mark.parametrize("command", [None, [SCRIPT]], ids=["module", "script"])
def test_what_enters_a_container_cannot_be_written(tool: Tool, command: list[str] | None) -> None:
    """Also where no interpreter but a program of ours did the sealing, as for the installed command."""
    if command is not None and not LAUNCHER.exists():
        pytest.skip("the launcher was not made")
    caught, written = attack(tool, command, ["CAP_SYS_PTRACE"])
    assert caught >= 1, "the attack never got hold of anything: it proves nothing"
    assert written == 0
    assert (tool.bundle / "rootfs/opened").exists(), "it never came to the write"


def test_the_attack_works_on_what_is_not_sealed(tool: Tool) -> None:
    """The negative control."""
    copy, command = unsealed_copy(tool.folder)
    caught, written = attack(tool, command, ["CAP_SYS_PTRACE"])
    assert caught >= 1
    assert written >= 1
    assert copy.read_bytes().startswith(b"OVERWRITTEN")


def test_without_that_right_nothing_is_even_seen(tool: Tool) -> None:
    """R16: who enters is not dumpable, so a container with Docker's capabilities cannot look at it."""
    caught, _ = attack(tool, None, [])
    assert caught == 0


def test_a_command_that_names_its_own_program(tool: Tool) -> None:
    """`#!/proc/self/exe` as the first command and as an exec'd one runs the sealed copy, or nothing."""
    tool.configure("/evil")
    evil = tool.bundle / "rootfs/evil"
    evil.write_text("#!/proc/self/exe\n")
    evil.chmod(0o755)
    before = Path(sys.executable).read_bytes()
    done = tool("run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode != 0
    tool.configure("sleep", "1000")
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    assert tool("exec", container, "/evil").returncode != 0
    assert Path(sys.executable).read_bytes() == before


def run_python(code: str) -> str:
    root = next(path for path in sys.path if path.endswith("src"))
    script = f"import sys; sys.path.append({root!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_copy_is_whole_and_refuses_every_change() -> None:
    assert not seal.is_sealed()
    copy = seal.copy_sealed()
    try:
        path = f"/proc/self/fd/{copy}"
        assert Path(path).read_bytes() == Path("/proc/self/exe").read_bytes()
        assert seal.is_sealed(path)
        with open(path, "r+b", buffering=0) as file:
            with pytest.raises(PermissionError):
                file.write(b"x")
            with pytest.raises(PermissionError):
                file.truncate(0)
    finally:
        os.close(copy)


def test_the_sealed_interpreter_is_the_same_one() -> None:
    """Its library, its environment, its arguments."""
    show = "import sys, os; print(sys.prefix, sys.executable, sys.argv[1:], os.environ['X'], len(sys.path))"
    code = (
        "import os, sys; from sampan.linux import seal\n"
        f"argv = [sys.executable, '-c', {show!r}, 'a', 'b']\n"
        "seal.run_sealed(argv, {**os.environ, 'X': 'y'}) if {} else os.execve(sys.executable, argv, {**os.environ, 'X': 'y'})"
    )
    assert run_python(code.replace("{} else", "True else")) == run_python(
        code.replace("{} else", "False else")
    )


ROOT_POLLER = """
while :; do
    for p in /proc/[0-9]*; do
        [ -e $p/root/MARK ] && echo caught >> /caught
    done
done 2> /dev/null
"""


@pytest.mark.parametrize("joins_first", [True, False])
def test_nobody_whose_root_is_the_hosts_is_ever_seen(
    box: Box, running: Callable[..., Target], monkeypatch: pytest.MonkeyPatch, joins_first: bool
) -> None:
    """A container that may trace polls the root of everything that enters it, for a file that only the host has.

    Who is brought in is born with all namespaces joined; the negative control is born before that.
    """
    mark = box.folder / "mark"
    mark.touch()
    if not joins_first:
        monkeypatch.setattr(exec_module, "_joins_first", lambda _config: False)
    config = box.config("sh", "-c", ROOT_POLLER.replace("/MARK", str(mark)))
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] = [
            *config["process"]["capabilities"][kind],
            "CAP_SYS_PTRACE",
        ]
    target = running(config)

    def caught() -> bool:
        return box.exec(target, "ls", "/caught").status == 0

    until = time.monotonic() + (5 if joins_first else DEADLINE)
    while time.monotonic() < until and not caught():
        pass
    assert caught() is not joins_first
