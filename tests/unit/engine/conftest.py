"""The engine over fakes of the rooms below it (`tests/fakes/rooms.py`), and a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.engine.config import DaemonConfig
from tests.fakes.rooms import Rooms, open_test_store


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    """With the image busybox, which has no layers."""
    store = open_test_store(tmp_path)
    made = Rooms(tmp_path, store, DaemonConfig(data_root=str(tmp_path / "data")))
    await made.add_image()
    yield made
    for actor in made.services.containers.actors():
        actor.cancel_restart()
        while actor.pending:
            actor.pending.pop().close()
    await made.settle()
    made.monitors.close()
    await store.close()
