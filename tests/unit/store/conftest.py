"""A store in a temporary folder, and real children for its roles that need no root."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.store.store import Store, open_store
from tests.fakes.spawn import ForkingSpawner


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
async def store(tmp_path: Path, spawner: ForkingSpawner) -> AsyncIterator[Store]:
    """Opened, not started: no built-in image, and the trash is emptied when the test says so."""
    store = open_store(str(tmp_path / "data"), spawner)
    yield store
    await store.close()
