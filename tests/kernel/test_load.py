"""Images come in by load and import through real workers, whole or not at all, and are what they say they are."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import lzma
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import InvalidParameter, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import digest_of
from sampan.spec.platform import host
from sampan.store.builtin import TEXT
from sampan.store.decompress import zstd
from sampan.store.save import choose, save
from sampan.store.store import Store, open_store
from sampan.wire import tar
from tests.archives import archive, directory, file, link, node, symlink
from tests.fakes.spawn import ForkingSpawner
from tests.stores import stream

LOWER = archive(
    directory("etc"),
    file("etc/gone", b"lower"),
    file("etc/kept", b"lower"),
    directory("hidden"),
    file("hidden/old", b"lower"),
    directory("data", 0o1770, uid=3, gid=4),
    file("data/file", b"content" * 1000, 0o4755, uid=5, xattrs={b"user.note": b"n"}),
)
UPPER = archive(
    file("etc/.wh.gone"),
    directory("hidden"),
    file("hidden/.wh..wh..opq"),
    file("hidden/new", b"upper"),
    directory("data", 0o1770, uid=3, gid=4, mtime_ns=10**18),
    file("data/real", b"real"),
    link("data/hard", "data/real"),
    symlink("data/soft", "/etc"),
    node("data/null", tar.CHARACTER, 1, 3, 0o666),
    directory("data/sub", 0o700, mtime_ns=10**18),
    file("data/sub/deep", b"x"),
)


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
async def store(tmp_path: Path, spawner: ForkingSpawner) -> AsyncIterator[Store]:
    store = open_store(str(tmp_path / "data"), spawner)
    yield store
    await store.close()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(*layers: bytes, **more: Any) -> bytes:
    """A config blob for plain layers."""
    diffs = [sha(layer) for layer in layers]
    document = {"os": "linux", "architecture": host().architecture, **more}
    return json.dumps({**document, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()


def docker_archive(
    tags: list[str], *layers: bytes, raw: bytes = b"", packed: list[bytes] | None = None
) -> bytes:
    """What `docker save` writes: layers first, the document that names them last."""
    raw = raw or config(*layers)
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    files = [file(name, data) for name, data in zip(names, packed or layers)]
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": names}]
    files += [file("config.json", raw), file("manifest.json", json.dumps(manifest).encode())]
    return archive(*files)


def leftovers(store: Store) -> dict[str, list[str]]:
    """Every folder of the data root that should hold only what rows name."""
    root = Path(store.data_root)
    known = {chain[7:] for chain in store.metadata.texts("SELECT chain FROM layers")}
    blobs = {digest[7:] for digest in store.metadata.texts("SELECT digest FROM image_blobs")}
    blobs -= {digest[7:] for digest in store.snapshots.packed()}
    return {
        "ingests": os.listdir(root / "content" / "ingest"),
        "blobs": sorted(set(os.listdir(root / "content" / "blobs" / "sha256")) ^ blobs),
        "snapshots": sorted(
            set(os.listdir(root / "snapshots")) ^ known ^ set(store.snapshots.keys())
        ),
    }


NOTHING: dict[str, list[str]] = {"ingests": [], "blobs": [], "snapshots": []}


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd", "xz"])
async def test_load_of_a_docker_archive(store: Store, form: str) -> None:
    """The id is the digest of the config, whatever the archive is compressed with."""
    data = docker_archive(["x:1", "host:5000/y:2"], LOWER, UPPER)
    pack = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress, "xz": lzma.compress}[form]
    messages: list[dict[str, Any]] = []
    (image,) = await store.load(stream(pack(data), 5000), messages.append)
    assert image.id == sha(config(LOWER, UPPER))
    assert image.repo_tags == ["x:1", "host:5000/y:2"]
    assert [m["stream"] for m in messages if "stream" in m] == [
        "Loaded image: x:1\n",
        "Loaded image: host:5000/y:2\n",
    ]
    layers = {m["id"] for m in messages if m.get("status") == "Loading layer"}
    assert layers == {sha(LOWER)[7:19], sha(UPPER)[7:19]}
    assert all(m["progressDetail"]["total"] for m in messages if "progressDetail" in m)
    assert leftovers(store) == NOTHING
    assert image.manifest is not None
    manifest = spec.parse_manifest(store.content.read(image.manifest))
    assert [layer.digest for layer in manifest.layers] == [sha(LOWER), sha(UPPER)]
    again: list[dict[str, Any]] = []
    await store.load(stream(pack(data)), again.append, quiet=True)
    assert [list(message) for message in again] == [["stream"], ["stream"]]


async def test_the_layers_make_one_file_system(store: Store, tmp_path: Path) -> None:
    """Mounted by the kernel: whiteouts hide, opaque folders replace, the rest shines through."""
    (image,) = await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    lower = ":".join(store.snapshots.layer_paths(image.top))
    point = tmp_path / "mnt"
    point.mkdir()
    script = (
        f"mount -t overlay overlay -o lowerdir={lower} {point} && cd {point} && "
        "ls etc hidden data && cat etc/kept data/hard"
    )
    done = run("unshare", "-m", "sh", "-ec", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *("data:", "file", "hard", "null", "real", "soft", "sub", "etc:", "kept"),
        *("hidden:", "new", "lowerreal"),
    ]


async def test_compressed_layers_stay_as_they_came(store: Store) -> None:
    """gzip and zstd layers keep their bytes and get their media types; xz has none and is stored plain."""
    packed = [gzip.compress(LOWER), zstd.compress(UPPER)]
    data = docker_archive(["x:1"], LOWER, UPPER, packed=packed)
    (image,) = await store.load(stream(data), print)
    assert image.manifest is not None
    manifest = spec.parse_manifest(store.content.read(image.manifest))
    assert [(layer.media_type, layer.digest) for layer in manifest.layers] == [
        (spec.OCI_LAYER + "+gzip", sha(packed[0])),
        (spec.OCI_LAYER + "+zstd", sha(packed[1])),
    ]
    data = docker_archive(["z:1"], LOWER, packed=[lzma.compress(LOWER)])
    (image,) = await store.load(stream(data), print)
    assert image.manifest is not None
    (layer,) = spec.parse_manifest(store.content.read(image.manifest)).layers
    assert (layer.media_type, layer.digest) == (spec.OCI_LAYER, sha(LOWER))
    store.collect()
    assert leftovers(store) == NOTHING


async def test_load_of_an_oci_layout(store: Store) -> None:
    """The manifest stays as it is; without a name the id is told."""
    raw = config(LOWER)
    manifest = spec.encode(
        spec.Manifest(
            schema_version=2,
            media_type=spec.OCI_MANIFEST,
            config=spec.Descriptor(media_type=spec.OCI_CONFIG, digest=sha(raw), size=len(raw)),
            layers=[spec.Descriptor(media_type=spec.OCI_LAYER, digest=sha(LOWER), size=len(LOWER))],
        )
    )
    entry = {"mediaType": spec.OCI_MANIFEST, "digest": sha(manifest), "size": len(manifest)}
    blobs = {sha(data)[7:]: data for data in (raw, manifest, LOWER)}
    data = archive(
        file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
        file("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()),
        *(file(f"blobs/sha256/{name}", content) for name, content in blobs.items()),
    )
    messages: list[dict[str, Any]] = []
    (image,) = await store.load(stream(data), messages.append, quiet=True)
    assert messages == [{"stream": f"Loaded image ID: {sha(raw)}\n"}]
    assert (image.id, image.manifest, image.names) == (sha(raw), sha(manifest), ())
    assert leftovers(store) == NOTHING


async def test_a_name_that_moves_is_told(store: Store) -> None:
    """In dockerd's words."""
    (first,) = await store.load(stream(docker_archive(["x:1"], LOWER)), print)
    messages: list[dict[str, Any]] = []
    await store.load(stream(docker_archive(["x:1"], UPPER)), messages.append, quiet=True)
    assert messages == [
        {
            "stream": "The image x:1 already exists, renaming the old one with ID "
            f"{first.id} to empty string\n"
        },
        {"stream": "Loaded image: x:1\n"},
    ]


@pytest.mark.parametrize("step", ["second layer", "diff", "layer", "cut", "bomb", "breakout"])
async def test_a_bad_archive_leaves_nothing(store: Store, step: str) -> None:
    """Also what was good of it: the first of two images, the first of two layers."""
    hostile = archive(directory("d"), file("d/.wh..", b""))
    bad = {
        "second layer": docker_archive(["x:1"], LOWER, b"x" * 2000),
        "diff": docker_archive(["x:1"], LOWER, UPPER, raw=config(LOWER, LOWER)),
        "layer": docker_archive(["x:1"], LOWER, UPPER, packed=[LOWER, gzip.compress(UPPER)[:-9]]),
        "cut": docker_archive(["x:1"], LOWER, UPPER)[:12_000],
        "bomb": zstd.compress(
            tar.encode_header(tar.Header(b"x", b"x", size=8 << 20)) + bytes(9 << 20)
        ),
        "breakout": docker_archive(["x:1"], LOWER, hostile),
    }[step]
    with pytest.raises(InvalidParameter):
        await store.load(stream(bad), print)
    assert store.images.list() == []
    assert leftovers(store) == NOTHING
    assert store.content.digests() == store.snapshots.layers_top_first() == []
    await store.trash.empty()
    (image,) = await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    assert image.repo_tags == ["x:1"]


async def test_two_loads_at_once(store: Store) -> None:
    """They end in the same image and layers, and leave nothing else."""
    results = await asyncio.gather(
        store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print),
        store.load(stream(docker_archive(["y:1"], LOWER, UPPER)), print),
    )
    assert results[0][0].id == results[1][0].id
    assert store.images.resolve("x:1").repo_tags == ["x:1", "y:1"]
    assert leftovers(store) == NOTHING


LARGE = file("large", os.urandom(200_000))
DELETING = archive(directory("etc"), file("etc/.wh.gone"), file("etc/kept", b"mine"), LARGE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
async def test_large_layers_are_unpacked_while_they_arrive(
    store: Store, spawner: ForkingSpawner, pack: Any
) -> None:
    """In whichever place they turn out to belong: a whiteout means something only where a layer is below."""
    layers = [DELETING, archive(LARGE), LOWER, DELETING]
    data = docker_archive(["x:1"], *layers, packed=[pack(layer) for layer in layers])
    (image,) = await store.load(stream(data, 10_000), lambda message: None)
    paths = [Path(path) for path in reversed(store.snapshots.layer_paths(image.top))]
    assert [(path / "etc" / "gone").is_char_device() for path in paths] == [
        False,
        False,
        False,
        True,
    ]
    assert sorted(os.listdir(paths[0] / "etc")) == ["kept"]
    assert [(path / "large").exists() for path in paths] == [True, True, False, True]
    assert leftovers(store) == NOTHING
    assert (await store.check()).problems == []
    # 0 began as one with something below and was made again; 3 is the same bytes somewhere else, 2 is small.
    assert len(spawner.pids) >= 4


async def test_what_is_no_layer_of_the_archive_is_dropped(store: Store) -> None:
    """Large files that nothing names, damaged ones too, hurt nobody."""
    extra = [
        file("a", os.urandom(300_000)),
        file("b", DELETING),
        file("c", b"\x1f\x8b" + bytes(90_000)),
    ]
    data = archive(*extra)[:-1024] + docker_archive(["x:1"], archive(LARGE))
    (image,) = await store.load(stream(data, 10_000), lambda message: None)
    assert len(image.chain) == 1
    assert leftovers(store) == NOTHING


async def test_a_layer_that_went_in_plain_leaves_nothing_either(store: Store) -> None:
    """Its blob is there before the next layer turns out to be none."""
    layers = [archive(LARGE), archive(file("f", b"x"))]
    packed = [lzma.compress(layers[0]), b"no archive" * 100]
    data = docker_archive(["x:1"], *layers, packed=packed)
    with pytest.raises(InvalidParameter):
        await store.load(stream(data, 10_000), lambda message: None)
    assert leftovers(store) == NOTHING


async def test_layers_that_are_here_are_not_unpacked_again(
    store: Store, spawner: ForkingSpawner
) -> None:
    """When their names in the archive say what they are."""
    (image,) = await store.load(
        stream(docker_archive(["x:1"], archive(LARGE))), lambda message: None
    )
    before = len(spawner.pids)
    with store.leases.open() as lease:
        saved = [piece async for piece in save(store, choose(store, ["x:1"]), lease)]
    again = await store.load(stream(b"".join(saved), 10_000), lambda message: None)
    assert [each.id for each in again] == [image.id]
    assert len(spawner.pids) == before
    assert leftovers(store) == NOTHING


@pytest.mark.parametrize("change", ["byte", "mode", "more"])
async def test_a_layer_that_has_changed_on_disk_is_found(store: Store, change: str) -> None:
    """By `fsck`, even if its size is what it was; and it is made anew of its blob."""
    # `implicit` gets its times when it is unpacked, which is no difference.
    layer = archive(file("implicit/f", b"content"), symlink("soft", "f"), directory("d"))
    (image,) = await store.load(stream(docker_archive(["x:1"], layer)), lambda message: None)
    assert (await store.check()).problems == []
    found = Path(store.snapshots.layer_paths(image.top)[0], "implicit", "f")
    if change == "byte":
        times = os.stat(found)
        found.write_bytes(b"c0ntent")
        os.utime(found, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "mode":
        found.chmod(0o4755)
    else:
        (found.parent / "more").touch()
    (problem,) = (await store.check()).problems
    assert problem == (
        "damaged",
        f"layer {image.top}",
        "it holds something else than its blob",
        False,
    )
    (problem,) = (await store.check(repair=True)).problems
    assert problem.repaired
    assert (await store.check()).problems == []
    assert found.read_bytes() == b"content"
    await store.trash.empty()
    assert leftovers(store) == NOTHING


async def test_a_cancelled_load_leaves_nothing(store: Store) -> None:
    """The client goes away in the middle of the stream."""
    half = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield docker_archive(["x:1"], LOWER + bytes(300_000), UPPER)[:280_000]
        half.set()
        await asyncio.Event().wait()

    for act in (store.load(stalled(), print), store.import_rootfs(stalled())):
        half.clear()
        task = asyncio.ensure_future(act)
        await half.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert leftovers(store) == NOTHING
        assert store.images.list() == []


# import


async def test_import_makes_an_image_of_one_layer(store: Store) -> None:
    """Config, comment, history, platform and changes as dockerd's import has them."""
    image = await store.import_rootfs(
        stream(LOWER, 700),
        reference="mine:1",
        changes=["CMD sh", "ENV A=1"],
        platform="linux/arm64",
    )
    assert image.repo_tags == ["mine:1"]
    assert (image.config.os, image.config.architecture) == ("linux", "arm64")
    assert image.config.comment == "Imported from -"
    assert image.config.config.cmd == ["/bin/sh", "-c", "sh"]
    assert image.config.config.env == ["A=1"]
    assert [entry.comment for entry in store.images.history(image)] == ["Imported from -"]
    assert image.id == digest_of(image.raw_config)
    assert image.chain == (sha(LOWER),)
    assert image.size == 7000 + 15
    assert image.created.endswith("Z")
    assert leftovers(store) == NOTHING
    second = await store.import_rootfs(stream(LOWER), message="hello")
    assert (second.names, second.config.comment) == ((), "hello")
    assert second.config.architecture == host().architecture


@pytest.mark.parametrize(
    ("form", "media"), [("gzip", "+gzip"), ("zstd", "+zstd"), ("xz", ""), ("plain", "")]
)
async def test_import_keeps_bytes_that_have_a_media_type(
    store: Store, form: str, media: str
) -> None:
    """What came as gzip or zstd is what a push will send; the DiffID is that of the plain stream."""
    pack = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd.compress, "xz": lzma.compress}[form]
    packed = pack(LOWER)
    image = await store.import_rootfs(stream(packed))
    assert image.manifest is not None
    (layer,) = spec.parse_manifest(store.content.read(image.manifest)).layers
    assert layer.media_type == spec.OCI_LAYER + media
    assert layer.digest == sha(LOWER if form == "xz" else packed)
    assert image.config.rootfs.diff_ids == [sha(LOWER)]


@pytest.mark.parametrize(
    ("arguments", "data", "kind", "message"),
    [
        ({"reference": "UP"}, LOWER, InvalidParameter, "must be lowercase"),
        ({"reference": "a@" + sha(b"")}, LOWER, InvalidParameter, "cannot import digest reference"),
        ({"changes": ["RUN x"]}, LOWER, InvalidParameter, "run is not a valid change command"),
        ({"platform": "windows"}, LOWER, SampanError, "operating system is not supported"),
        ({"platform": "a/b/c/d"}, LOWER, InvalidParameter, "invalid argument"),
        ({}, b"x" * 5000, InvalidParameter, "invalid tar header"),
        ({}, LOWER[:3000], InvalidParameter, "unexpected EOF"),
        ({}, gzip.compress(LOWER)[:-9], InvalidParameter, "unexpected EOF"),
        ({}, lzma.compress(LOWER)[:-9], InvalidParameter, "unexpected EOF"),
        ({}, archive(link("a", "/etc/passwd")), InvalidParameter, 'cannot unpack "a"'),
    ],
)
async def test_bad_imports_leave_nothing(
    store: Store, arguments: dict[str, Any], data: bytes, kind: type[Exception], message: str
) -> None:
    """Bad words are refused before the stream is read, bad streams with what is wrong."""
    with pytest.raises(kind, match=message):
        await store.import_rootfs(stream(data), **arguments)
    assert store.images.list() == []
    assert leftovers(store) == NOTHING


async def test_a_bad_stream_is_not_read_to_its_end(store: Store) -> None:
    """An endless one ends when the worker has given up."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * (1 << 20)

    with pytest.raises(InvalidParameter, match="invalid tar header"):
        await asyncio.wait_for(store.import_rootfs(endless()), 20)
    assert leftovers(store) == NOTHING


# the built-in image


async def test_hello_world_is_built_in_once(tmp_path: Path, spawner: ForkingSpawner) -> None:
    """It is there after the first start, it runs, and after an rmi it does not come back."""
    store = open_store(str(tmp_path / "data"), spawner)
    await store.start()
    image = store.images.resolve("hello-world")
    assert image.config.config.cmd == ["/hello"]
    program = os.path.join(store.snapshots.layer_path(image.chain[0]), "hello")
    assert run(program).stdout == TEXT
    store.remove_image("hello-world", uses={})
    await store.close()
    store = open_store(str(tmp_path / "data"), spawner)
    await store.start()
    assert store.images.list() == []
    await store.trash.empty()
    assert leftovers(store) == NOTHING
    await store.close()
    other = open_store(str(tmp_path / "other"), spawner)
    await other.start()
    assert other.images.resolve("hello-world").id == image.id
    await other.close()


# copy-up


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_new_volume_gets_what_the_image_has(store: Store, layers: int) -> None:
    """Owners, modes, times, xattrs, hard links, devices, links; the folder's own metadata too."""
    whole = archive(directory("etc"))
    stack = [whole, UPPER] if layers == 2 else [UPPER]
    (image,) = await store.load(stream(docker_archive(["x:1"], *stack)), print)
    store.volumes.create("vol")
    await store.volumes.copy_up("vol", image.top, "/data")
    root = Path(store.volumes.mountpoint("vol"))
    assert sorted(os.listdir(root)) == ["hard", "null", "real", "soft", "sub"]
    found = root.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o1770, 3, 4)
    assert found.st_mtime_ns == (root / "sub").stat().st_mtime_ns == 10**18
    assert (root / "real").stat().st_ino == (root / "hard").stat().st_ino
    assert os.readlink(root / "soft") == "/etc"
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert (root / "sub" / "deep").read_bytes() == b"x"
    before = sorted(os.listdir(root))
    (root / "mine").write_text("x")
    await store.volumes.copy_up("vol", image.top, "/etc")
    assert sorted(os.listdir(root)) == sorted([*before, "mine"])


async def test_copy_up_of_files_with_everything(store: Store) -> None:
    """setuid and xattrs survive, from the lowest layer through the overlay."""
    (image,) = await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    store.volumes.create("vol")
    await store.volumes.copy_up("vol", image.top, "/hidden/../data/./")
    copied = Path(store.volumes.mountpoint("vol"), "file")
    assert (stat.S_IMODE(copied.stat().st_mode), copied.stat().st_uid) == (0o4755, 5)
    assert copied.read_bytes() == b"content" * 1000
    assert os.getxattr(copied, "user.note") == b"n"
    assert not [name for name in os.listxattr(copied.parent) if "overlay" in name]


@pytest.mark.parametrize("path", ["/nowhere", "/data/real", "/data/soft/x/y", "/"])
async def test_copy_up_of_what_is_no_folder(store: Store, path: str) -> None:
    """Nothing happens; and a link never leads to the host's files."""
    escape = archive(symlink("out", "/proc/self/root/etc"), symlink("up", "../../../../etc"))
    (image,) = await store.load(stream(docker_archive(["x:1"], UPPER, escape)), print)
    store.volumes.create("vol")
    for name in (path, "/out", "/up/passwd", "/out/ssl") if path != "/" else ("/up", "/"):
        await store.volumes.copy_up("vol", image.top, name)
        if name != "/":
            found = os.listdir(store.volumes.mountpoint("vol"))
            assert "passwd" not in found
    inside = set(os.listdir(store.volumes.mountpoint("vol")))
    assert inside in (set(), {"out", "up", "data", "etc", "hidden"})
