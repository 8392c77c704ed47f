"""Where `save -o` and `export -o` do not write: what is no file stays what it is."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.cli import archives
from sampan.cli.archives import check_output
from sampan.cli.failure import Failure


def _device(kind: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        try:
            os.mknod(path, kind | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices")

    return make


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # a whole path may be too long for it


def _link(path: Path) -> None:
    path.with_name("file").write_text("kept")
    path.symlink_to("file")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.mkdir, "directory"),
        (os.mkfifo, "named pipe (FIFO)"),
        (_socket, "socket"),
        (_device(stat.S_IFCHR), "character device file"),
        (_device(stat.S_IFBLK), "block device file"),
        (_link, "symbolic link directly"),
        (lambda path: path.symlink_to("nowhere"), "symbolic link directly"),
    ],
)
def test_what_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], words: str
) -> None:
    """Docker's sentences; nothing takes its place, and nothing is written through it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out"
    make(path)
    before, names = path.lstat(), sorted(os.listdir(tmp_path))
    with pytest.raises(Failure) as caught:
        check_output("save image", str(path))
    assert str(caught.value) == f"failed to save image: cannot write to a {words}"
    after = path.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(os.listdir(tmp_path)) == names
    assert "file" not in names or (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("folder", "reason"), [("none", "no such file or directory"), ("file", "not a directory")]
)
def test_folders_that_are_none(tmp_path: Path, folder: str, reason: str) -> None:
    """None is made."""
    (tmp_path / "file").write_text("kept")
    place = tmp_path / folder
    with pytest.raises(Failure) as caught:
        check_output("export container", str(place / "out"))
    assert str(caught.value) == (
        f"failed to export container: invalid output path: stat {place}: {reason}"
    )
    assert os.listdir(tmp_path) == ["file"]


def test_files_old_and_new(tmp_path: Path) -> None:
    """Those are written; asking changes nothing."""
    (tmp_path / "file").write_text("kept")
    check_output("save image", str(tmp_path / "file"))
    check_output("save image", str(tmp_path / "new"))
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


class _Answer:
    def pieces(self) -> list[bytes]:
        return [b"first", b"second"]


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so, what was there before stays, and nothing lies beside it."""
    path = tmp_path / "out"
    path.write_text("before")
    real = archives.write_all

    def full(descriptor: int, data: bytes) -> None:
        if data == b"second":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor, data)

    monkeypatch.setattr(archives, "write_all", full)
    with pytest.raises(Failure) as caught:
        archives.receive(_Answer, str(path))  # type: ignore[arg-type]
    assert str(caught.value) == f"write {path}: no space left on device"
    assert os.listdir(tmp_path) == ["out"]
    assert path.read_text() == "before"
