"""`cp` on this side: which paths are meant, and archives that want to get out of the folder they are unpacked to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.cli.copying import places
from sampan.cli.copying.pack import pack
from sampan.cli.copying.places import Place
from sampan.cli.copying.unpack import unpack
from sampan.cli.failure import Failure
from sampan.wire import tar


@pytest.mark.parametrize(
    ("argument", "container", "path"),
    [
        ("web:/etc", "web", "/etc"),
        ("web:", "web", ""),
        ("/a:b", "", "/a:b"),
        ("./a:b", "", "./a:b"),
        ("plain", "", "plain"),
        ("-", "", "-"),
        ("a:b:c", "a", "b:c"),
    ],
)
def test_split_argument(argument: str, container: str, path: str) -> None:
    """A container is before the first colon, unless the path is plainly local."""
    assert places.split_argument(argument) == (container, path)


@pytest.mark.parametrize(
    ("path", "folder", "base"),
    [
        ("/a/b", "/a", "b"),
        ("/a/b/", "/a", "b"),
        ("/a/b/.", "/a/b", "."),
        ("/a", "/", "a"),
        ("/", "/", "/"),
        ("/.", "/", "."),
        ("/a/../b", "/", "b"),
    ],
)
def test_split(path: str, folder: str, base: str) -> None:
    assert places.split(path) == (folder, base)


FILE, FOLDER = Place("/s/f", exists=True), Place("/s/d", exists=True, is_folder=True)
CONTENT = Place("/s/d/.", exists=True, is_folder=True)
PLANS = [
    (FILE, Place("/t/x"), "/t", b"f", b"x"),
    (FILE, Place("/t/x", exists=True), "/t", b"f", b"x"),
    (FILE, Place("/t/x", exists=True, is_folder=True), "/t/x", b"f", b"f"),
    (FOLDER, Place("/t/x"), "/t", b"d/a", b"x/a"),
    (FOLDER, Place("/t/x/"), "/t", b"d/a", b"x/a"),
    (FOLDER, Place("/t/x", exists=True, is_folder=True), "/t/x", b"d/a", b"d/a"),
    (CONTENT, Place("/t/x"), "/t", b"./a", b"x/a"),
    (CONTENT, Place("/t/x", exists=True, is_folder=True), "/t/x", b"./a", b"./a"),
]


@pytest.mark.parametrize(("origin", "target", "folder", "name", "renamed"), PLANS)
def test_plan(origin: Place, target: Place, folder: str, name: bytes, renamed: bytes) -> None:
    """Where entries go and what they are called there."""
    found, rename = places.plan(origin, target)
    assert (found, rename(name)) == (folder, renamed)


@pytest.mark.parametrize(
    ("origin", "target", "text"),
    [
        (FOLDER, Place("/t/x", exists=True), "cannot copy directory"),
        (FILE, Place("/t/x/"), "no such directory"),
        (FILE, Place("/t/x/."), "no such directory"),
    ],
)
def test_plan_refuses(origin: Place, target: Place, text: str) -> None:
    with pytest.raises(Failure, match=text):
        places.plan(origin, target)


def archive(*headers: tar.Header) -> list[bytes]:
    pieces = []
    for header in headers:
        content = b"evil" if header.type == tar.FILE else b""
        header.size = len(content)
        pieces.append(tar.encode_header(header) + content + tar.padding(len(content)))
    return [*pieces, tar.END_OF_ARCHIVE]


HOSTILE = [
    [tar.Header(b"../out")],
    [tar.Header(b"a/../../out")],
    [tar.Header(b"l", tar.SYMLINK, linkname=b".."), tar.Header(b"l/out")],
    [tar.Header(b"l", tar.SYMLINK, linkname=b"/etc"), tar.Header(b"l/out", tar.DIRECTORY)],
    [tar.Header(b"h", tar.LINK, linkname=b"../secret")],
    [tar.Header(b"l", tar.SYMLINK, linkname=b".."), tar.Header(b"h", tar.LINK, linkname=b"l/secret")],
    [tar.Header(b"l", tar.SYMLINK, linkname=b"../secret"), tar.Header(b"l", tar.DIRECTORY, mode=0o777)],
]  # fmt: skip


@pytest.mark.parametrize("headers", HOSTILE)
def test_nothing_leads_out(headers: list[tar.Header], tmp_path: Path) -> None:
    """Names with `..`, links on the way, hard links to what is outside: refused, and nothing outside changes."""
    inside = tmp_path / "in"
    inside.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    with pytest.raises((Failure, OSError)):
        unpack(archive(*headers), str(inside), lambda name: name, owners=False)
    assert sorted(os.listdir(tmp_path)) == ["in", "secret"]
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("s", 0o600)
    assert secret.stat().st_nlink == 1


def test_a_file_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    """What is written goes beside the link's target."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in/f").symlink_to("../secret")
    unpack(archive(tar.Header(b"f")), str(tmp_path / "in"), lambda name: name, owners=False)
    assert (tmp_path / "secret").read_text() == "s"
    assert (tmp_path / "in/f").read_text() == "evil"
    assert not (tmp_path / "in/f").is_symlink()


def test_round_trip(tmp_path: Path) -> None:
    """A tree through a tar and back: contents, modes, times, links, an empty folder, a long name."""
    source = tmp_path / "source"
    (source / "deep" / ("n" * 120)).mkdir(parents=True)
    (source / "empty").mkdir(mode=0o500)
    (source / "file").write_bytes(b"x" * 300_000)
    (source / "file").chmod(0o751)
    os.utime(source / "file", ns=(1, 1_600_000_000_123_456_789))
    (source / "link").symlink_to("nowhere")
    os.link(source / "file", source / "hard")
    os.mkfifo(source / "fifo")
    (tmp_path / "to").mkdir()
    rename = places.renamer("source", "copy")
    size = unpack(
        pack(str(tmp_path), "source", rename), str(tmp_path / "to"), lambda n: n, owners=False
    )
    copy = tmp_path / "to" / "copy"
    assert size == 300_000
    assert sorted(os.listdir(copy)) == sorted(os.listdir(source))
    assert (copy / "file").read_bytes() == b"x" * 300_000
    assert (copy / "file").stat().st_mode == (source / "file").stat().st_mode
    assert (copy / "file").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (copy / "hard").samefile(copy / "file")
    assert os.readlink(copy / "link") == "nowhere"
    assert (copy / "empty").stat().st_mode & 0o777 == 0o500
