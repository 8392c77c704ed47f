"""What is measured: sampan as installed from a wheel, and whichever of dockerd, podman and runc is installed.

Every engine gets a network namespace of its own and roots of its own; all are idle but the one being measured.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines import Driver, Engine, Host
from tests.rootfs import busybox_tar

PROJECT = Path(__file__).parents[1]
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    "DOCKER_CLI_HINTS": "false",
    "HOME": "/nonexistent",
}


@dataclass
class Peer:
    """An engine as a person uses it: a command line, to which `run …` and the like are added."""

    name: str
    argv: list[str]
    engine: Engine | None = None
    host: Host | None = None
    extra_run: list[str] = field(default_factory=list)

    def run_argv(self, *args: str) -> list[str]:
        return [*self.argv, "run", *self.extra_run, *args]


def installed_wheel() -> Path:
    """A virtual environment with sampan installed as a user gets it: a wheel, byte-code compiled."""
    venv = PROJECT / ".cache" / "bench"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    subprocess.run([*pip, str(PROJECT)], check=True, env=ENVIRONMENT)
    subprocess.run(
        [*pip, "--force-reinstall", "--no-deps", str(PROJECT)], check=True, env=ENVIRONMENT
    )
    return venv / "bin"


@contextlib.contextmanager
def peers() -> Iterator[list[Peer]]:
    """All peers, started, with the image `busybox` in each."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        # What is in /run of an installed engine: a file system in memory, for every peer.
        run = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench", dir="/dev/shm")))
        binaries = installed_wheel()
        found = []

        def engine(kind: str) -> Engine:
            host = Host()
            stack.callback(host.close)
            made = Engine(
                kind,
                root / kind,
                host,
                python=str(binaries / "python"),
                exec_root=run / kind,
            )
            stack.callback(made.dispose)
            made.start()
            Driver(made, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
            return made

        ours = engine("sampand")
        socket = f"unix://{ours.socket}"
        found.append(Peer("sampan", [str(binaries / "sampan"), "-H", socket], ours, ours.host))
        docker = shutil.which("docker")
        if docker:
            found.append(Peer("docker → sampand", [docker, "-H", socket], ours, ours.host))
        if docker and shutil.which("dockerd"):
            theirs = engine("dockerd")
            found.append(
                Peer(
                    "docker → dockerd",
                    [docker, "-H", f"unix://{theirs.socket}"],
                    theirs,
                    theirs.host,
                )
            )
        if shutil.which("podman") and shutil.which("runc"):
            found.append(_podman(stack, root, run))
        yield found


def _podman(stack: contextlib.ExitStack, root: Path, run: Path) -> Peer:
    host = Host()
    stack.callback(host.close)
    folder = root / "podman"
    folder.mkdir()
    argv = [*host.enter(), "podman", "--root", f"{folder}/root", "--runroot", f"{run}/podman"]
    # Its default runtime refuses hybrid cgroups, and its default limits cannot be set without CAP_SYS_RESOURCE.
    argv += ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"]
    stack.callback(
        subprocess.run,
        ["umount", "-l", f"{folder}/root/overlay"],
        check=False,
        stderr=subprocess.DEVNULL,
    )
    subprocess.run(
        [*argv, "import", "-c", 'CMD ["sh"]', "-", "busybox:latest"],
        input=busybox_tar(),
        check=True,
        capture_output=True,
    )
    stack.callback(subprocess.run, [*argv, "rm", "-fa"], check=False, capture_output=True)
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    return Peer("podman", argv, host=host, extra_run=limits)


def command_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    return ""
