"""Folders become layers and tars: commit without a copy, copies, packing that is always the same, save, fsck."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.linux.kernel import LinuxKernel
from sampan.spec import image as spec
from sampan.spec.digest import Digest
from sampan.store import rebuild, save
from sampan.store.changes import OPAQUE, remove_places
from sampan.store.layer_pack import FolderPacker
from sampan.store.marks import ENVIRONMENT
from sampan.store.store import Store, open_store
from tests.archives import archive, directory, file
from tests.engines import wait_until
from tests.fakes.dying import commit_box
from tests.fakes.spawn import ForkingSpawner
from tests.kernel.test_load import LOWER, NOTHING, UPPER, docker_archive, leftovers, sha
from tests.stores import stream

MTIME = 1_700_000_000_123_456_789
# The digest of `a_tree`, packed as a layer: what was committed once must make the same tar for ever.
GOLDEN = "e2cc8f251cfb7adbc41ac6994482f702976ecc2155a795ec9243b1cbb073fe88"


@pytest.fixture
def spawner() -> Iterator[ForkingSpawner]:
    spawner = ForkingSpawner()
    yield spawner
    spawner.close()


@pytest.fixture
async def store(tmp_path: Path, spawner: ForkingSpawner) -> AsyncIterator[Store]:
    store = open_store(str(tmp_path / "data"), spawner)
    await store.start()
    store.remove_image("hello-world", uses={})
    yield store
    await store.close()


def a_tree(top: Path) -> None:
    """One of everything that overlayfs leaves in a writable layer."""
    os.chmod(top, 0o755)
    (top / "folder").mkdir(0o750)
    (top / "folder" / "file").write_bytes(b"x" * 70_000)
    os.link(top / "folder" / "file", top / "folder" / "link")
    (top / "opaque").mkdir()
    os.setxattr(top / "opaque", OPAQUE, b"y")
    os.setxattr(top / "folder" / "file", "user.note", b"\x00\xff")
    os.setxattr(top / "folder" / "file", "trusted.overlay.origin", b"gone")
    os.symlink("folder/file", top / "soft")
    os.mknod(top / "gone", stat.S_IFCHR, 0)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkfifo(top / "fifo", 0o600)
    os.mknod(top / "socket", stat.S_IFSOCK | 0o600)
    (top / ("n" * 120)).write_bytes(b"a long name")
    os.chown(top / "folder" / "file", 3_000_000, 5)
    os.chmod(top / "folder" / "file", 0o4755)
    for path in sorted(top.rglob("*"), reverse=True):
        os.utime(path, ns=(MTIME, MTIME), follow_symlinks=False)


def packed(top: Path, *, layer: bool) -> bytes:
    out = bytearray()
    fd = os.open(top, os.O_RDONLY)
    try:
        FolderPacker(LinuxKernel(), fd, out.extend, layer=layer).run()
    finally:
        os.close(fd)
    return bytes(out)


def test_a_layer_is_packed_as_oci_says_and_always_the_same(tmp_path: Path) -> None:
    """Whiteouts, opaque marks, links, owners, xattrs and times; the same bytes for ever."""
    (tmp_path / "tree").mkdir()
    a_tree(tmp_path / "tree")
    data = packed(tmp_path / "tree", layer=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
    assert list(members) == [
        *("fifo", "folder", ".wh.gone", "n" * 120, "null", "opaque", "soft"),
        *("folder/file", "folder/link", "opaque/.wh..wh..opq"),
    ]
    held = members["folder/file"]
    assert (held.size, held.mode, held.uid, held.gid) == (70_000, 0o4755, 3_000_000, 5)
    assert held.pax_headers["mtime"] == "1700000000.123456789"
    assert [key for key in held.pax_headers if "xattr" in key] == ["SCHILY.xattr.user.note"]
    assert members["folder/link"].linkname == "folder/file"
    assert (members["null"].devmajor, members["null"].devminor) == (1, 3)
    assert (members[".wh.gone"].size, members[".wh.gone"].mtime) == (0, 0)
    assert hashlib.sha256(data).hexdigest() == GOLDEN
    os.chmod(tmp_path / "tree", 0o700)
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path / "tree", layer=True))) as tar:
        assert tar.next().mode == 0o700  # type: ignore[union-attr]


def test_what_a_layer_cannot_say_is_refused(tmp_path: Path) -> None:
    """A file that would be taken for a whiteout, and what overlayfs keeps in another place."""
    from sampan.errors import ProtocolError

    (tmp_path / ".wh.fake").write_text("")
    with pytest.raises(ProtocolError, match=r"begins with .wh."):
        packed(tmp_path, layer=True)
    assert b".wh.fake" in packed(tmp_path, layer=False)
    (tmp_path / ".wh.fake").unlink()
    (tmp_path / "moved").mkdir()
    os.setxattr(tmp_path / "moved", "trusted.overlay.redirect", b"/old")
    with pytest.raises(ProtocolError, match="redirect"):
        packed(tmp_path, layer=True)


def test_places_of_the_runtime_are_no_changes(tmp_path: Path) -> None:
    """What was made to mount on goes, unless the image has it too or somebody has put something in."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for folder in (
        "upper/etc",
        "upper/dev/shm",
        "upper/proc",
        "upper/sys",
        "lower/etc",
        "lower/sys",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf"):
        (upper / "etc" / name).touch()
    (lower / "etc" / "hosts").touch()
    (upper / "etc" / "hostname").write_text("mine")
    (upper / ".dockerenv").touch()
    (upper / "etc" / "mtab").symlink_to("/proc/mounts")
    fds = [os.open(folder, os.O_RDONLY) for folder in (upper, lower)]
    try:
        remove_places(LinuxKernel(), *fds)
    finally:
        for fd in fds:
            os.close(fd)
    left = sorted(str(path.relative_to(upper)) for path in upper.rglob("*"))
    assert left == ["etc", "etc/hostname", "etc/hosts", "sys"]


async def committed(store: Store, *, copy: bool = False) -> Any:
    old = await store.import_rootfs(
        stream(archive(directory("old"), file("old/f", b"1"))), reference="old:1"
    )
    store.snapshots.prepare("box", old.top)
    a_tree(Path(store.snapshots.upper_path("box")))
    return await commit_box(store, "new:1", copy=copy)


@pytest.mark.parametrize("copy", [False, True])
async def test_a_commit(store: Store, copy: bool) -> None:
    """One layer more, nothing but the folder on the disk; without a copy it is the container's own inode."""
    old = await store.import_rootfs(stream(archive(directory("old"))), reference="old:1")
    store.snapshots.prepare("box", old.top)
    own = Path(store.snapshots.upper_path("box"))
    a_tree(own)
    inode = os.stat(own / "folder" / "file").st_ino
    image = await commit_box(store, "new:1", copy=copy)
    layer = Path(store.snapshots.layer_path(image.chain[-1]))
    assert (os.stat(layer / "folder" / "file").st_ino == inode) is not copy
    assert image.chain[:-1] == old.chain
    assert image.parent == old.id
    assert image.config.rootfs.diff_ids[-1] == f"sha256:{GOLDEN}"
    assert leftovers(store) == NOTHING
    assert not store.content.has(Digest(f"sha256:{GOLDEN}"))
    assert (await store.check()).problems == []
    assert os.getxattr(layer / "opaque", OPAQUE) == b"y"
    usage = await store.snapshots.usage("box")
    assert usage.size == 70_000 + len("a long name") + len("folder/file")
    if not copy:
        assert usage.disk == 0
        await store.snapshots.unshare("box")
        assert os.stat(own / "folder" / "file").st_ino != inode
    (own / ENVIRONMENT).unlink()  # which is no part of a layer
    assert packed(own, layer=True) == packed(layer, layer=True)
    again = await commit_box(store, "new:2", copy=copy)
    assert again.chain == image.chain


async def test_a_layer_goes_when_nobody_needs_it(store: Store) -> None:
    """The container keeps what it wrote when the image is removed, and takes it along when it goes itself."""
    image = await committed(store)
    store.remove_image("new:1", uses={})
    assert Path(store.snapshots.upper_path("box"), "folder", "file").exists()
    assert store.snapshots.has_layer(image.chain[-1])
    store.snapshots.remove("box")
    store.collect()
    assert not store.snapshots.has_layer(image.chain[-1])
    assert leftovers(store) == NOTHING


async def test_nothing_written_is_no_layer(store: Store) -> None:
    """The image has the layers of its parent, and a step more in its history."""
    old = await store.import_rootfs(stream(archive(directory("old"))), reference="old:1")
    store.snapshots.prepare("box", old.top)
    image = await commit_box(store, "new:1", copy=False)
    assert image.chain == old.chain
    assert [step.empty_layer for step in image.config.history] == [False, True]


async def saved(store: Store, *names: str) -> bytes:
    with store.leases.open() as lease:
        return b"".join([c async for c in save.save(store, save.choose(store, names), lease)])


async def test_save_and_load_keep_every_digest(
    store: Store, tmp_path: Path, spawner: ForkingSpawner
) -> None:
    """Config, manifest and layers are the same on the other side; what is saved there is the same archive."""
    image = await committed(store)
    await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    data = await saved(store, "new:1", "x:1", "old:1")
    assert leftovers(store) == NOTHING
    other = open_store(str(tmp_path / "other"), spawner)
    try:
        names = [name for each in await other.load(stream(data), print) for name in each.repo_tags]
        assert sorted(names) == ["new:1", "old:1", "x:1"]
        there = other.images.resolve("new:1")
        assert (there.id, there.manifest) == (image.id, image.manifest)
        assert await saved(other, "new:1", "x:1", "old:1") == data
        tops = [Path(s.snapshots.layer_path(image.chain[-1])) for s in (store, other)]
        assert packed(tops[0], layer=True) == packed(tops[1], layer=True)
        assert (await other.check()).problems == []
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert tar.getnames()[:3] == ["manifest.json", "index.json", "oci-layout"]
            index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
        assert [d["annotations"]["io.containerd.image.name"] for d in index["manifests"]] == [
            f"docker.io/library/{name}" for name in ("new:1", "x:1", "old:1")
        ]
    finally:
        await other.close()


async def test_what_save_means_by_a_name(store: Store) -> None:
    """An id has no names, a repository all of its tags; what is not there is refused."""
    image = await committed(store)
    store.tag("new:1", repo="repo", tag="b")
    store.tag("old:1", repo="repo", tag="a")
    assert [list(c.references) for c in save.choose(store, [image.id])] == [[]]
    assert [list(c.references) for c in save.choose(store, [image.id[7:20]])] == [[]]
    both = save.choose(store, ["repo", "new:1"])
    names = {c.image.id: [r.familiar() for r in c.references] for c in both}
    assert names == {store.images.resolve("old:1").id: ["repo:a"], image.id: ["repo:b", "new:1"]}
    for name in ("nosuch", "nosuch:1", "f" * 12):
        with pytest.raises(NotFound, match="reference does not exist"):
            save.choose(store, [name])
    with pytest.raises(InvalidParameter):
        save.choose(store, ["Bad"])


async def test_a_layer_that_was_changed_is_not_sent(store: Store) -> None:
    """The bytes come, and then the error: nobody takes them for the layer."""
    image = await committed(store)
    layer = store.snapshots.layer(image.chain[-1])
    assert layer is not None
    folder = Path(store.snapshots.layer_path(layer.chain))
    (folder / "folder" / "file").write_bytes(b"y" * 70_000)
    with pytest.raises(SampanError, match="has been changed on disk"):
        await saved(store, "new:1")
    with store.leases.open() as lease, pytest.raises(SampanError, match="changed on disk"):
        await rebuild.keep_layer(store, layer.diff, lease)
    assert leftovers(store) == NOTHING
    (problem,) = (await store.check(repair=True)).problems
    assert (problem.kind, problem.thing) == ("damaged", f"layer {layer.chain}")


async def test_a_push_gets_the_blob_for_as_long_as_it_takes(store: Store) -> None:
    """Made from the folder, and collected when the lease ends."""
    image = await committed(store)
    digest = Digest(image.config.rootfs.diff_ids[-1])
    with store.leases.open() as lease:
        await asyncio.gather(*(rebuild.keep_layer(store, digest, lease) for _ in range(3)))
        store.collect()
        assert store.content.read(digest)[:1]
    store.collect()
    assert not store.content.has(digest)


async def test_export_is_the_whole_file_system(store: Store) -> None:
    """Lower layers and the container's own, whiteouts applied, opaque folders empty."""
    below = archive(
        file("gone", b"1"), directory("opaque"), file("opaque/old", b"1"), file("kept", b"2")
    )
    old = await store.import_rootfs(stream(below), reference="old:1")
    store.snapshots.prepare("box", old.top)
    a_tree(Path(store.snapshots.upper_path("box")))
    folders = [store.snapshots.upper_path("box"), *store.snapshots.layer_paths(old.top)]
    async with aclosing(rebuild.packed(store.spawn, folders, layer=False)) as pieces:
        data = b"".join([piece async for piece in pieces])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = set(tar.getnames())
    assert names == {
        *(
            "fifo",
            "folder",
            "n" * 120,
            "null",
            "opaque",
            "soft",
            "folder/file",
            "folder/link",
            "kept",
            ENVIRONMENT,
        ),
    }


async def test_a_reader_that_goes_away_ends_the_worker(
    store: Store, spawner: ForkingSpawner
) -> None:
    """Nobody packs for nobody."""
    image = await committed(store)
    folder = Path(store.snapshots.layer_path(image.chain[-1]))
    os.truncate(folder / "folder" / "file", 1 << 40)  # more than anybody reads
    pieces = rebuild.packed(store.spawn, [str(folder)], layer=True)
    await anext(pieces)
    running = {pid for pid in spawner.pids if _runs(pid)}
    assert running
    await pieces.aclose()
    await asyncio.to_thread(wait_until, lambda: not any(map(_runs, running)), "the worker to end")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_fsck_names_and_mends(store: Store) -> None:
    """Each kind of fault is told once, repaired where it can be, and not told again after that."""
    image = await committed(store)
    (loaded,) = await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    blobs = Path(store.data_root, "content", "blobs", "sha256")
    top = Path(store.snapshots.layer_path(loaded.chain[-1]))
    shutil.rmtree(top / "data")
    shutil.rmtree(Path(store.snapshots.layer_path(loaded.chain[0])).parent)
    lower = blobs / sha(LOWER)[7:]
    stray, folder = blobs / ("a" * 64), Path(store.data_root, "snapshots", "b" * 64)
    stray.write_bytes(b"?")
    folder.mkdir()
    report = await store.check()
    found = {(problem.kind, problem.thing.partition(" ")[0]) for problem in report.problems}
    assert found == {
        *(("damaged", "layer"), ("missing", "layer"), ("damaged", "blob")),
        ("unreferenced", "folder"),
    }
    assert not any(problem.repaired for problem in report.problems)
    report = await store.check(repair=True)
    assert all(problem.repaired for problem in report.problems), report
    assert not stray.exists()
    assert not folder.exists()
    assert (top / "data" / "sub" / "deep").exists()
    assert (await store.check()).problems == []
    os.chmod(lower, 0o600)
    lower.write_bytes(b"damaged")
    (problem,) = (await store.check(repair=True)).problems
    assert problem.thing == f"blob {sha(LOWER)}"
    assert not problem.repaired
    assert "pull or load" in problem.detail
    (problem,) = (await store.check()).problems
    assert problem.kind == "missing"
    await store.load(stream(docker_archive(["x:1"], LOWER, UPPER)), print)
    assert (await store.check()).problems == []
    assert spec.parse_manifest(store.content.read(image.manifest)).layers
