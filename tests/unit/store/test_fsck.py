"""`fsck` beside others who use the store."""

from __future__ import annotations

import pytest

from sampan.store.snapshots import Usage
from sampan.store.store import Store
from tests.stores import add_image


@pytest.mark.parametrize("gone", [True, False])
async def test_a_layer_that_is_removed_meanwhile_is_not_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """`fsck` says nothing of it, but says it of one that has stayed."""
    image = await add_image(store, "x:1", size=1)
    measure = store.snapshots.measure

    async def interrupted(folder: str) -> Usage:
        found = await measure(folder)
        if gone:
            store.remove_image("x:1", uses={}, force=True, prune=True)
        return found._replace(size=found.size + 1)

    monkeypatch.setattr(store.snapshots, "measure", interrupted)
    problems = (await store.check()).problems
    named = [problem.thing for problem in problems if problem.kind == "damaged"]
    assert named == ([] if gone else [f"layer {image.top}"])
