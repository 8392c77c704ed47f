"""`system prune` while the daemon is killed: nothing half, nothing lost that is in use, and the next one ends it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, running_engine
from tests.rootfs import TarBuilder, busybox_tar

PRUNE = ("system", "prune", "-af", "--volumes")


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Driver]:
    """With a container that runs, in a network and with a volume of its own."""
    with running_engine("sampand", tmp_path / "s") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        driver.ok("network", "create", "kept")
        places = ["--network", "kept", "-v", "kept:/data"]
        driver.ok("run", "-d", "--name", "kept", *places, "busybox", "sleep", "1000")
        yield driver
        driver.close()


def fill(driver: Driver, number: int) -> None:
    for each in range(3):
        name = f"{number}-{each}"
        tar = TarBuilder().add("name", name.encode()).finish()
        driver.load_image(tar, f"waste:{name}", 'CMD ["/name"]')
        driver.ok("create", "-v", "/data", f"waste:{name}")
        driver.ok("run", "-v", "/data", "busybox", "sh", "-c", f"echo {name} > /data/file")
        driver.ok("network", "create", f"waste{name}")


def test_killed_at_any_point(private: Driver) -> None:
    for number, delay in enumerate((0.01, 0.04, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5)):
        fill(private, number)
        client = private.popen(*PRUNE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(delay)
        private.engine.kill()
        client.wait()
        private.engine.start()
        found = Driver(private.engine, "sampan")("system", "fsck")
        assert found.code == 0, found
        # What is listed can be used.
        for name in private.ok("images", "waste", "--format", "{{.Repository}}:{{.Tag}}").split():
            assert private.ok("create", name)
        assert (
            private.ok("exec", "kept", "sh", "-c", "echo here > /data/file; cat /data/file")
            == "here"
        )
        private.ok(*PRUNE)
        assert private.ok("ps", "-a", "--format", "{{.Names}}") == "kept"
        assert private.ok("images", "--format", "{{.Repository}}") == "busybox"
        assert private.ok("volume", "ls", "-q") == "kept"
        names = private.ok("network", "ls", "--format", "{{.Name}}").split()
        assert sorted(names) == ["bridge", "host", "kept", "none"]
