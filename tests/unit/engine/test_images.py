"""Lists and removals of images: names that fit, parts of others, what is pruned, what goes with its last child."""

from __future__ import annotations

import pytest

from sampan.engine import image_prune, images
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.store.images import Image
from sampan.store.snapshots import Snapshots, Usage
from tests.fakes.rooms import Rooms
from tests.stores import add_image


async def grown(rooms: Rooms, parent: Image, word: str, *names: str) -> Image:
    """An image that was committed from another one."""
    made = await add_image(rooms.services.store, *names, diffs=["a", word], config={"author": word})
    rooms.services.store.metadata.execute(
        "UPDATE images SET parent = ? WHERE id = ?", parent.id, made.id
    )
    found = rooms.services.store.images.get(made.id)
    assert found is not None
    return found


def listed(rooms: Rooms, **options: object) -> list[list[str]]:
    found = images.list_images(rooms.services, **options)  # type: ignore[arg-type]
    return sorted(image.repo_tags for image in found if image.repo_tags != ["busybox:latest"])


async def test_names_that_fit(rooms: Rooms) -> None:
    """Of an image with several names only those that fit the reference are shown."""
    await add_image(rooms.services.store, "a/b:1", "c:1", "c:2", diffs=["x"])
    for pattern, expected in (
        ("c", [["c:1", "c:2"]]),
        ("c:2", [["c:2"]]),
        ("*", [["c:1", "c:2"]]),
        ("*/*", [["a/b:1"]]),
        ("a/?", [["a/b:1"]]),
        ("docker.io/library/c", []),
    ):
        assert listed(rooms, filters={"reference": [pattern]}) == expected, pattern
    with pytest.raises(InvalidParameter, match="syntax error in pattern"):
        listed(rooms, filters={"reference": ["["]})


async def test_parts_of_others(rooms: Rooms) -> None:
    """A nameless image that others grew from is no dangling one; `everything` shows it."""
    base = await add_image(rooms.services.store, diffs=["a"])
    await grown(rooms, base, "child", "child:1")
    await add_image(rooms.services.store, diffs=["loose"], config={"author": "l"})
    assert listed(rooms) == [[], ["child:1"]]
    assert listed(rooms, everything=True) == [[], [], ["child:1"]]
    assert listed(rooms, filters={"dangling": ["true"]}) == [[]]
    assert listed(rooms, filters={"dangling": ["false"]}) == [["child:1"]]


async def test_parents_go_with_their_last_child(rooms: Rooms) -> None:
    """Unless they have a name, another child or a container, or the caller keeps them."""
    base = await add_image(rooms.services.store, "base:1", diffs=["a"])
    middle = await grown(rooms, base, "m", "m:1")
    top = await grown(rooms, middle, "t", "t:1")
    other = await grown(rooms, middle, "o", "o:1")
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        await images.delete_image(rooms.services, middle.id, force=True)
    gone = await images.delete_image(rooms.services, "m:1")
    assert (gone.untagged, gone.deleted) == (("m:1",), ())
    assert top.id in (await images.delete_image(rooms.services, "t:1")).deleted
    assert rooms.services.store.images.get(middle.id) is not None
    done = await images.delete_image(rooms.services, "o:1")
    assert {other.id, middle.id} <= set(done.deleted)
    assert rooms.services.store.images.get(base.id) is not None
    loose = await grown(rooms, base, "l", "l:1")
    await images.delete_image(rooms.services, "base:1")
    assert loose.id in (await images.delete_image(rooms.services, "l:1", prune=False)).deleted
    assert rooms.services.store.images.get(base.id) is not None


async def test_prune(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dangling ones by default, all that are unused with `dangling=false`; labels and times choose."""

    async def measure(self: Snapshots, folder: str) -> Usage:
        return Usage(10, 1, 4096)

    monkeypatch.setattr(Snapshots, "measure", measure)
    await images.delete_image(rooms.services, "busybox")
    labels = {"config": {"Labels": {"keep": "1"}}}
    await add_image(rooms.services.store, diffs=["one"], config={"author": "1", **labels})
    loose = await add_image(rooms.services.store, diffs=["two"], config={"author": "2"})
    named = await add_image(rooms.services.store, "named:1", "named:2", diffs=["three"])
    done, freed = await image_prune.prune_images(rooms.services, {"until": ["2000-01-01"]})
    assert (done, freed) == ([], 0)
    done, freed = await image_prune.prune_images(rooms.services, {"label!": ["keep"]})
    assert {"Deleted": loose.id} in done
    assert freed > 4096
    assert len(rooms.services.store.images.list()) == 2
    done, _ = await image_prune.prune_images(rooms.services, {"dangling": ["false"]})
    assert [d["Untagged"] for d in done if "Untagged" in d] == ["named:1", "named:2"]
    assert rooms.services.store.images.list() == []
    with pytest.raises(NotFound):
        images.inspect_image(rooms.services, named.id)
    for filters in ({"nosuch": ["1"]}, {"until": ["1h", "2h"]}, {"dangling": ["maybe"]}):
        with pytest.raises(InvalidParameter):
            await image_prune.prune_images(rooms.services, filters)
