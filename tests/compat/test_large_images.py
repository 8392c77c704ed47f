"""Large images pass through the daemon and its helpers in pieces: what they take of the memory does not grow with them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, running_engine
from tests.memory import large_archive, large_layer, peak_memory
from tests.rootfs import busybox_tar

LARGE = 600  # megabytes
EXTRA = 24  # megabytes that may come on top of an idle daemon's
WRITE = f"head -c {LARGE << 20} /dev/urandom > /big"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is room: it is not the disk that is tested."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 6 * LARGE << 20:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="large", dir=memory) as found:
        yield Path(found)


@pytest.fixture
def engine_alone(folder: Path) -> Iterator[Driver]:
    """A daemon that nobody has used yet."""
    with running_engine("sampand", folder / "d") as engine:
        driver = Driver(engine, "docker")
        yield driver
        driver.close()


def test_memory_while_a_large_image_passes_through(engine_alone: Driver, folder: Path) -> None:
    """load, save, export, import, commit, and the save of what was committed: daemon with helpers, as PSS."""
    driver = engine_alone
    assert driver.engine.process is not None
    root = driver.engine.process.pid
    layer, archive = folder / "layer.tar", folder / "large.tar"
    large_archive(archive, "large:1", layer, large_layer(layer, LARGE))
    driver.load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
    peaks: dict[str, float] = {}

    def measure(title: str, *words: str, stdin: Path = Path("/dev/null")) -> None:
        with peak_memory(root) as peak, open(stdin, "rb") as source:
            argv = driver.argv(*words)
            subprocess.run(argv, stdin=source, stdout=subprocess.DEVNULL, check=True, timeout=300)
        peaks[title] = peak[0]

    measure("idle", "version")
    measure("load", "load", "-q", stdin=archive)
    archive.unlink()
    measure("save", "save", "large:1")
    driver.ok("create", "--name", "large", "large:1")
    measure("export", "export", "large")
    driver.ok("rm", "large")
    driver.ok("rmi", "large:1")
    measure("import", "import", "-", "large:2", stdin=layer)
    driver.ok("rmi", "large:2")
    driver.ok("run", "--name", "large", "busybox", "sh", "-c", WRITE, timeout=120)
    measure("commit", "commit", "large", "large:3")
    measure("save of what was committed", "save", "large:3")
    idle = peaks.pop("idle")
    assert idle > 1
    extra = {title: round(peak - idle) for title, peak in peaks.items()}
    assert max(extra.values()) < EXTRA, extra
