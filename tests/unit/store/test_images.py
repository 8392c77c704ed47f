"""Names, digests, ids and beginnings of ids find images; rmi does what dockerd's does, in its words."""

from __future__ import annotations

import pytest

from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.spec.digest import hex_of
from sampan.spec.reference import parse
from sampan.store.image_remove import Use
from sampan.store.images import HistoryEntry
from sampan.store.store import Store
from tests.stores import add_image

PIN = "sha256:" + "5" * 64
C1, C2 = "c1" * 32, "c2" * 32


async def test_every_way_to_say_an_image(store: Store) -> None:
    """Short and full names, ids with and without prefix, a digest pin, which wins over the tag beside it."""
    image = await add_image(store, "x", "host:5000/y:2", f"x@{PIN}")
    other = await add_image(store, "x:other", diffs=["b"])
    digits = hex_of(image.id)
    for ref in (
        *("x", "x:latest", "docker.io/library/x", "host:5000/y:2", f"x@{PIN}", f"x:other@{PIN}"),
        *(image.id, digits, digits[:12], f"sha256:{digits[:12]}"),
    ):
        assert store.images.resolve(ref).id == image.id, ref
    assert store.images.resolve("x:other").id == other.id
    assert image.repo_tags == ["x:latest", "host:5000/y:2"]
    assert image.repo_digests == [f"x@{PIN}"]
    assert image.short_id == digits[:12]
    assert image.top == image.chain[-1]


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("nosuch", "No such image: nosuch:latest"),
        ("nosuch:tag", "No such image: nosuch:tag"),
        ("docker.io/library/nosuch", "No such image: nosuch:latest"),
        ("sha256:12", "No such image: sha256:12"),
        ("f" * 64, f"No such image: sha256:{'f' * 64}"),
        (f"x@{PIN}", f"No such image: x@{PIN}"),
    ],
)
async def test_unknown_images(store: Store, ref: str, message: str) -> None:
    """Docker's text, which SDKs match."""
    with pytest.raises(NotFound) as failure:
        store.images.resolve(ref)
    assert str(failure.value) == message


async def test_what_can_be_no_reference(store: Store) -> None:
    """400 rather than 404."""
    with pytest.raises(InvalidParameter, match="must be lowercase"):
        store.images.resolve("UPPER")


async def test_an_ambiguous_beginning_finds_nothing(store: Store) -> None:
    """As dockerd: the beginning of two ids is no image's name."""
    found: dict[str, int] = {}
    for number in range(40):
        image = await add_image(store, diffs=["a"], config={"author": str(number)})
        found[hex_of(image.id)[0]] = found.get(hex_of(image.id)[0], 0) + 1
    shared = next(digit for digit, count in found.items() if count > 1)
    with pytest.raises(NotFound, match=f"No such image: {shared}:latest"):
        store.images.resolve(shared)


async def test_list_is_newest_first(store: Store) -> None:
    """By the config's own time."""
    for year in (2024, 2026, 2025):
        await add_image(store, config={"created": f"{year}-01-01T00:00:00Z"})
    assert [image.created[:4] for image in store.images.list()] == ["2026", "2025", "2024"]


async def test_a_tag_moves(store: Store) -> None:
    """The image that had it stays, without a name; the move is told to the caller."""
    first = await add_image(store, "x")
    second = await add_image(store, diffs=["b"])
    assert store.images.tag(second.id, parse("x")) == first.id
    assert store.images.tag(second.id, parse("x")) is None
    assert store.images.resolve("x").id == second.id
    left = store.images.get(first.id)
    assert left is not None
    assert left.names == ()
    assert store.images.resolve("x").tagged.endswith("Z")


async def test_tag_request(store: Store) -> None:
    """repo and tag of the API; a tag in both places is the one of the parameter."""
    image = await add_image(store, "x")
    for repo, tag, expected in (("y", "", "y:latest"), ("y", "1", "y:1"), ("y:2", "3", "y:3")):
        store.tag("x", repo=repo, tag=tag)
        assert store.images.resolve(expected).id == image.id
    for repo, tag in (("Y", ""), ("y", ".x"), (f"y@{PIN}", ""), ("", ""), ("sha256", "abc")):
        with pytest.raises(InvalidParameter):
            store.tag("x", repo=repo, tag=tag)
    with pytest.raises(NotFound):
        store.tag("nosuch", repo="y")


async def test_history(store: Store) -> None:
    """Newest first, sizes at the steps that made a layer, the id only at the top."""
    steps = [
        {"created": "1", "created_by": "one", "comment": "c"},
        {"created": "2", "created_by": "two", "empty_layer": True},
        {"created": "3", "created_by": "three"},
        {"created": "4", "created_by": "four"},
    ]
    image = await add_image(store, "x", diffs=["a", "b"], config={"history": steps}, size=7)
    assert list(store.images.history(image)) == [
        HistoryEntry(image.id, "4", "four", ("x:latest",), 0, ""),
        HistoryEntry("<missing>", "3", "three", (), 7, ""),
        HistoryEntry("<missing>", "2", "two", (), 0, ""),
        HistoryEntry("<missing>", "1", "one", (), 7, "c"),
    ]
    assert image.size == 14


async def test_rmi_untags_and_the_last_name_deletes(store: Store) -> None:
    """Names one after another; then the image, its layers topmost first, its blobs."""
    image = await add_image(store, "x", "y", diffs=["a", "b"])
    assert store.remove_image("y", uses={}) == [{"Untagged": "y:latest"}]
    assert store.remove_image("x", uses={}) == [
        {"Untagged": "x:latest"},
        {"Deleted": image.id},
        {"Deleted": image.chain[1]},
        {"Deleted": image.chain[0]},
    ]
    assert store.images.list() == []
    assert store.content.digests() == []
    with pytest.raises(NotFound):
        store.remove_image("x", uses={})


async def test_rmi_keeps_layers_of_others(store: Store) -> None:
    """Shared ones, and those below a container."""
    first = await add_image(store, "x", diffs=["a", "b"])
    second = await add_image(store, "y", diffs=["a", "c"])
    store.snapshots.prepare(C1, second.top)
    assert store.remove_image("x", uses={})[2:] == [{"Deleted": first.chain[1]}]
    uses = {second.id: [Use(C1, running=False)]}
    records = store.remove_image("y", uses=uses, force=True)
    assert records == [{"Untagged": "y:latest"}, {"Deleted": second.id}]
    assert len(store.snapshots.mounts(C1)) == 1
    store.snapshots.remove(C1)
    assert store.collect().layers == [second.chain[1], second.chain[0]]


async def test_rmi_by_id_takes_all_names_of_one_repository(store: Store) -> None:
    """A tag and digests of the same repository go together; two repositories need force."""
    image = await add_image(store, "x", f"x@{PIN}")
    records = store.remove_image(image.id, uses={})
    assert {"Untagged": f"x@{PIN}"} in records
    assert {"Deleted": image.id} in records
    image = await add_image(store, "x", "y")
    text = (
        f"conflict: unable to delete {image.short_id} (must be forced) - image is referenced in "
        "multiple repositories"
    )
    with pytest.raises(Conflict) as failure:
        store.remove_image(image.short_id, uses={})
    assert str(failure.value) == text
    assert len(store.remove_image(image.short_id, uses={}, force=True)) == 4


async def test_rmi_of_the_last_tag_takes_the_digests_along(store: Store) -> None:
    """A digest without a tag of its repository says nothing to anybody."""
    image = await add_image(store, "x", f"x@{PIN}", "y")
    assert store.remove_image("x", uses={}) == [
        {"Untagged": "x:latest"},
        {"Untagged": f"x@{PIN}"},
    ]
    assert store.images.resolve("y").id == image.id
    await add_image(store, f"y@{PIN}")
    assert store.remove_image(f"y@{PIN}", uses={}) == [{"Untagged": f"y@{PIN}"}]


async def test_rmi_of_an_image_in_use(store: Store) -> None:
    """By name and by id, running and stopped, with and without force, as dockerd 20.10 answers."""
    image = await add_image(store, "x")
    stopped = {image.id: [Use(C1, running=False)]}
    running = {image.id: [Use(C2, running=True)]}
    for uses, container in ((stopped, C1), (running, C2)):
        with pytest.raises(Conflict) as failure:
            store.remove_image("x", uses=uses)
        assert str(failure.value) == (
            'conflict: unable to remove repository reference "x" (must force) - container '
            f"{container[:12]} is using its referenced image {image.short_id}"
        )
    with pytest.raises(Conflict) as failure:
        store.remove_image(image.id, uses=stopped)
    assert str(failure.value) == (
        f"conflict: unable to delete {image.short_id} (must be forced) - image is being used by "
        f"stopped container {C1[:12]}"
    )
    for force in (False, True):
        with pytest.raises(Conflict) as failure:
            store.remove_image(image.id, uses=running, force=force)
        assert str(failure.value) == (
            f"conflict: unable to delete {image.short_id} (cannot be forced) - image is being "
            f"used by running container {C2[:12]}"
        )
    assert store.remove_image("x", uses=running, force=True) == [{"Untagged": "x:latest"}]
    assert store.images.resolve(image.id).names == ()
    store.tag(image.id, repo="x")
    store.tag(image.id, repo="y")
    assert store.remove_image("y", uses=stopped) == [{"Untagged": "y:latest"}]
    assert {"Deleted": image.id} in store.remove_image("x", uses=stopped, force=True)
