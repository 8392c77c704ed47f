"""Pull through real workers, from registries in memory: formats, lies, mirrors, death at any point, a full disk."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.distribution.credentials import NOBODY
from sampan.distribution.distribution import Distribution
from sampan.distribution.progress import Message
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import digest_of
from sampan.spec.platform import Platform
from sampan.spec.reference import parse
from sampan.store.decompress import zstd
from sampan.store.images import Image
from sampan.store.store import Store, open_store
from tests.archives import archive, directory, file
from tests.fakes.dying import commit_box
from tests.fakes.images import Document, make_config, make_image, make_index, plain_layer
from tests.fakes.registry import Registry, answer
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_load import NOTHING, leftovers, run
from tests.kernel.test_store_crash import check, die, restart
from tests.stores import stream
from tests.unit.distribution.conftest import options

LOWER = archive(directory("d"), file("d/kept", b"1"), file("d/gone", b"2"))
UPPER = archive(directory("d"), file("d/.wh.gone"), file("d/new", b"3"))


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with Registry() as made:
        yield made


class House:
    """A store, and a registry client over it."""

    def __init__(self, store: Store, **more: Any) -> None:
        self.store = store
        self.distribution = Distribution(store, options(**more))
        self.messages: list[Message] = []

    async def pull(self, name: str, platform: Platform | None = None) -> Image:
        (image,) = await self.distribution.pull(parse(name), platform, NOBODY, self.messages.append)
        return image

    def said(self, layer: bytes) -> list[str]:
        short = digest_of(layer).partition(":")[2][:12]
        return [str(m["status"]) for m in self.messages if m.get("id") == short]

    def read(self, image: Image, path: str) -> bytes | None:
        """A file of the topmost layer that has it; whiteouts are None."""
        for folder in self.store.snapshots.layer_paths(image.top):
            found = Path(folder) / path
            if found.is_char_device():
                return None
            if found.exists():
                return found.read_bytes()
        return None

    async def close(self) -> None:
        await self.distribution.close()
        await self.store.close()


@pytest.fixture
async def house(tmp_path: Path, spawner: ForkingSpawner) -> AsyncIterator[House]:
    made = House(open_store(str(tmp_path / "data"), spawner))
    yield made
    await made.close()


def zstandard(data: bytes) -> bytes:
    return bytes(zstd.compress(data))


FORMS: dict[str, tuple[bool, Callable[[bytes], bytes], str]] = {
    "docker gzip": (False, gzip.compress, ""),
    "docker plain": (False, bytes, spec.DOCKER_LAYER),
    "oci gzip": (True, gzip.compress, f"{spec.OCI_LAYER}+gzip"),
    "oci zstd": (True, zstandard, f"{spec.OCI_LAYER}+zstd"),
    "oci plain": (True, bytes, spec.OCI_LAYER),
}


@pytest.mark.parametrize("form", FORMS)
async def test_formats(house: House, registry: Registry, form: str) -> None:
    """Every compression and both families of documents."""
    oci, compress, kind = FORMS[form]
    document = make_image([LOWER, UPPER], oci=oci, compress=compress, layer_type=kind)
    registry.add("a", "1", document)
    image = await house.pull(f"{registry.authority}/a:1")
    assert (image.id, image.manifest) == (document.id, document.digest)
    assert [house.read(image, f"d/{n}") for n in ("kept", "gone", "new")] == [b"1", None, b"3"]
    for layer in document.layers:
        assert house.store.content.read(digest_of(layer)) == layer
    assert leftovers(house.store) == NOTHING


async def test_a_layer_twice(house: House, registry: Registry) -> None:
    """One download, two places in the stack."""
    document = make_image([LOWER, UPPER, LOWER])
    registry.add("a", "1", document)
    image = await house.pull(f"{registry.authority}/a:1")
    assert len(set(image.chain)) == 3
    assert registry.served[digest_of(document.layers[0])] == len(document.layers[0])
    assert house.said(document.layers[0]).count("Pull complete") == 1
    assert house.read(image, "d/gone") == b"2"


async def test_layers_that_are_here(house: House, registry: Registry) -> None:
    """Of another image's layers none is fetched; they are said to exist."""
    first, second = make_image([LOWER]), make_image([LOWER, UPPER])
    registry.add("a", "1", first)
    registry.add("b", "1", second)
    await house.pull(f"{registry.authority}/a:1")
    served = registry.served[digest_of(first.layers[0])]
    await house.pull(f"{registry.authority}/b:1")
    assert registry.served[digest_of(first.layers[0])] == served
    assert house.said(first.layers[0])[-1] == "Already exists"


async def test_rate_limits_are_shown(house: House, registry: Registry) -> None:
    """At the end of a pull, when little is left."""
    registry.add("a", "1", make_image([LOWER]))
    registry.headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "3;w=21600"}
    await house.pull(f"{registry.authority}/a:1")
    assert house.messages[-1]["status"] == (
        f"WARNING: {registry.authority} lets you pull 3 more of 100 images in 6 hours"
    )


async def test_an_index_within_an_index(house: House, registry: Registry) -> None:
    """With a platform, and where only the config says which."""
    document = make_image([LOWER])
    inner = make_index([(document, "")], oci=True)
    outer = make_index([(make_image([UPPER], platform="linux/s390x"), "linux/s390x"), (inner, "")])
    registry.add("a", "1", outer)
    image = await house.pull(f"{registry.authority}/a:1")
    assert image.id == document.id
    digests = {name.partition("@")[2] for name in image.repo_digests}
    assert digests == {outer.digest}


LIES: dict[str, Callable[[], Document]] = {
    "diff id": lambda: make_image([LOWER], config=make_config([digest_of(b"other")])),
    "too few layers": lambda: make_image([LOWER, UPPER], config=make_config([LOWER])),
    "too many": lambda: make_image([LOWER], config=make_config([LOWER, UPPER])),
    "no tar": lambda: make_image([b"this is no archive at all" * 100]),
    "no gzip": lambda: make_image([LOWER], compress=lambda data: b"\x1f\x8b" + data),
    "windows": lambda: make_image([LOWER], platform="windows/amd64"),
    "upwards": lambda: make_image([archive(file("../../outside", b"x"))]),
}


@pytest.mark.parametrize("lie", LIES)
async def test_lies(house: House, registry: Registry, lie: str) -> None:
    """Refused, and nothing of it can be seen."""
    registry.add("a", "1", LIES[lie]())
    if lie == "upwards":  # contained
        image = await house.pull(f"{registry.authority}/a:1")
        assert not (Path(house.store.data_root).parent / "outside").exists()
        house.store.remove_image(image.id, uses={})
        return
    with pytest.raises(InvalidParameter):
        await house.pull(f"{registry.authority}/a:1")
    assert house.store.images.list() == []
    assert house.store.content.digests() == []
    assert not house.store.snapshots.layers_top_first()
    assert not [p for p in (Path(house.store.data_root) / "snapshots").iterdir()]


async def test_mirrors(tmp_path: Path, spawner: ForkingSpawner, registry: Registry) -> None:
    """First the mirror of the longest prefix; what it has not comes from the registry, blobs too."""
    async with Registry() as mirror:
        far = registry.authority
        made = House(
            open_store(str(tmp_path / "data"), spawner),
            prefix_mirrors={far: ("http://127.0.0.1:1",), f"{far}/a": (f"{mirror.origin}/m",)},
        )
        document = make_image([LOWER, UPPER])
        mirror.add("m/b", "1", document)
        registry.add("a/b", "1", document)
        registry.add("a/c", "1", make_image([UPPER]))
        mirror.fault("GET", document.document["layers"][1]["digest"], answer(404))
        await made.pull(f"{far}/a/b:1")
        assert mirror.requests("GET", "/v2/m/b/manifests/")
        assert [s.path.rpartition("/")[2] for s in registry.requests("GET", "/blobs/")] == [
            document.document["layers"][1]["digest"]
        ]
        await made.pull(f"{far}/a/c:1")
        with pytest.raises(NotFound, match="manifest unknown"):
            await made.pull(f"{far}/other:1")
        await made.close()


async def test_a_full_disk(tmp_path: Path, spawner: ForkingSpawner, registry: Registry) -> None:
    """Said in a text, nothing of it stays; with room the same pull succeeds."""
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(small))
    try:
        made = House(open_store(str(small / "data"), spawner))
        document = make_image([plain_layer(1, 20 << 20), plain_layer(2, 20 << 20)], compress=bytes)
        registry.add("a", "1", document)
        with pytest.raises(SampanError, match=r"(?i)no space left on device"):
            await made.pull(f"{registry.authority}/a:1")
        assert made.store.images.list() == []
        await made.store.trash.empty()
        parts = sum(p.stat().st_size for p in (small / "data/content/ingest").iterdir())
        run("mount", "-o", "remount,size=300m", str(small))
        await made.pull(f"{registry.authority}/a:1")
        assert parts <= 40 << 20
        await made.close()
    finally:
        run("umount", str(small))


async def test_a_write_that_fails(
    house: House, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC out of pwrite: dockerd's kind of text, and the part is given back."""
    registry.add("a", "1", make_image([plain_layer(1, 1 << 20)]))

    def full(*_: Any) -> int:
        raise OSError(28, os.strerror(28), "/x")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SampanError, match=r"^write /x: no space left on device$"):
        await house.pull(f"{registry.authority}/a:1")
    assert os.listdir(Path(house.store.data_root) / "content" / "ingest") == []


@pytest.mark.timeout(300)
async def test_every_point_of_death(tmp_path: Path, spawner: ForkingSpawner) -> None:
    """kill -9 at any change on the disk while an image is pulled: whole or invisible, and a repetition succeeds."""
    async with Registry() as registry:
        document = make_image([LOWER, UPPER, plain_layer(1, 500_000)])
        registry.add("new", "1", document)
        name = f"{registry.authority}/new:1"
        root = tmp_path / "data"
        at = 1
        deaths = resumed = 0
        while await asyncio.to_thread(die, root, "pull", at, Path(name)):
            deaths += 1
            store = await restart(root, spawner)
            check(store, parts=True)
            parts = os.listdir(root / "content" / "ingest")
            resumed += bool(parts)
            house = House(store)
            image = await house.pull(name)
            assert image.id == document.id
            assert house.read(image, "d/gone") is None
            store.remove_image(name, uses={})
            assert leftovers(store) == NOTHING
            await store.trash.empty()
            await house.close()
            at += 1 if at < 8 else 6
        assert deaths >= 8
        assert resumed >= 2, "no death left a part, so that was not tested"


@pytest.mark.timeout(300)
async def test_every_point_of_death_of_a_push(tmp_path: Path, spawner: ForkingSpawner) -> None:
    """kill -9 while a committed layer is made a tar, compressed and sent: the tar is gone, and a repetition succeeds."""
    async with Registry() as registry:
        root = tmp_path / "data"
        store = await restart(root, spawner)
        base = await store.import_rootfs(stream(LOWER), reference="old:1")
        store.snapshots.prepare("box", base.top)
        Path(store.snapshots.upper_path("box"), "new").write_bytes(os.urandom(200_000))
        name = f"{registry.authority}/new:1"
        image = await commit_box(store, name, copy=False)
        await store.close()
        deaths, at = 0, 1
        while await asyncio.to_thread(die, root, "push", at, Path(name)):
            deaths += 1
            store = await restart(root, spawner)
            check(store)
            assert store.images.resolve(name).id == image.id
            house = House(store)
            await house.distribution.push(parse(name), NOBODY, house.messages.append)
            assert registry.manifests["new"]["1"]
            registry.blobs.clear()
            registry.manifests.clear()
            await store.trash.empty()
            assert leftovers(store) == NOTHING
            await house.close()
            at += 1 if at < 8 else 4
        assert deaths >= 5
