"""Receipts: bounded in number, time and size, and nothing of them left on the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from sampan.engine.receipts import LOG_LIMIT, Receipts
from sampan.engine.records import ContainerRecord, State
from tests.fakes.engine import record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "receipts").mkdir()
    return tmp_path


def make(
    folder: Path, name: str, *, log: bytes | None = b"hi", started: int = 1
) -> tuple[ContainerRecord, str]:
    """An exited container with a log."""
    made = record(
        name, state=State.REMOVING, exit_code=3, started_at=started, log_path=f"{folder}/{name}/log"
    )
    home = folder / name
    home.mkdir()
    if log is not None:
        (home / "log").write_bytes(log)
    return made, str(home)


def open_receipts(folder: Path, **options: float) -> Receipts:
    return Receipts(str(folder / "receipts"), lambda path: shutil.rmtree(path, True), **options)  # type: ignore[arg-type]


async def test_found_by_id_only(folder: Path) -> None:
    """With its log, as exited; one removed by hand only where that is asked for."""
    receipts = open_receipts(folder)
    made, home = make(folder, "a1")
    receipts.keep(made, home, by_hand=False)
    other, home = make(folder, "b1")
    receipts.keep(other, home, by_hand=True)
    found = receipts.find(made.id[:12])
    assert found is not None
    assert (found.state, found.exit_code) == (State.EXITED, 3)
    assert Path(found.log_path).read_bytes() == b"hi"
    assert receipts.find(made.id, by_hand=False) is not None
    assert receipts.find(other.id, by_hand=False) is None
    assert receipts.find(other.id) is not None
    assert receipts.find("a1") is receipts.find(made.id[:11]) is receipts.find("") is None
    assert sorted(os.listdir(folder)) == ["receipts"]
    receipts.close()


async def test_bounds(folder: Path) -> None:
    """The oldest goes when there are too many; a large log and what never ran leave nothing."""
    receipts = open_receipts(folder, most=2)
    kept = []
    for name in ("a1", "b1", "c1"):
        made, home = make(folder, name)
        receipts.keep(made, home, by_hand=False)
        kept.append(made.id)
    assert [receipts.find(each) is not None for each in kept] == [False, True, True]
    assert sorted(os.listdir(folder / "receipts")) == sorted(kept[1:])
    made, home = make(folder, "d1", started=0)
    receipts.keep(made, home, by_hand=False)
    assert receipts.find(made.id) is None
    made, home = make(folder, "e1")
    os.truncate(f"{home}/log", LOG_LIMIT + 1)
    receipts.keep(made, home, by_hand=False)
    found = receipts.find(made.id)
    assert found is not None
    assert found.log_path == ""
    assert sorted(os.listdir(folder)) == ["receipts"]
    receipts.close()


async def test_time(folder: Path) -> None:
    """After its time it is forgotten, and the folder goes."""
    receipts = open_receipts(folder, kept=0.01)
    made, home = make(folder, "a1")
    receipts.keep(msgspec.structs.replace(made), home, by_hand=False)
    async with asyncio.timeout(10):
        while receipts.find(made.id) is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    assert os.listdir(folder / "receipts") == []
