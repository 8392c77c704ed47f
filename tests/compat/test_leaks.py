"""Nothing is left behind: the host before and after containers that worked, failed, and were killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat.test_images import hostile
from tests.compat.test_run import FAILURES
from tests.engines import Driver, Engine, running_engine, wait_until
from tests.rootfs import busybox_tar


@dataclass(frozen=True)
class Traces:
    """All that a container of `engine` could leave, by kind."""

    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]
    links: tuple[str, ...]
    rules: tuple[str, ...]
    monitors: tuple[str, ...]
    folders: tuple[str, ...]
    rows: tuple[str, ...]

    @classmethod
    def of(cls, engine: Engine) -> Traces:
        def run(*argv: str) -> tuple[str, ...]:
            done = subprocess.run(
                [*engine.host.enter(), *argv], capture_output=True, text=True, check=True
            )
            return tuple(sorted(done.stdout.splitlines()))

        assert engine.process
        ours = (engine.exec_root / "containers").resolve()
        return cls(
            mounts=tuple(
                line.split(" ", 4)[4]
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if str(engine.root) in line
            ),
            cgroups=tuple(
                sorted(
                    {
                        path.name
                        for path in Path("/sys/fs/cgroup").glob("*/sampan/*")
                        if path.is_dir() and path.name in known(engine)
                    }
                )
            ),
            # Pairs that are kept ready for the next container have no container's id in their alias.
            links=tuple(
                re.findall(
                    r"alias (sampan:\S+:[0-9a-f]{12,})",
                    " ".join(run("ip", "-o", "link", "show", "type", "veth")),
                )
            ),
            rules=run("nft", "list", "ruleset"),
            monitors=tuple(
                str(pid) for pid in monitors() if cwd_or_directory(pid).startswith(str(ours))
            ),
            folders=tuple(
                sorted(
                    str(path.relative_to(engine.root))
                    for place in (
                        "exec/containers",
                        "data/containers",
                        "data/snapshots",
                        "data/content/ingest",
                        "data/trash",
                        "data/volumes",
                    )
                    for path in (engine.root / place).glob("*")
                )
            ),
            rows=tuple(sorted(container["Id"] for container in engine.containers())),
        )


_known: dict[Path, set[str]] = {}


def known(engine: Engine) -> set[str]:
    """Ids of every container that this engine ever had, as far as was seen."""
    seen = _known.setdefault(engine.root, set())
    seen |= {container["Id"] for container in engine.containers()}
    seen |= {path.name for path in (engine.root / "exec/containers").glob("*")}
    return seen


def monitors() -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        try:
            if (
                entry.isdigit()
                and b"sampan-monitor [" in Path(f"/proc/{entry}/cmdline").read_bytes()
            ):
                found.append(int(entry))
        except OSError:
            continue
    return found


def cwd_or_directory(pid: int) -> str:
    """The run folder that a monitor holds open."""
    for fd in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if "/containers/" in target:
            return target
    return ""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with running_engine("sampand", tmp_path / "e") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        driver.ok(
            "run", "--rm", "busybox", "true"
        )  # the bridge and the cgroup's parent are there now
        trash = engine.data_root / "trash"
        wait_until(lambda: not list(trash.iterdir()), "the trash of that run to be emptied")
        yield engine


def require_same(engine: Engine, before: Traces) -> None:
    def same() -> bool:
        return Traces.of(engine) == before

    try:
        wait_until(same, "the host to be as before", 20)
    except AssertionError:
        assert Traces.of(engine) == before


def test_failed_runs_and_imports_leave_nothing(engine: Engine) -> None:
    """Every refusal of the table, and hostile archives: no mount, cgroup, link, rule, process, folder, row."""
    driver = Driver(engine, "docker")
    before = Traces.of(engine)
    for flags, command, _, _ in FAILURES:
        assert driver("run", "--rm", *flags, *command).code
    for kind in "truncated", "not a tar", "hard link out":
        assert driver("import", "-", "hostile:1", input=hostile(kind)).code
        assert driver("load", input=hostile(kind)).code
    require_same(engine, before)


def test_lives_leave_nothing(engine: Engine) -> None:
    """Runs, execs, volumes, terminals, restarts, removed by force and by themselves."""
    driver = Driver(engine, "docker")
    before = Traces.of(engine)
    for mode in "bridge", "none", "host":
        driver.ok(
            "run", "--rm", "--network", mode, "-v", "/anonymous", "--tmpfs", "/t", "busybox", "true"
        )
    driver.ok("run", "-d", "--name", "c1", "-v", "/data", "busybox", "sleep", "1000")
    driver.ok("exec", "c1", "true")
    driver("exec", "c1", "nosuch")
    driver.ok("restart", "-t", "0", "c1")
    driver.ok("run", "--rm", "--network", "container:c1", "busybox", "true")
    driver.ok("rm", "-f", "-v", "c1")
    require_same(engine, before)


def test_killed_processes_leave_nothing(engine: Engine) -> None:
    """kill -9 of init, monitor and daemon; then `rm -f` takes everything away."""
    driver = Driver(engine, "docker")
    before = Traces.of(engine)
    for victim in "init", "monitor", "daemon", "monitor and daemon":
        driver.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c", "sleep 1000 & sleep 1000")
        pid = int(driver.ok("inspect", "-f", "{{.State.Pid}}", "c1"))
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if "daemon" in victim:
            engine.kill()
        if victim == "init":
            os.kill(pid, signal.SIGKILL)
        if "monitor" in victim:
            os.kill(parent, signal.SIGKILL)
        if "daemon" in victim:
            engine.start()
        driver.ok("rm", "-f", "c1")
    require_same(engine, before)


@pytest.mark.parametrize("delay_ms", [2, 5, 8, 12, 16, 22, 30, 45])
def test_daemon_killed_in_the_middle_of_a_run(engine: Engine, delay_ms: int) -> None:
    """At any moment of create and start: the next daemon shows a container in a state of Docker's, and it can be removed."""
    driver = Driver(engine, "docker")
    before = Traces.of(engine)
    client = driver.popen("run", "--name", "c1", "busybox", "sleep", "1000")
    subprocess.run(
        ["sleep", str(0.012 + delay_ms / 1000)], check=True
    )  # the client's own start first
    engine.kill()
    client.kill()
    engine.start()
    for container in engine.containers():
        assert container["State"] in ("created", "running", "exited")
        driver.ok("rm", "-f", container["Id"])
    assert driver.ok("run", "--rm", "--name", "c1", "busybox", "echo", "fine") == "fine"
    driver.close()
    require_same(engine, before)
