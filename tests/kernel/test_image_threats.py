"""Controls of what docs/SECURITY.md says of images: with the one defence gone, the same attack succeeds."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.distribution import client as registry_client
from sampan.distribution import layers, manifests, resolve
from sampan.distribution.client import Client
from sampan.distribution.remote import Answered
from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.digest import digest_of
from sampan.store import apply as applier
from sampan.store import decompress
from sampan.store.store import open_store
from sampan.wire import tar
from tests.archives import archive, file
from tests.fakes.images import make_image, make_index, plain_layer
from tests.fakes.registry import Registry, answer, redirected
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_pull import LIES, House
from tests.kernel.test_unpack import apply
from tests.unit.distribution.conftest import options
from tests.unit.distribution.test_client import get
from tests.unit.store.test_decompress import PACK, expand
from tests.unit.wire.test_tar import pax, read, test_mutations_never_crash

IMAGE = make_image([plain_layer(1)])
OTHER = digest_of(b"other")


@pytest.fixture
async def registry() -> Any:
    async with Registry() as made:
        yield made


@pytest.fixture
async def client() -> Any:
    made = Client(options())
    yield made
    await made.close()


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    made = ForkingSpawner()
    yield made
    made.close()


def answered(kind: str) -> Answered:
    return Answered(IMAGE.raw, kind, "")


def test_a_plain_whiteout_would_delete_above(tmp_path: Path) -> None:
    """E4: who joins what a whiteout names to its folder empties the folder above."""
    layer = tmp_path / "layer"
    layer.mkdir()
    (tmp_path / "canary").write_text("here")
    data = archive(file(".wh..."))
    apply_to = tmp_path / "ours"
    apply_to.mkdir()
    with pytest.raises(Exception, match="invalid whiteout"):
        apply(data, apply_to)
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        (entry,) = opened.getmembers()
    named = layer / entry.name.removeprefix(".wh.")
    assert "canary" in os.listdir(named)


def test_overlays_attributes_would_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5."""
    data = archive(file("f", xattrs={b"trusted.overlay.redirect": b"/etc"}))
    apply(data, tmp_path)
    assert os.listxattr(tmp_path / "f") == []
    monkeypatch.setattr(applier, "_STRIPPED", (b"none",))
    other = tmp_path / "other"
    other.mkdir()
    apply(data, other)
    assert os.listxattr(other / "f") == ["trusted.overlay.redirect"]


def test_a_bomb_of_headers_would_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """E7."""
    monkeypatch.setattr(tar, "RECORD_LIMIT", 1 << 30)
    assert read(pax(b"6 a=b\n" * 170_000))


def test_a_bomb_would_expand(monkeypatch: pytest.MonkeyPatch) -> None:
    """E8."""
    monkeypatch.setattr(decompress, "RATIO_FREE", 8 << 20)
    monkeypatch.setattr(decompress, "RATIO_LIMIT", 1 << 30)
    assert len(expand(PACK["zstd"](bytes(64 << 20)))) == 64 << 20


def test_the_mutations_find_what_is_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """E9: a reader that raises something else is seen by the first mutations."""
    monkeypatch.setattr(tar, "ProtocolError", KeyError)
    inner = test_mutations_never_crash.hypothesis.inner_test  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        for seed in range(50):
            inner(seed, 10)


def test_wrong_bytes_would_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """G1."""
    with pytest.raises(InvalidParameter, match="verification failed"):
        manifests.examine(answered(IMAGE.media_type), digest=OTHER)
    monkeypatch.setattr(manifests, "digest_of", lambda data: OTHER)
    assert manifests.examine(answered(IMAGE.media_type), digest=OTHER).manifest


async def test_a_layer_that_is_another_would_be_taken(
    tmp_path: Path, spawner: ForkingSpawner, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2."""
    house = House(open_store(str(tmp_path / "data"), spawner))
    try:
        registry.add("a", "1", LIES["diff id"]())
        monkeypatch.setattr(layers, "_check_diff", lambda unpacked, place: None)
        image = await house.pull(f"{registry.authority}/a:1")
        assert house.store.snapshots.layer_paths(image.top)
    finally:
        await house.close()


def test_a_wrong_kind_would_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """G3."""
    with pytest.raises(InvalidParameter, match="mediaType in manifest should be"):
        manifests.examine(answered(spec.OCI_MANIFEST))
    monkeypatch.setattr(manifests, "_kind_of", lambda answered: answered.content_type)
    assert manifests.examine(answered(spec.OCI_MANIFEST)).manifest


def test_a_digest_that_is_joined_leads_out(tmp_path: Path) -> None:
    """G4: what is not checked names a file elsewhere."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "secret").write_text("s")
    text = "sha256:../secret"
    assert (tmp_path / "blobs" / text.partition(":")[2]).read_text() == "s"
    with pytest.raises(InvalidParameter):
        spec.parse_digest(text)


async def test_a_vast_index_would_be_followed(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G5."""
    index = make_index([(IMAGE, "linux/s390x")] * 300)
    with pytest.raises(InvalidParameter, match="more than 256"):
        spec.parse_index(index.raw)
    monkeypatch.setattr(spec, "INDEX_LIMIT", 1 << 20)
    assert len(spec.parse_index(index.raw).manifests) == 300
    assert resolve.FETCHES < 300


async def test_a_password_would_follow(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N1: to another origin."""
    monkeypatch.setattr(registry_client, "same_origin", lambda one, other: True)
    async with Registry() as other:
        registry.fault("GET", "/one", redirected(other.origin))
        other.fault("GET", "/one", answer(200, b"got it"))
        await get(client, f"{registry.origin}/one", authorization="Basic c2VjcmV0")
        assert [seen.authorization for seen in other.seen] == ["Basic c2VjcmV0"]


async def test_redirects_would_go_on(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N2."""
    monkeypatch.setattr(registry_client, "REDIRECTS", 100)
    registry.fault("GET", "/one", answer(302, Location="/one"))
    with pytest.raises(Exception, match="redirects"):
        await get(client, f"{registry.origin}/one")
    assert len(registry.seen) == 101
