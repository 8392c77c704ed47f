"""Pushing: the very bytes that were pulled, what was made here compressed; nothing is sent that is there already."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sampan.distribution.auth import authorizer
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.distribution.distribution import Distribution
from sampan.distribution.failures import AuthFailed, RegistryError, Unreachable
from sampan.distribution.hosts import Host
from sampan.distribution.indexes import index_of, whole
from sampan.distribution.progress import Message
from sampan.distribution.push import as_oci, make_manifest
from sampan.distribution.remote import Remote
from sampan.distribution.session import Session
from sampan.distribution.upload import Upload
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of
from sampan.spec.image import Descriptor, chain_ids
from sampan.spec.reference import Reference, parse
from sampan.store.content import Blob
from sampan.store.images import Image
from sampan.store.manifests import LayerBlob, encode_manifest
from sampan.store.store import Store, open_store
from tests.archives import archive, file
from tests.fakes.images import (
    Document,
    described,
    make_config,
    make_image,
    make_index,
    plain_layer,
)
from tests.fakes.registry import Registry, answer, deaf, drop
from tests.fakes.tokens import TokenServer
from tests.stores import add_layer
from tests.unit.distribution.conftest import BOB, options

BIG = archive(
    file("random", os.urandom(2 << 20)), file("text", b"words and more words\n" * 200_000)
)
SMALL = plain_layer(1)
PULLED = make_image([BIG, SMALL])
TLS = Host("https", "reg.test")


async def no_spawn(*_: Any) -> Any:
    raise AssertionError("nothing is unpacked for a push")


class House:
    """A store and the room over it, without a daemon."""

    def __init__(self, folder: Path) -> None:
        self.store: Store = open_store(str(folder), no_spawn)
        self.distribution = Distribution(self.store, options())
        self.messages: list[Message] = []

    async def close(self) -> None:
        await self.distribution.close()
        await self.store.close()

    async def pulled(
        self, name: str, document: Document, repository: str = "", above: Sequence[Document] = ()
    ) -> Image:
        """An image as a pull leaves it; `repository` is where it was pulled from, `above` the indexes that led to it."""
        blobs = {each.digest: each.raw for each in (*above, document)} | dict(document.blobs)
        image = await self._add(document.config, document.raw, blobs, name)
        if repository:
            self.store.origins.add(repository, [Digest(digest) for digest in blobs])
        return image

    async def made(self, name: str, *plain: bytes) -> Image:
        """An image as `load`, `import` and `commit` leave it: plain layers."""
        config = make_config(plain)
        layers = [LayerBlob(Blob(digest_of(data), len(data)), spec.OCI_LAYER) for data in plain]
        raw = encode_manifest(Blob(digest_of(config), len(config)), layers)
        blobs = {digest_of(data): data for data in (config, raw, *plain)}
        return await self._add(config, raw, blobs, name)

    async def _add(self, config: bytes, raw: bytes, blobs: dict[Digest, bytes], name: str) -> Image:
        diffs = [Digest(diff) for diff in spec.parse_config(config).rootfs.diff_ids]
        parent: Digest | None = None
        with self.store.leases.open() as lease:
            for data in blobs.values():
                await self.store.content.put(data, lease)
            for diff, chain in zip(diffs, chain_ids(diffs)):
                if not self.store.snapshots.has_layer(chain):
                    add_layer(self.store, diff, parent)
                parent = chain
            image = self.store.images.add(
                config, digest_of(config), manifest=digest_of(raw), blobs=set(blobs)
            )
        self.store.images.tag(image.id, parse(name))
        return image

    async def push(self, name: str, credentials: Credentials = NOBODY, **more: Any) -> list[str]:
        """What the user is told, without amounts."""
        self.messages.clear()
        await self.distribution.push(
            parse(name, default_tag=None), credentials, self.messages.append, **more
        )
        return [
            f"{message.get('id', '')} {message['status']}".strip()
            for message in self.messages
            if "status" in message and message["status"] != "Pushing"
        ]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path / "data")
    yield made
    await made.close()


def ids(document: Document) -> list[str]:
    return [diff[7:19] for diff in json.loads(document.config)["rootfs"]["diff_ids"]]


async def test_what_was_pulled_is_pushed_to_the_bit(house: House, registry: Registry) -> None:
    """Manifest, config and layers; with dockerd's messages, top first."""
    name = f"{registry.authority}/a/b"
    image = await house.pulled(f"{name}:1", PULLED)
    said = await house.push(f"{name}:1")
    bottom, top = ids(PULLED)
    assert said[:3] == [
        f"The push refers to repository [{name}]",
        f"{top} Preparing",
        f"{bottom} Preparing",
    ]
    assert sorted(said[3:5]) == sorted([f"{top} Pushed", f"{bottom} Pushed"])
    assert said[5:] == [f"1: digest: {PULLED.digest} size: {len(PULLED.raw)}"]
    aux = {"Tag": "1", "Digest": PULLED.digest, "Size": len(PULLED.raw)}
    assert house.messages[-1] == {"progressDetail": {}, "aux": aux}
    assert registry.manifests["a/b"]["1"] == (PULLED.media_type, PULLED.raw)
    assert registry.blobs["a/b"] == PULLED.blobs
    again = house.store.images.get(image.id)
    assert again is not None
    assert again.repo_digests == [f"{name}@{PULLED.digest}"]


async def test_a_second_push_sends_nothing(house: House, registry: Registry) -> None:
    """Every layer is asked for, and is there."""
    name = f"{registry.authority}/a/b"
    await house.pulled(f"{name}:1", PULLED)
    await house.push(f"{name}:1")
    registry.seen.clear()
    said = await house.push(f"{name}:1")
    bottom, top = ids(PULLED)
    assert sorted(said[3:5]) == sorted(f"{id} Layer already exists" for id in (top, bottom))
    assert {seen.method for seen in registry.seen} == {"GET", "HEAD", "PUT"}
    assert len(registry.requests("PUT")) == 1


async def test_plain_layers_are_compressed_always_the_same(
    house: House, registry: Registry, tmp_path: Path
) -> None:
    """Docker's manifest; another store makes the same bytes; a second push compresses nothing."""
    name = f"{registry.authority}/made"
    await house.made(f"{name}:1", BIG, SMALL)
    await house.push(f"{name}:1")
    kind, raw = registry.manifests["made"]["1"]
    manifest = spec.parse_manifest(raw)
    assert kind == manifest.media_type == spec.DOCKER_MANIFEST
    assert {layer.media_type for layer in manifest.layers} == {f"{spec.DOCKER_LAYER}.gzip"}
    blobs = registry.blobs["made"]
    assert [gzip.decompress(blobs[layer.digest]) for layer in manifest.layers] == [BIG, SMALL]
    assert [len(blobs[layer.digest]) for layer in manifest.layers] == [
        layer.size for layer in manifest.layers
    ]
    registry.seen.clear()
    await house.push(f"{name}:1")
    assert registry.requests("POST") == registry.requests("PATCH") == []
    other = House(tmp_path / "other")
    await other.made(f"{name}:2", BIG, SMALL)
    await other.push(f"{name}:2")
    await other.close()
    assert registry.manifests["made"]["2"] == (kind, raw)


async def test_plain_layers_that_were_pulled_stay_plain(house: House, registry: Registry) -> None:
    """The bytes of somebody else's manifest are not ours to change."""
    name = f"{registry.authority}/plain"
    plain = make_image([BIG], compress=bytes, layer_type=spec.OCI_LAYER, oci=True)
    await house.pulled(f"{name}:1", plain, repository="other.test/plain")
    await house.push(f"{name}:1")
    assert registry.manifests["plain"]["1"] == (spec.OCI_MANIFEST, plain.raw)
    await house.pulled(
        f"{name}:2", make_image([SMALL], compress=bytes, layer_type=spec.OCI_LAYER, oci=True)
    )
    await house.push(f"{name}:2")
    assert registry.manifests["plain"]["2"][0] == spec.DOCKER_MANIFEST


async def test_a_small_change_moves_kilobytes(house: House, registry: Registry) -> None:
    """A commit's new layer over what the registry has."""
    name = f"{registry.authority}/made"
    await house.made(f"{name}:1", BIG)
    await house.push(f"{name}:1")
    before = sum(map(len, registry.blobs["made"].values()))
    await house.made(f"{name}:2", BIG, archive(file("three", b"abc")))
    await house.push(f"{name}:2")
    assert sum(map(len, registry.blobs["made"].values())) - before < 2000


async def test_layers_are_mounted_from_where_they_are(house: House, registry: Registry) -> None:
    """Pulled from one repository, pushed to another of the same registry; not of another registry."""
    registry.add("old", "1", PULLED)
    name = f"{registry.authority}/new"
    await house.pulled(f"{name}:1", PULLED, repository=f"{registry.authority}/old")
    said = await house.push(f"{name}:1")
    assert sorted(said[3:5]) == sorted(f"{id} Mounted from old" for id in ids(PULLED))
    assert registry.requests("PATCH") == []
    async with Registry() as other:
        elsewhere = f"{other.authority}/new"
        house.store.images.tag(PULLED.id, parse(f"{elsewhere}:1"))
        assert "Pushed" in " ".join(await house.push(f"{elsewhere}:1"))
        assert [seen for seen in other.seen if "mount" in seen.path] == []


async def test_a_mount_that_is_refused_is_an_upload(house: House, registry: Registry) -> None:
    """The registry begins an upload instead (202), or knows nothing of mounts."""
    name = f"{registry.authority}/new"
    await house.pulled(f"{name}:1", PULLED, repository=f"{registry.authority}/gone")
    registry.fault("POST", "mount", answer(405), times=1)
    said = await house.push(f"{name}:1")
    assert sorted(said[3:5]) == sorted(f"{id} Pushed" for id in ids(PULLED))
    assert registry.blobs["new"] == PULLED.blobs


async def test_a_mount_asks_for_the_right_to_read(house: House) -> None:
    """The token of a mount is for both repositories."""
    async with TokenServer({"bob": "secret"}) as tokens, Registry(tokens=tokens) as registry:
        registry.add("old", "1", PULLED)
        name = f"{registry.authority}/new"
        await house.pulled(f"{name}:1", PULLED, repository=f"{registry.authority}/old")
        said = await house.push(f"{name}:1", BOB)
        assert "Mounted from old" in " ".join(said)
        scopes = [set(seen["query"]["scope"]) for seen in tokens.seen]
        assert scopes == [
            {"repository:new:pull,push"},
            {"repository:new:pull,push", "repository:old:pull"},
        ]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("after", [70_000, 1_500_000])
async def test_a_cut_upload_is_resumed(
    house: House, registry: Registry, after: int, compress: bool
) -> None:
    """From the byte that the registry has; also when it is compressed on the way."""
    name = f"{registry.authority}/a"
    add = house.made(f"{name}:1", BIG) if compress else house.pulled(f"{name}:1", make_image([BIG]))
    await add
    registry.fault("PATCH", "", drop(after), times=1)
    await house.push(f"{name}:1")
    layer = spec.parse_manifest(registry.manifests["a"]["1"][1]).layers[0]
    assert gzip.decompress(registry.blobs["a"][layer.digest]) == BIG
    first, second = registry.requests("PATCH")
    assert second.path == first.path
    if not compress:
        assert second.headers["Content-Range"] == f"{after}-{layer.size - 1}"
        assert second.headers["Content-Length"] == str(layer.size - after)


async def test_an_upload_that_is_forgotten_begins_anew(house: House, registry: Registry) -> None:
    """The registry was restarted meanwhile."""
    name = f"{registry.authority}/a"
    await house.pulled(f"{name}:1", make_image([BIG]))
    registry.fault("PATCH", "", drop(100_000), times=1)
    registry.fault("GET", "uploads", answer(404), times=1)
    await house.push(f"{name}:1")
    assert [seen.path.partition("?")[0][-7:] for seen in registry.requests("PATCH")] == [
        "upload1",
        "upload2",
    ]


async def test_a_registry_that_fails_is_tried_five_times(house: House, registry: Registry) -> None:
    """Then its error is told, and no manifest names what is not there."""
    name = f"{registry.authority}/a"
    await house.pulled(f"{name}:1", make_image([BIG]))
    registry.fault("PATCH", "", answer(503))
    with pytest.raises(RegistryError, match="503 Service Unavailable"):
        await house.push(f"{name}:1")
    assert len(registry.requests("PATCH")) == 5
    assert "a" not in registry.manifests


async def test_a_registry_that_takes_nothing_is_given_up(house: House, registry: Registry) -> None:
    """It accepts the connection, and reads no byte of the body."""
    house.distribution = Distribution(house.store, options(silence=0.2, attempts=2))
    huge = make_image([os.urandom(24 << 20)], compress=bytes)
    name = f"{registry.authority}/a"
    await house.pulled(f"{name}:1", huge)
    registry.fault("PATCH", "", deaf)
    with pytest.raises(Unreachable):
        await house.push(f"{name}:1")


async def test_uploads_elsewhere_see_no_password(house: House) -> None:
    """A Location on another host (CVE-2026-50151): bytes go there, credentials do not."""
    async with Registry(users={"bob": "secret"}) as registry, Registry() as storage:
        name = f"{registry.authority}/a"
        await house.pulled(f"{name}:1", make_image([BIG]))
        storage.uploads["up"] = bytearray()
        location = f"{storage.origin}/v2/a/blobs/uploads/up?sig=x%2Fy"
        registry.fault("POST", "uploads", answer(202, Location=location), times=1)
        await house.push(f"{name}:1", BOB)
        assert {seen.method for seen in storage.seen} == {"PATCH", "PUT"}
        assert {seen.authorization for seen in storage.seen} == {""}
        assert all("sig=x%2Fy" in storage.seen[0].path for seen in storage.seen[:1])


@pytest.mark.parametrize("location", ["", "http://evil.test:80/x", "ftp://x/y", "https://u:p@x/y"])
def test_odd_locations_are_refused(house: House, location: str) -> None:
    """Over TLS there is no way to plain HTTP."""
    client = house.distribution._client
    session = Session(client, authorizer(client, NOBODY, "reg.test"), TLS, frozenset())
    upload = Upload(Remote(session, "a"), None, options(), print, "")  # type: ignore[arg-type]

    class Response:
        headers = {"Location": location} if location else {}

    with pytest.raises(RegistryError, match=r"upload location refused|does not say where"):
        upload._next("https://reg.test/v2/a/blobs/uploads/", Response())  # type: ignore[arg-type]


async def test_a_registry_that_stores_something_else_is_caught(
    house: House, registry: Registry
) -> None:
    """By what it says that it has: of a blob, and of the manifest."""
    name = f"{registry.authority}/a"
    await house.pulled(f"{name}:1", PULLED)
    wrong = answer(201, Docker_Content_Digest="sha256:" + "0" * 64)
    registry.fault("PUT", "uploads", wrong, times=1)
    with pytest.raises(RegistryError, match="the registry has stored sha256:0000"):
        await house.push(f"{name}:1")
    registry.fault("PUT", "manifests", wrong, times=1)
    with pytest.raises(RegistryError, match="the registry has stored sha256:0000"):
        await house.push(f"{name}:1")


@pytest.mark.parametrize(
    ("credentials", "kind", "text"),
    [
        (NOBODY, AuthFailed, "no basic auth credentials"),
        (
            Credentials(username="bob", password="x"),
            RegistryError,
            "unauthorized: authentication required",
        ),
    ],
)
async def test_refusals_are_dockerds(
    house: House, credentials: Credentials, kind: Any, text: str
) -> None:
    """Recorded from 20.10: without the URL."""
    async with Registry(users={"bob": "secret"}) as registry:
        name = f"{registry.authority}/a"
        await house.pulled(f"{name}:1", PULLED)
        with pytest.raises(kind) as caught:
            await house.push(f"{name}:1", credentials)
        assert str(caught.value) == text


async def test_refusals_of_token_servers_are_dockerds(house: House) -> None:
    """Nobody may push; a wrong password is not a right one."""
    async with TokenServer({"bob": "secret"}) as tokens, Registry(tokens=tokens) as registry:
        name = f"{registry.authority}/a"
        await house.pulled(f"{name}:1", make_image([SMALL]))
        registry.fault("HEAD", "", answer(404))
        with pytest.raises(
            RegistryError, match="denied: requested access to the resource is denied"
        ):
            await house.push(f"{name}:1")
        with pytest.raises(AuthFailed) as caught:
            await house.push(f"{name}:1", Credentials(username="bob", password="x"))
        assert str(caught.value) == "unauthorized: incorrect username or password"


async def test_all_tags(house: House, registry: Registry) -> None:
    """One after another, each with its digest."""
    name = f"{registry.authority}/a"
    await house.pulled(f"{name}:2", PULLED)
    await house.made(f"{name}:1", SMALL)
    said = await house.push(name, all_tags=True)
    assert [line.partition(" ")[0] for line in said if "digest:" in line] == ["1:", "2:"]
    assert {"1", "2"} < set(registry.manifests["a"])


ARM = make_image([BIG, SMALL], platform="linux/arm64")
OTHER = make_image([plain_layer(7)], platform="linux/s390x")
OTHER_LAYER = digest_of(OTHER.layers[0])


@pytest.mark.parametrize("nested", [False, True])
async def test_an_index_goes_when_all_of_it_is_here(
    house: House, registry: Registry, *, nested: bool
) -> None:
    """Its manifests first, with their blobs, then the very index; `--platform` sends the one manifest."""
    name = f"{registry.authority}/a"
    entries = make_index([(PULLED, "linux/amd64"), (ARM, "linux/arm64")])
    index = make_index([(entries, ""), (OTHER, "linux/s390x")], oci=True) if nested else entries
    path = [index, entries] if nested else [index]
    images = [PULLED, ARM, OTHER] if nested else [PULLED, ARM]
    for image in reversed(images):
        await house.pulled(f"{name}:1", image, f"{registry.authority}/b", above=path)
    said = await house.push(f"{name}:1")
    assert said[-1] == f"1: digest: {index.digest} size: {len(index.raw)}"
    aux = {"Tag": "1", "Digest": index.digest, "Size": len(index.raw)}
    assert [message["aux"] for message in house.messages if "aux" in message] == [aux]
    for document in (*images, *path):
        assert registry.manifests["a"][document.digest] == (document.media_type, document.raw)
    assert registry.manifests["a"]["1"] == (index.media_type, index.raw)
    assert registry.blobs["a"] == {k: v for image in images for k, v in image.blobs.items()}
    puts = [seen.path.rpartition("/")[2] for seen in registry.requests("PUT", "/manifests/")]
    assert puts[-1] == "1"
    assert puts.index(PULLED.digest) < puts.index(ARM.digest)
    assert not nested or puts.index(ARM.digest) < puts.index(entries.digest)
    assert house.store.images.resolve(f"{name}@{index.digest}").id == PULLED.id
    await house.push(f"{name}:1", with_index=False)
    assert registry.manifests["a"]["1"] == (PULLED.media_type, PULLED.raw)


async def test_layers_are_not_read_for_an_index(
    house: House, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest says what they are; what is read is read off the loop."""
    index = make_index([(PULLED, "linux/amd64"), (ARM, "linux/arm64")])
    name = f"{registry.authority}/a"
    image = await house.pulled(f"{name}:1", PULLED, f"{registry.authority}/b", above=[index])
    plain, read = house.store.content.read, list[tuple[str, bool]]()

    def spy(digest: Digest, **more: Any) -> bytes:
        read.append((digest, threading.current_thread() is threading.main_thread()))
        return plain(digest, **more)

    monkeypatch.setattr(house.store.content, "read", spy)
    found = await index_of(house.store, image)
    assert found is not None
    assert found.digest == index.digest
    assert read == [(PULLED.digest, False), (index.digest, False)]
    assert await whole(house.store, found) is None  # the other platform's image is not here
    assert not any(on_loop for _, on_loop in read)


@pytest.mark.parametrize("lost", ["image", "layer"])
async def test_of_an_index_that_is_here_in_part_the_image_goes(
    house: House, registry: Registry, lost: str
) -> None:
    """And the user is told that its digest is another one."""
    name = f"{registry.authority}/a"
    index = make_index([(PULLED, "linux/amd64"), (ARM, "linux/arm64"), (OTHER, "linux/s390x")])
    for image in (ARM, PULLED) if lost == "image" else (OTHER, ARM, PULLED):
        await house.pulled(f"{name}:1", image, f"{registry.authority}/b", above=[index])
    if lost == "layer":
        os.unlink(house.store.content.path(OTHER_LAYER))
    said = await house.push(f"{name}:1")
    assert said[-1] == f"1: digest: {PULLED.digest} size: {len(PULLED.raw)}"
    assert house.messages[-1]["aux"] == {
        "manifestPushedInsteadOfIndex": True,
        "originalIndex": described(index.raw, index.media_type),
        "selectedManifest": described(PULLED.raw, PULLED.media_type),
    }
    assert set(registry.manifests["a"]) == {"1", PULLED.digest}


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("127.0.0.1:1/none:1", NotFound, "An image does not exist locally with the tag: 127.0.0.1:1/none"),
        ("127.0.0.1:1/a:2", NotFound, "tag does not exist: 127.0.0.1:1/a:2"),
        ("127.0.0.1:1/a", NotFound, "tag does not exist: 127.0.0.1:1/a:latest"),
        ("127.0.0.1:1/a@sha256:" + "0" * 64, InvalidParameter, "cannot push a digest reference"),
        ("127.0.0.1:1/a:1", SampanError, 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused'),
    ],
)  # fmt: skip
async def test_what_cannot_be_pushed(house: House, name: str, kind: Any, text: str) -> None:
    """Recorded from dockerd 20.10."""
    await house.pulled("127.0.0.1:1/a:1", PULLED)
    with pytest.raises(kind) as caught:
        await house.push(name)
    assert str(caught.value) == text


async def test_the_same_layer_twice_is_sent_once(house: House, registry: Registry) -> None:
    """And prepared twice, as dockerd says it."""
    name = f"{registry.authority}/a"
    twice = make_image([SMALL, BIG, SMALL])
    await house.pulled(f"{name}:1", twice)
    said = await house.push(f"{name}:1")
    assert sum("Preparing" in line for line in said) == 3
    assert sum("Pushed" in line for line in said) == 2


async def test_descriptors_leak_nowhere(house: House, registry: Registry) -> None:
    """Cut uploads, compressed ones too, close their files."""
    name = f"{registry.authority}/a"
    await house.made(f"{name}:1", BIG)
    registry.fault("PATCH", "", drop(1000))
    before = len(descriptors())
    for _ in range(3):
        with pytest.raises(SampanError):
            await house.push(f"{name}:1")
    deadline = time.monotonic() + 15
    while any("/blobs/" in path for path in descriptors()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert len(descriptors()) < before + 20


def descriptors() -> list[str]:
    """What is open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            pass  # the one that listed the folder
    return found


def test_manifests_that_are_made() -> None:
    """Docker's form for gzip, OCI's for anything else; Docker's words become OCI's on the way."""
    config = Descriptor(media_type="x", digest=digest_of(b"c"), size=1)
    gz = Descriptor(media_type=f"{spec.DOCKER_LAYER}.gzip", digest=digest_of(b"1"), size=2)
    zst = Descriptor(media_type=f"{spec.OCI_LAYER}+zstd", digest=digest_of(b"2"), size=3)
    raw, kind = make_manifest(config, [as_oci(gz)])
    assert kind == spec.DOCKER_MANIFEST
    assert spec.parse_manifest(raw).layers[0].media_type == gz.media_type
    assert spec.parse_manifest(raw).config.media_type == spec.DOCKER_CONFIG
    raw, kind = make_manifest(config, [as_oci(gz), as_oci(zst)])
    assert kind == spec.OCI_MANIFEST
    kinds = [layer.media_type for layer in spec.parse_manifest(raw).layers]
    assert kinds == [f"{spec.OCI_LAYER}+gzip", f"{spec.OCI_LAYER}+zstd"]
    assert spec.parse_manifest(raw).config.media_type == spec.OCI_CONFIG
    assert Reference("d", "p", "t").tag == "t"
