"""A root file system, a spawner and a ledger of what must be gone for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup, detect
from sampan.monitor.client import Spawner
from tests.kernel.monitor import house


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield house.make_root(tmp_path_factory.mktemp("busybox"))
    Cgroup(house.CGROUPS, detect()).remove()


@pytest.fixture
async def spawner() -> AsyncIterator[Spawner]:
    with house.spawner() as made:
        yield made


@pytest.fixture
async def box(root: Path, tmp_path: Path) -> AsyncIterator[house.Box]:
    made = house.Box(root, tmp_path)
    yield made
    await made.clean_up()
