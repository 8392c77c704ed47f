"""The host restarts: no process, no cgroup, an empty run folder, another boot id; records are kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import uuid
from pathlib import Path

import pytest

from tests.compat.test_daemon import load_busybox
from tests.engines import Driver, Engine, Host, wait_until

# Name → flags of `run`, command, whether it is stopped before, whether it runs afterwards.
CONTAINERS: dict[str, tuple[str, str, bool, bool]] = {
    "plain": ("", "sleep 1000", False, False),
    "always": ("--restart always", "sleep 1000", False, True),
    "always-stopped": ("--restart always", "sleep 1000", True, True),
    "unless": ("--restart unless-stopped", "sleep 1000", False, True),
    "unless-stopped": ("--restart unless-stopped", "sleep 1000", True, False),
    "failure": ("--restart on-failure", "sleep 1000", False, True),
    "failure-done": ("--restart on-failure", "true", False, False),
    "first": ("--restart always --network container:always", "sleep 1000", False, True),
    "linked": ("--restart always --link always:alias", "sleep 1000", False, True),
}
OTHER_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


def processes(*words: str) -> list[int]:
    """Whose command line has one of these words in it; not ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if any(word in line for word in words):
                    found.append(int(entry.name))
    return found


def pull_the_plug(engine: Engine, containers: list[str], pids: list[int]) -> None:
    """What the engine runs dies at once, and what is not on the disk is gone."""
    engine.kill()
    roots = processes(str(engine.root))
    monitors = processes(*(f"sampan-monitor {name[:12]}" for name in containers))
    for pid in {*roots, *monitors, *pids}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "its end")  # type: ignore[misc]
    for name in containers:
        for place in Path("/sys/fs/cgroup").glob(f"*/*/{name}"):
            with contextlib.suppress(OSError):
                place.rmdir()
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4]
        if place.startswith(f"{engine.root}/"):
            os.system(f"umount -l '{place}'")
    shutil.rmtree(engine.exec_root, ignore_errors=True)
    (engine.root / "pid").unlink(missing_ok=True)


def running(driver: Driver) -> set[str]:
    return set(driver.ok("ps", "-f", "status=running", "--format", "{{.Names}}").splitlines())


@pytest.mark.parametrize("kind", ["dockerd", "sampand"])
def test_a_reboot(kind: str, tmp_path: Path) -> None:
    """Policies decide as dockerd's; who needs another's network or name finds it."""
    if kind == "dockerd" and shutil.which("dockerd") is None:
        pytest.skip("the reference engine is not installed (Debian package docker.io)")
    host = Host()
    engine = Engine(kind, tmp_path / kind[0], host)
    try:
        engine.start()
        load_busybox(engine)
        driver = Driver(engine, "docker")
        for name, (flags, command, stopped, _) in CONTAINERS.items():
            driver.ok("run", "-d", "--name", name, *flags.split(), "busybox", *command.split())
            if stopped:
                driver.ok("stop", "-t", "0", name)
        assert driver.ok("wait", "failure-done") == "0"
        shown = [driver.inspect(name) for name in CONTAINERS]
        pids = [each["State"]["Pid"] for each in shown if each["State"]["Pid"]]
        pull_the_plug(engine, [each["Id"] for each in shown], pids)
        if kind == "sampand":
            boot = tmp_path / "boot"
            boot.write_text(f"{uuid.uuid4()}\n")
            words = ["unshare", "-m", "sh", "-c", OTHER_BOOT, str(boot)]
            engine.program = [*words, sys.executable, "-m", "sampan.daemon"]
        engine.start()
        # The reference starts who needs another without waiting for long, and it may be too early.
        apart = {"first", "linked"} if kind == "dockerd" else set()
        expected = {name for name, (*_, runs) in CONTAINERS.items() if runs} - apart
        with contextlib.suppress(AssertionError):
            wait_until(lambda: running(driver) - apart == expected, "the policies to act", 30)
        assert running(driver) - apart == expected
        assert driver.inspect("plain")["State"]["ExitCode"] == 255
        assert driver.inspect("failure-done")["State"]["ExitCode"] == 0
        if apart:
            return
        address = driver.inspect("always")["NetworkSettings"]["IPAddress"]
        assert address in driver.ok("exec", "first", "ip", "addr")
        assert address in driver.ok("exec", "linked", "grep", "alias", "/etc/hosts")
    finally:
        try:
            engine.dispose()
        finally:
            host.close()
