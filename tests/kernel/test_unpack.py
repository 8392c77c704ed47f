"""Layers are unpacked in overlayfs's form by a real worker, and hostile ones change nothing outside their folder.

Every hostile archive goes three ways: through the worker (chroot and all), through the applier alone (so that
the descriptor work is shown to hold without the chroot), and, as a negative control, through tarfile without
a filter, which must change the canary at least once, or the canary would prove nothing.
"""

from __future__ import annotations

import asyncio
import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import InvalidParameter, ProtocolError
from sampan.linux.kernel import LinuxKernel
from sampan.store import intake
from sampan.store.apply import Applier, clean
from sampan.store.decompress import zstd
from sampan.store.store import Store, open_store
from sampan.store.tree import Remover
from sampan.store.unpack import Unpacked
from sampan.wire import tar
from sampan.wire.tar import TarReader
from tests.archives import Entry, archive, directory, file, link, node, symlink
from tests.fakes.spawn import ForkingSpawner


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Emptied by our own remover: pytest's cannot remove the deep trees that are made here."""
    yield tmp_path
    bench = os.open(tmp_path, os.O_RDONLY)
    for name in os.listdir(bench):
        Remover(bench).remove(bench, os.fsencode(name))
    os.close(bench)


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


async def unpack(
    store: Store, data: bytes, stage: str | None = None, *, base: bool = False
) -> tuple[Unpacked, Path]:
    """What the worker answers for a stream, and the folder it made."""
    stage = stage or store.snapshots.stage()
    source = os.path.join(store.data_root, "stream")
    with open(source, "wb") as opened:
        opened.write(data)
    fd = os.open(source, os.O_RDONLY)
    try:
        async with store.unpacker.job(fd, stage, base=base) as job:
            return await job.result(), Path(stage, "fs")
    finally:
        os.close(fd)


def apply(data: bytes, folder: Path) -> None:
    """The applier alone, in this process and its root."""
    mask = os.umask(0)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        applier = Applier(LinuxKernel(), fd, reserve=0, base=False)
        intake.feed(TarReader(), applier, data)
        applier.finish()
    finally:
        os.umask(mask)
        os.close(fd)
        os.chdir("/")


# What legitimate archives become


async def test_every_type_with_its_metadata(store: Store) -> None:
    """Owner, mode with its upper bits, times in nanoseconds, xattrs and file capabilities, devices, links."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    xattrs = {b"security.capability": capability, b"trusted.note": b"n", b"user.note": b"u"}
    when = 1_234_567_890_123_456_789
    data = archive(
        directory("./", 0o700, uid=1, gid=2, mtime_ns=when),
        directory("d", 0o2751, uid=3, gid=4, mtime_ns=when),
        file("d/f", b"hello", 0o6755, uid=5, gid=6, mtime_ns=when, xattrs=xattrs),
        file("empty", mode=0o600),
        link("d/hard", "d/f"),
        symlink("d/soft", "/nowhere", uid=7, gid=8, mtime_ns=when),
        node("null", tar.CHARACTER, 1, 3, 0o666),
        node("disk", tar.BLOCK_DEVICE, 259, 70_000),
        node("pipe", tar.FIFO, mode=0o622),
        file("implicit/deep/file", b"x"),
    )
    unpacked, root = await unpack(store, data)
    assert unpacked.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()
    assert unpacked.entries == 10
    assert unpacked.size == len("hello") + len("/nowhere") + 1

    def check(name: str, kind: int, mode: int, uid: int, gid: int, mtime: int | None) -> None:
        found = os.lstat(root / name)
        assert (stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode)) == (kind, mode), name
        assert (found.st_uid, found.st_gid) == (uid, gid), name
        assert mtime is None or found.st_mtime_ns == mtime, name

    check(".", stat.S_IFDIR, 0o700, 1, 2, when)
    check("d", stat.S_IFDIR, 0o2751, 3, 4, when)
    check("d/f", stat.S_IFREG, 0o6755, 5, 6, when)
    check("d/soft", stat.S_IFLNK, 0o777, 7, 8, when)
    check("null", stat.S_IFCHR, 0o666, 0, 0, 0)
    check("disk", stat.S_IFBLK, 0o600, 0, 0, 0)
    check("pipe", stat.S_IFIFO, 0o622, 0, 0, 0)
    check("implicit/deep", stat.S_IFDIR, 0o755, 0, 0, None)
    assert os.lstat(root / "null").st_rdev == os.makedev(1, 3)
    assert os.lstat(root / "disk").st_rdev == os.makedev(259, 70_000)
    assert os.stat(root / "d/f").st_ino == os.stat(root / "d/hard").st_ino
    assert os.getxattr(root / "d/f", "security.capability") == capability
    assert os.getxattr(root / "d/f", "trusted.note") == b"n"
    assert (root / "d/f").read_bytes() == b"hello"


async def test_files_do_not_inherit_from_setgid_folders(store: Store) -> None:
    """The archive says the owner, whatever the folder above is."""
    _, root = await unpack(
        store, archive(directory("d", 0o2755, gid=50), file("d/f"), directory("d/e"))
    )
    assert os.stat(root / "d/f").st_gid == os.stat(root / "d/e").st_gid == 0


@pytest.mark.parametrize("form", ["gzip", "two gzips", "zstd", "xz", "bzip2", "plain"])
async def test_compressions(store: Store, form: str) -> None:
    """The DiffID is that of the plain stream, in every form."""
    plain = archive(file("f", os.urandom(300_000)), directory("d"))
    packed = {
        "gzip": gzip.compress(plain, 1),
        "two gzips": gzip.compress(plain[:5000], 1) + gzip.compress(plain[5000:], 1),
        "zstd": zstd.compress(plain),
        "xz": lzma.compress(plain, preset=0),
        "bzip2": bz2.compress(plain, 1),
        "plain": plain,
    }[form]
    unpacked, root = await unpack(store, packed)
    assert unpacked.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest()
    assert sorted(os.listdir(root)) == ["d", "f"]


async def test_trailing_bytes_belong_to_the_diff_id(store: Store) -> None:
    """What follows the end mark is no entry, but part of what was hashed by whoever made the layer."""
    data = archive(file("f")) + b"trailing" * 1000
    unpacked, _ = await unpack(store, data)
    assert unpacked.diff_id == "sha256:" + hashlib.sha256(data).hexdigest()


def is_whiteout(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


async def test_whiteouts(store: Store) -> None:
    """Docker's names become overlayfs's devices and marks; AUFS's own files vanish."""
    _, root = await unpack(
        store,
        archive(
            file(".wh.gone"),
            directory("d"),
            file("d/.wh.file"),
            directory("opaque"),
            file("opaque/.wh..wh..opq"),
            file("opaque/kept"),
            file(".wh..wh.plnk/1.2", b"x"),
            file("d/.wh..wh.aufs"),
            file("implicit/.wh.x", b"content of a whiteout is dropped"),
        ),
    )
    assert is_whiteout(root / "gone")
    assert is_whiteout(root / "d/file")
    assert is_whiteout(root / "implicit/x")
    assert is_opaque(root / "opaque")
    assert os.getxattr(root / "opaque", "trusted.overlay.opaque") == b"y"
    assert os.listdir(root / "opaque") == ["kept"]
    assert not is_opaque(root / "d")
    assert os.listdir(root / "d") == ["file"]


async def test_whiteouts_of_a_base_layer_mean_nothing(store: Store) -> None:
    """overlayfs would list them in folders that no other layer has."""
    data = archive(file(".wh.gone"), directory("d"), file("d/.wh..wh..opq"), file("d/.wh.x"))
    _, root = await unpack(store, data, base=True)
    assert os.listdir(root) == ["d"]
    assert os.listdir(root / "d") == []
    assert not is_opaque(root / "d")
    with pytest.raises(InvalidParameter, match="invalid whiteout"):
        await unpack(store, archive(file(".wh..")), base=True)


async def test_whiteouts_mean_lower_layers_only(store: Store) -> None:
    """What the same layer brings stays, in either order; a folder of it hides what is below."""
    before = [file(".wh.f"), file(".wh.d"), file(".wh.l")]
    after = [file("f", b"x"), directory("d"), file("d/inner"), symlink("l", "f")]
    for entries in ([*before, *after], [*after, *before]):
        _, root = await unpack(store, archive(*entries))
        assert (root / "f").read_bytes() == b"x"
        assert is_opaque(root / "d")
        assert os.listdir(root / "d") == ["inner"]
        assert os.readlink(root / "l") == "f"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([file("a", b"1"), file("./a", b"2")], "file 2"),
        ([file("a", b"1"), directory("a"), file("a/f")], "folder f"),
        ([directory("a"), file("a/f"), file("a/g/h"), file("a", b"2")], "file 2"),
        ([directory("a", 0o700), file("a/f"), directory("a", 0o755), file("a/g")], "folder f g"),
        ([symlink("a", "/x"), file("a", b"2")], "file 2"),
        ([directory("a"), file("a/f"), symlink("a", "/x")], "link /x"),
        ([file("a", b"1"), node("a", tar.CHARACTER, 1, 3), file("a", b"2")], "file 2"),
        ([file("b", b"2"), file("a", b"1"), link("a", "b")], "file 2"),
        ([file("a", b"1"), link("a", "a")], "file 1"),
        ([directory("a"), file("a/f"), file("b", b"2"), link("a", "b")], "file 2"),
    ],
)  # fmt: skip
async def test_the_last_entry_of_a_name_wins(
    store: Store, entries: list[Entry], expected: str
) -> None:
    """Files over folders, folders over links, the same under two spellings."""
    unpacked, root = await unpack(store, archive(*entries))
    path = root / "a"
    kind, *rest = expected.split()
    if kind == "file":
        assert path.read_text() == rest[0]
        assert not path.is_symlink()
    elif kind == "link":
        assert os.readlink(path) == rest[0]
    else:
        assert sorted(os.listdir(path)) == rest
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert not [name for name in os.listdir(root) if name.startswith(".rm")]
    size = sum(len(p.read_bytes()) for p in {os.stat(p).st_ino: p for p in root.rglob("*")
               if p.is_file() and not p.is_symlink()}.values())  # fmt: skip
    assert unpacked.size == size + (2 if kind == "link" else 0)


async def test_foreign_xattrs_are_not_written(store: Store) -> None:
    """overlayfs's own could redirect to other layers; labels are another machine's policy."""
    names = [
        *("trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy"),
        *("user.overlay.redirect", "security.ima", "security.evm", "security.selinux"),
    ]
    xattrs = {name.encode(): b"y" for name in names} | {b"trusted.kept": b"1", b"bogus": b"1"}
    _, root = await unpack(
        store,
        archive(
            directory("d", xattrs=xattrs),
            file("f", xattrs=xattrs),
            symlink("l", "f", xattrs=xattrs),
            node("whiteout", tar.CHARACTER, 0, 0),
        ),
    )
    for name in ("d", "f", "l"):
        found = os.listxattr(root / name, follow_symlinks=False)
        assert "trusted.kept" in found
        assert not set(names) & set(found)
    assert not os.path.lexists(root / "whiteout")


# What hostile archives become


def canary_state(folder: Path) -> dict[str, Any]:
    """Everything about a tree that an escape could change."""
    state: dict[str, Any] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        found = os.lstat(path)
        content = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
        state[str(path)] = (
            *(found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_nlink),
            *(content, sorted(os.listxattr(path, follow_symlinks=False))),
        )
    return state


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A tree beside everything; the test fails when it is not the same afterwards."""
    folder = tmp_path / "canary"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "passwd").write_text("root")
    (folder / "perm400").write_text("...")
    (folder / "perm400").chmod(0o400)
    (folder / "sub").mkdir()
    before = canary_state(folder)
    yield folder
    assert canary_state(folder) == before


ETC = [directory("etc", 0o770), file("/etc/passwd", b"inside")]
Check = Callable[[Path], bool]


def same(first: str, second: str) -> Check:
    return lambda root: os.path.samefile(root / first, root / second)


def reads(name: str, data: bytes) -> Check:
    return lambda root: (root / name).read_bytes() == data


def same_link(first: str, second: str) -> Check:
    return lambda root: os.readlink(root / first) == os.readlink(root / second)


UP = "../" * 12

# name → entries (with {c} for the canary's path), and what must hold in the folder; None: refused.
BREAKOUTS: dict[str, tuple[list[Entry], Check | None]] = {
    "absolute link then through it": (
        [directory("etc"), symlink("local", "/etc"), file("/local/unbroken", b"x")],
        reads("etc/unbroken", b"x"),
    ),
    "link up and out": (
        [directory("etc"), directory("dummy"), symlink("l", "/dummy/../etc"), file("l/u", b"x")],
        reads("etc/u", b"x"),
    ),
    "link over link, absolute": (
        [directory("etc"), directory("dummy"), symlink("/dummy/etc", "/etc"),
         symlink("local", "/dummy/etc"), file("/dummy/etc/u", b"x"), file("local/v", b"y")],
        lambda root: reads("etc/u", b"x")(root) and reads("etc/v", b"y")(root),
    ),
    "link over link, relative": (
        [directory("etc"), directory("dummy"), symlink("/dummy/etc", "/etc"),
         symlink("local", "./dummy/etc"), file("/dummy/etc/u", b"x")],
        reads("etc/u", b"x"),
    ),
    "file emptied through a link": (
        [directory("etc"), file("etc/e", b"full"), symlink("l", "/etc"), file("/l/e")],
        reads("etc/e", b""),
    ),
    "hard link through a relative link": (
        [*ETC, directory("b"), symlink("b/d1", "../../etc"), link("b/mine", "/b/d1/passwd")],
        same("b/mine", "etc/passwd"),
    ),
    "hard link down and out": (
        [*ETC, directory("b"), directory("down"), symlink("b/d1", "../down/../../etc"),
         link("b/mine", "/b/d1/passwd")],
        same("b/mine", "etc/passwd"),
    ),
    "hard link through an absolute link": (
        [*ETC, symlink("l", "/etc"), link("mine", "/l/passwd")], same("mine", "etc/passwd")),
    "hard link through a long relative link": (
        [*ETC, symlink("l", UP + "etc"), link("mine", "/l/passwd")], same("mine", "etc/passwd")),
    "hard link up and out": (
        [*ETC, symlink("l", "up/../../../etc"), directory("up"), link("mine", "/l/passwd")],
        same("mine", "etc/passwd"),
    ),
    "hard link with dots": ([*ETC, link("mine", UP + "etc/passwd")], same("mine", "etc/passwd")),
    "hard link absolute": ([*ETC, link("mine", "/etc/passwd")], same("mine", "etc/passwd")),
    "link called ..": (
        [*ETC, symlink("..", "/etc/"), link("mine", "/etc/passwd")], same("mine", "etc/passwd")),
    "link without a name": (
        [*ETC, symlink("", "/etc/"), link("mine", "/etc/passwd")], same("mine", "etc/passwd")),
    "link to the parent": (
        [*ETC, symlink("local/sub/..", "/etc/"), link("/local/mine", "/etc/passwd")],
        same("etc/mine", "etc/passwd"),
    ),
    "folder with a slash": (
        [*ETC, directory("local/", 0o770), link("/local/mine", "/etc/passwd")],
        same("local/mine", "etc/passwd"),
    ),
    "link over a folder": (
        [*ETC, directory("local"), symlink("local", "/etc"), link("/local/mine", "/etc/passwd")],
        same("etc/mine", "etc/passwd"),
    ),
    "link over a folder, relative": (
        [*ETC, directory("local"), symlink("local", "../../etc"), link("/local/m", "/etc/passwd")],
        same("etc/m", "etc/passwd"),
    ),
    "folder over a link": (
        [*ETC, symlink("local", "/etc"), directory("/local/"), link("/local/m", "/etc/passwd")],
        lambda root: not (root / "local").is_symlink() and same("local/m", "etc/passwd")(root),
    ),
    "folder over a link with a hard link": (
        [*ETC, symlink("local", "etc"), link("/local/mine", "/etc/passwd"), directory("/local/"),
         file("/local/mine", b"different")],
        lambda root: not same("local/mine", "etc/passwd")(root)
        and reads("etc/passwd", b"inside")(root),
    ),
    "whiteout of the parent of the root": ([*ETC, file(".wh...")], None),
    "whiteout of a parent": ([*ETC, file("etc/.wh...")], None),
    "whiteout of the root": ([*ETC, file(".wh..")], None),
    "whiteout of the current folder": ([*ETC, file("etc/.wh..")], None),
    "whiteout of nothing": ([*ETC, file(".wh.")], None),
    "whiteout of a link": (
        [*ETC, symlink("local", "/etc"), file(".wh.local")],
        lambda root: reads("etc/passwd", b"inside")(root) and os.readlink(root / "local") == "/etc",
    ),
    "whiteout through a link": (
        [*ETC, symlink("local", "/etc"), file("local/.wh.gone")],
        lambda root: is_whiteout(root / "etc/gone"),
    ),
    "whiteout as a folder": (
        [*ETC, file(".wh.etc/some", b"x")], reads(".wh.etc/some", b"x")),
    "whiteout behind a dead link": (
        [*ETC, symlink("local", "/dne"), file("local/.wh.etc")], reads("etc/passwd", b"inside")),
    "whiteout with dots": (
        [file("dne/../.wh.etc")], lambda root: is_whiteout(root / "etc")),
    "hard link to a link, target later": (
        [directory("etc", 0o770), symlink("lp", "/etc/passwd"), link("dup", "lp"),
         file("/etc/passwd", b"after")],
        same_link("dup", "lp"),
    ),
    "hard link to a relative link": (
        [*ETC, symlink("pl", UP + "etc/passwd"), link("mine", "/pl")], same_link("mine", "pl")),
    "hard link to an absolute link": (
        [*ETC, symlink("pl", "/etc/passwd"), link("mine", "/pl")], same_link("mine", "pl")),
    "chmod through a hard link": (
        [symlink("{c}/sketchy", "{c}/perm400"), link("mine", "{c}/sketchy")],
        lambda root: (root / "mine").is_symlink(),
    ),
    # ours
    "dots": ([file(UP + "{c}/etc/new", b"x"), file("{c}/etc/new2", b"x")], lambda root: True),
    "absolute over the canary": ([file("{c}/etc/passwd", b"x")], lambda root: True),
    "link to the canary then through it": (
        [symlink("out", "{c}"), file("out/etc/passwd", b"x"), directory("out/new")],
        lambda root: True,
    ),
    "relative link to the canary": (
        [symlink("out", UP + "{c}"), file("out/etc/passwd", b"x"), directory("out/sub", 0o777)],
        lambda root: True,
    ),
    "link chain to the canary": (
        [symlink("a", "{c}"), symlink("b", "a/etc"), symlink("c", "b"), file("c/passwd", b"x")],
        lambda root: True,
    ),
    "folder over a link to the canary": (
        [symlink("out", "{c}/sub"), directory("out", 0o777, uid=7, gid=7)],
        lambda root: not (root / "out").is_symlink(),
    ),
    "file over a link to the canary": (
        [symlink("out", "{c}/etc/passwd"), file("out", b"x", 0o4777, uid=7)],
        reads("out", b"x"),
    ),
    "opaque through a link": ([symlink("out", "{c}/sub"), file("out/.wh..wh..opq")], lambda root: True),
    "device through a link": (
        [symlink("out", "{c}/sub"), node("out/null", tar.CHARACTER, 1, 3)], lambda root: True),
    "xattr on a link to the canary": (
        [symlink("out", "{c}/etc/passwd", xattrs={b"trusted.x": b"1"})],
        lambda root: (root / "out").is_symlink(),
    ),
    "hard link to the canary": ([link("mine", "{c}/etc/passwd")], None),
    "hard link to the canary with dots": ([link("mine", UP + "{c}/etc/passwd")], None),
    "hard link through a link to the canary": (
        [symlink("out", "{c}"), link("mine", "out/etc/passwd")], None),
    "hard link forward": ([link("mine", "later"), file("later")], None),
    "hard link to a folder": ([directory("d"), link("mine", "d")], None),
    "hard link to the root": ([link("mine", "/")], None),
    "hard link in place of its folder": ([file("d/f"), link("d", "d/f")], None),
    "link to itself": ([symlink("l", "l"), file("l/f")], None),
    "file below a file": ([file("f"), file("f/g")], None),
    "component too long": ([file("n" * 300)], None),
    "too deep": ([file("d/" * 2100 + "f")], None),
    "deep": ([file("d/" * 2000 + "f", b"x")], lambda root: (root / "d").is_dir()),
    "root as a link": ([symlink("/", "{c}"), file("f", b"x")], reads("f", b"x")),
    "root as a file": ([file("./", b"x"), file("f", b"x")], reads("f", b"x")),
    "unknown type": ([node("x", b"Z")], None),
    "xattr too large": ([file("f", xattrs={b"trusted.x": b"x" * 65537})], None),
    "xattr without a name": ([file("f", xattrs={b"trusted.": b"x"})], None),
    "empty link": ([symlink("l", "")], None),
    "names in no encoding": (
        [file(b"\xff\xfe", b"x"), directory(b"new\nline"), symlink(b"\xff2", b"\xff")],
        lambda root: len(os.listdir(os.fsencode(root))) == 3,
    ),
}  # fmt: skip


def at(canary: Path, entries: list[Entry]) -> bytes:
    """The archive with the canary's path put in."""
    pieces = []
    for header, data in entries:
        name = header.name.replace(b"{c}", os.fsencode(canary))
        target = header.linkname.replace(b"{c}", os.fsencode(canary))
        copy = tar.Header(name, header.type, linkname=target, size=header.size, mode=header.mode)
        copy.uid, copy.gid, copy.xattrs = header.uid, header.gid, header.xattrs
        copy.major, copy.minor = header.major, header.minor
        pieces.append((copy, data))
    return archive(*pieces)


@pytest.mark.parametrize("name", BREAKOUTS)
async def test_breakouts(store: Store, canary: Path, tmp_path: Path, name: str) -> None:
    """Contained or refused, with the same outcome in both ways; the canary is the same."""
    entries, check = BREAKOUTS[name]
    data = at(canary, entries)
    alone = tmp_path / "alone"
    alone.mkdir()
    if check is None:
        with pytest.raises(InvalidParameter):
            await unpack(store, data)
        with pytest.raises((ProtocolError, OSError)):
            apply(data, alone)
        return
    _, root = await unpack(store, data)
    assert check(root)
    apply(data, alone)
    assert check(alone)


def extract_naively(data: bytes, target: Path) -> None:
    """As one who trusts names would: whatever fails is left out."""
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        opened.extraction_filter = staticmethod(lambda member, path: member)  # type: ignore[method-assign,assignment]
        for member in opened:
            try:
                opened.extract(member, target)
            except (OSError, KeyError, RecursionError, tarfile.TarError):
                pass


def in_jail(jail: Path, work: Callable[[], None]) -> None:
    """Run it in a child whose root is that folder: what it breaks out to is inside."""
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        return
    try:
        os.chroot(jail)
        os.chdir("/")
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """Negative control: an extractor that trusts names changes it in most of the ways above, the host never."""
    host = Path("/etc/passwd").read_bytes()
    changed = []
    for number, (name, (entries, _)) in enumerate(BREAKOUTS.items()):
        jail = tmp_path / str(number)
        folder = jail / "canary"
        (folder / "etc").mkdir(parents=True)
        (folder / "etc" / "passwd").write_text("root")
        (folder / "sub").mkdir()
        (jail / "root").mkdir()
        before = canary_state(folder)
        data = at(Path("/canary"), entries)
        in_jail(jail, lambda data=data: extract_naively(data, Path("/root")))  # type: ignore[misc]
        if canary_state(folder) != before:
            changed.append(name)
    assert {"dots", "link to the canary then through it", "hard link to the canary"} <= set(changed)
    assert Path("/etc/passwd").read_bytes() == host


async def test_many_whiteouts_take_linear_time(store: Store) -> None:
    """20,000 times the same opaque mark (CVE-2026-95838), and as many duplicates of a file."""
    started = time.monotonic()
    await unpack(store, archive(*[file("d/.wh..wh..opq")] * 20_000))
    await unpack(store, archive(*[file("d/f", b"x")] * 20_000))
    assert time.monotonic() - started < 20


async def test_faults_of_the_stream(store: Store) -> None:
    """Cut, garbage, broken compression, a bomb of headers: a 400, and the stage can go."""
    good = archive(file("f", b"x" * 5000))
    bad = {
        "cut": good[:3000],
        "garbage": b"x" * 5000,
        "gzip cut": gzip.compress(good)[:-4],
        "gzip crc": gzip.compress(good)[:-6] + b"\0" + gzip.compress(good)[-5:],
        "header bomb": tar.encode_header(tar.Header(b"x", b"x", size=8 << 20)) + bytes(9 << 20),
        "wrong magic": b"\x1f\x8b\x08\0" + good,
    }
    for name, data in bad.items():
        with pytest.raises(InvalidParameter):
            await unpack(store, data)
            pytest.fail(name)
    assert (await unpack(store, b""))[0].entries == 0


async def test_a_full_disk_is_noticed_before_it_is_full(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may not take what others need: the reserve is left, and the error is not the archive's."""
    from sampan.store import unpack as module

    monkeypatch.setattr(module, "FREE_RESERVE", 1 << 62)
    with pytest.raises(OSError, match="No space left on device"):
        await unpack(store, archive(file("f", b"x")))


async def test_a_worker_that_is_killed_is_an_error(store: Store, spawner: ForkingSpawner) -> None:
    """EOF without an answer; and a caller that is cancelled takes its worker along."""
    read_fd, write_fd = os.pipe()
    stage = store.snapshots.stage()
    async with store.unpacker.job(read_fd, stage, base=True) as job:
        os.kill(spawner.pids[-1], 9)
        with pytest.raises(Exception, match="the worker for 'unpack' died"):
            await job.result()

    async def waiting() -> None:
        async with store.unpacker.job(read_fd, stage, base=True) as job:
            started.set()
            await job.result()

    started = asyncio.Event()
    task = asyncio.create_task(waiting())
    await started.wait()
    pidfd = os.pidfd_open(spawner.pids[-1])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, gone.set)
    await asyncio.wait_for(gone.wait(), 10)
    asyncio.get_running_loop().remove_reader(pidfd)
    for fd in (read_fd, write_fd, pidfd):
        os.close(fd)


async def test_nothing_is_loaded_from_the_folder(store: Store) -> None:
    """Traps for imports, codecs and libraries lie in the root that the worker enters; it also fails there."""
    traps = [
        "encodings/__init__.py",
        "os.py",
        "codecs.py",
        "traceback.py",
        "linecache.py",
        "json.py",
    ]
    stage = store.snapshots.stage()
    for trap in traps:
        path = Path(stage, "fs", trap)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("open('/TRAPPED', 'w')\n")
    for path in ("etc/nsswitch.conf", "etc/localtime", "lib/libnss_evil.so.2"):
        target = Path(stage, "fs", path)
        target.parent.mkdir(exist_ok=True)
        target.write_text("passwd: evil\n")
    before = {path: path.stat().st_atime_ns for path in Path(stage).rglob("*") if path.is_file()}
    for path in before:
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
    data = archive(file("f", b"x" * 100), file("n" * 300))
    with pytest.raises(InvalidParameter, match="File name too long"):
        await unpack(store, data, stage)
    assert not Path(stage, "fs", "TRAPPED").exists()
    assert [path for path in before if path.stat().st_atime_ns != 0] == []
    control = next(iter(before))
    control.read_bytes()
    if control.stat().st_atime_ns == 0:
        pytest.skip("this file system keeps no access times")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a/b", b"a/b"),
        (b"./a/b/", b"a/b"),
        (b"/a", b"a"),
        (b"a//b/./c", b"a/b/c"),
        (b"a/../b", b"b"),
        (b"../../a", b"a"),
        (b"a/..", b""),
        (b"", b""),
        (b"./", b""),
        (b".hidden/..data", b".hidden/..data"),
        (b"a/.b/...", b"a/.b/..."),
    ],
)
def test_names_become_relative(name: bytes, expected: bytes) -> None:
    """`..` ends at the top; dots in names are names."""
    assert clean(name) == expected
