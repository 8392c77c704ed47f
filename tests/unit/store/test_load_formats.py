"""What an archive says it holds is read from either document, and believed only where it is consistent."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.digest import digest_of
from sampan.spec.platform import host
from sampan.store import archive as module
from sampan.store.archive import normalise, read_archive
from sampan.store.content import Content
from sampan.store.leases import Leases
from sampan.store.load_formats import Described, describe
from tests.stores import stream

LAYER = b"layer" * 20_000
DIFF = digest_of(LAYER)
CONFIG: dict[str, Any] = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIFF]}}
RAW = json.dumps(CONFIG).encode()

Files = dict[str, Any]  # name → bytes, a document, or ("link", target)


def pack(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type = tarfile.SYMTYPE if content[0] == "symlink" else tarfile.LNKTYPE
                info.linkname = content[1]
                file.addfile(info)
                continue
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


async def described(tmp_path: Path, files: Files) -> list[Described]:
    content = Content(str(tmp_path / "content"))
    lease = Leases().open()
    try:
        async with read_archive(content, stream(pack(files)), lease) as archive:
            found = describe(archive)
            for image in found:
                for layer in image.layers:
                    ingest, blob = await archive.file(layer)
                    assert await archive.file(layer) == (ingest, blob)
                    assert blob == (digest_of(LAYER), len(LAYER))
                    assert ingest.read(len(LAYER) + 1) == LAYER
            return found
    finally:
        assert content.ingest_paths() == []


def blob(data: bytes, media_type: str = "", **more: Any) -> tuple[str, dict[str, Any]]:
    """A blob's name in a layout, and its descriptor."""
    digest = digest_of(data)
    descriptor = {"mediaType": media_type, "digest": digest, "size": len(data), **more}
    return f"blobs/sha256/{digest[7:]}", descriptor


def layout(annotations: dict[str, str] | None = None, **platform: Any) -> Files:
    """An OCI layout with one image."""
    layer_name, layer = blob(LAYER, spec.OCI_LAYER)
    config_name, config = blob(RAW, spec.OCI_CONFIG)
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode()
    more: dict[str, Any] = {"annotations": annotations or {}}
    if platform:
        more["platform"] = platform
    manifest_name, entry = blob(manifest, spec.OCI_MANIFEST, **more)
    return {
        layer_name: LAYER,
        config_name: RAW,
        manifest_name: manifest,
        "index.json": {"schemaVersion": 2, "manifests": [entry]},
    }


def docker(**entry: Any) -> Files:
    """A docker-archive with one image; the layer comes before the document that names it."""
    whole = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"], **entry}
    return {"l/layer.tar": LAYER, "c.json": RAW, "manifest.json": [whole]}


async def test_docker_archive(tmp_path: Path) -> None:
    """Config, names and layers as `manifest.json` says."""
    (image,) = await described(tmp_path, docker())
    assert image.raw_config == RAW
    assert image.layers == ["l/layer.tar"]
    assert [reference.familiar() for reference in image.references] == ["x:1"]
    assert image.raw_manifest is None


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("symlink", "../real/layer.tar"),
        ("symlink", "/real/./layer.tar"),
        ("hard", "real/layer.tar"),
    ],
)
async def test_links_mean_files_of_the_archive(tmp_path: Path, kind: str, target: str) -> None:
    """As old `docker save` wrote shared layers; before and after what they point at."""
    link = {"l/layer.tar": (kind, target)}
    real = {"real/layer.tar": LAYER}
    rest = {"c.json": RAW, "manifest.json": docker()["manifest.json"]}
    for files in ({**link, **real, **rest}, {**real, **link, **rest}):
        (image,) = await described(tmp_path, files)
        assert image.layers == ["l/layer.tar"]


async def test_an_archive_with_both_documents_keeps_its_manifest(tmp_path: Path) -> None:
    """`docker save` of new engines: names from one, the manifest of the registry from the other."""
    files = layout()
    names = list(files)
    files["manifest.json"] = [{"Config": names[1], "RepoTags": ["x:1"], "Layers": [names[0]]}]
    (image,) = await described(tmp_path, files)
    assert image.raw_manifest == files[names[2]]


@pytest.mark.parametrize(
    ("annotations", "names"),
    [
        ({}, []),
        ({"org.opencontainers.image.ref.name": "latest"}, []),
        ({"org.opencontainers.image.ref.name": "x:2"}, ["x:2"]),
        (
            {
                "io.containerd.image.name": "docker.io/library/x:3",
                "org.opencontainers.image.ref.name": "3",
            },
            ["x:3"],
        ),
    ],
)
async def test_oci_layout(tmp_path: Path, annotations: dict[str, str], names: list[str]) -> None:
    """The image, its manifest as it is, and the name that an annotation gives."""
    (image,) = await described(tmp_path, layout(annotations))
    assert [reference.familiar() for reference in image.references] == names
    assert digest_of(image.raw_manifest or b"") == digest_of(list(layout().values())[2])


async def test_an_index_gives_the_image_of_this_machine(tmp_path: Path) -> None:
    """Other machines' images and attestations are passed over."""
    here = host()
    files = layout(os="linux", architecture=here.architecture)
    (mine,) = files["index.json"]["manifests"]
    other = mine | {"platform": {"os": "linux", "architecture": "s390x"}, "digest": digest_of(b"")}
    unknown = mine | {"platform": {"os": "unknown", "architecture": "unknown"}}
    inner = json.dumps({"schemaVersion": 2, "manifests": [other, unknown, mine]}).encode()
    name, descriptor = blob(inner, spec.OCI_INDEX)
    files |= {name: inner, "index.json": {"manifests": [descriptor]}}
    assert len(await described(tmp_path, files)) == 1
    files["index.json"] = {"manifests": [other]}
    with pytest.raises(InvalidParameter, match=f"no image of the archive is for {here}"):
        await described(tmp_path, files)


def changed_layout(**change: Any) -> Files:
    files = layout()
    files["index.json"]["manifests"][0] |= change
    return files


def nested(depth: int) -> Files:
    """Indexes in indexes."""
    files = layout()
    for _ in range(depth):
        raw = json.dumps(files["index.json"]).encode()
        name, descriptor = blob(raw, spec.OCI_INDEX)
        files |= {name: raw, "index.json": {"manifests": [descriptor]}}
    return files


def lying_layout() -> Files:
    files = layout()
    files[next(iter(files))] = LAYER + b"more"
    return files


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither manifest.json nor index.json"),
        ({"manifest.json": b"{"}, "invalid manifest.json"),
        ({"manifest.json": {"Config": 1}}, "invalid manifest.json"),
        ({"manifest.json": b"[" * 100_000}, "invalid manifest.json"),
        ({"manifest.json": b" " * (5 << 20)}, "larger than"),
        ({"manifest.json": ("symlink", "manifest.json")}, "neither"),
        ({"manifest.json": ("symlink", "/etc/passwd")}, "neither"),
        (docker(Config="../../etc/passwd"), "etc/passwd is missing"),
        (docker(Config="l/layer.tar"), "invalid imageconfig"),
        (docker(Layers=[]), "layers length mismatch: expected 1, got 0"),
        (docker(Layers=["l/layer.tar"] * 2), "layers length mismatch: expected 1, got 2"),
        (docker(Layers=["nosuch"]), "nosuch is missing"),
        (docker(RepoTags=["UPPER:1"]), "must be lowercase"),
        (docker(RepoTags=["x"]), 'invalid tag "x"'),
        (docker(RepoTags=["x@" + DIFF]), "invalid tag"),
        ({**docker(), "manifest.json": docker()["manifest.json"] * 1001}, "more than 1000 images"),
        (
            {**docker(), "c.json": {**CONFIG, "os": "windows"}},
            "cannot load windows image on linux",
        ),
        (changed_layout(size=1), "is not what its descriptor says"),
        (changed_layout(digest="sha256:../../etc/passwd"), "invalid checksum"),
        (changed_layout(digest="sha256:" + "a" * 64), "is missing"),
        (changed_layout(mediaType="text/plain"), "unsupported media type"),
        (lying_layout(), "is not what its descriptor says"),
        (nested(6), "nested too deeply"),
    ],
)
async def test_bad_archives_are_refused(tmp_path: Path, files: Files, message: str) -> None:
    """With a 400 that says why, and no file of the archive left."""
    with pytest.raises(InvalidParameter, match=message):
        await described(tmp_path, files)


@pytest.mark.parametrize("data", [b"x" * 2000, pack(docker())[:60_000], b"\x1f\x8b" + b"x" * 100])
async def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    """Garbage and a cut stream."""
    content = Content(str(tmp_path / "content"))
    with pytest.raises(InvalidParameter, match=r"invalid tar header|unexpected EOF|invalid gzip"):
        async with read_archive(content, stream(data), Leases().open()):
            pass
    assert content.ingest_paths() == []


async def test_an_archive_of_too_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither their number nor the memory of the small ones is without a bound."""
    monkeypatch.setattr(module, "FILE_LIMIT", 50)
    with pytest.raises(InvalidParameter, match="more than 50 files"):
        await described(tmp_path, {f"f{number}": b"" for number in range(60)})
    with pytest.raises(InvalidParameter, match="more than 50 files"):
        await described(tmp_path, {f"f{number}": ("symlink", "x") for number in range(60)})
    monkeypatch.setattr(module, "SMALL_TOTAL", 1000)
    with pytest.raises(InvalidParameter, match="too many small files"):
        await described(tmp_path, {"a": b"x" * 600, "b": b"x" * 600})


async def test_the_last_file_of_a_name_counts(tmp_path: Path) -> None:
    """And what it replaces is not left in the ingests."""
    files = docker()
    data = pack({"l/layer.tar": b"y" * 100_000})[: -10240 + 512 * 2]
    data = pack({"./l/../l/layer.tar": b"y" * 100_000}).rstrip(b"\0") + b""
    data += bytes(-len(data) % 512) + pack(files)
    content = Content(str(tmp_path / "content"))
    async with read_archive(content, stream(data), Leases().open()) as archive:
        assert archive.blob("l/layer.tar").digest == DIFF
        assert len(content.ingest_paths()) == 1
    assert content.ingest_paths() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"./a//b/", "a/b"), (b"/a/../../b", "b"), (b"..", ""), (b"a/./b/..", "a")],
)
def test_names_stay_inside(name: bytes, expected: str) -> None:
    """`..` ends at the top."""
    assert normalise(name) == expected
