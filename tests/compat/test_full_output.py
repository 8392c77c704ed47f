"""The client's own disk fills up: an error that says so, and no part of a file left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine

FULL = "no space left on device"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a part of busybox."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("words", [["save", "busybox"], ["export", "box"]])
def test_an_archive(driver: Driver, small: Path, words: list[str]) -> None:
    """To a file, and to standard output."""
    driver.ok("create", "--name", "box", "busybox")
    file = small / "archive"
    result = driver(words[0], "-o", str(file), words[1])
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"write {small}/")
    assert result.err.endswith(f": {FULL}\n")
    assert list(small.iterdir()) == []
    with open(file, "wb") as out:
        done = subprocess.run(driver.argv(*words), stdout=out, stderr=-1, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"write /dev/stdout: {FULL}\n")


def test_what_is_printed(sampand: Engine) -> None:
    """`sampan` never keeps it to itself; `docker` does in lists."""
    driver = Driver(sampand, "sampan")
    with open("/dev/full", "wb") as out:
        done = subprocess.run(
            driver.argv("images", "-q"), stdout=out, stderr=-1, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, f"write /dev/stdout: {FULL}\n")
