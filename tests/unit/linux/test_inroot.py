"""Verifies that opening and making files below a root never leaves it, hangs, or reads without bound."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import constants as c
from sampan.linux import inroot
from sampan.linux.kernel import LinuxKernel
from tests.fakes.kernel import RecordingKernel

KERNEL = LinuxKernel()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "etc").mkdir(parents=True)
    (path / "etc/passwd").write_text("inside")
    (tmp_path / "passwd").write_text("outside")
    return path


@pytest.fixture
def fd(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "etc/passwd", "../../etc/passwd", "/etc/../etc/passwd", "/abs", "/up"]
)
def test_a_file_is_found_as_from_inside(root: Path, fd: int, path: str) -> None:
    os.symlink("/etc/passwd", root / "abs")
    os.symlink("../../../etc/passwd", root / "up")
    assert inroot.read_file(KERNEL, fd, path, 100) == b"inside"


def test_what_is_no_regular_file_is_not_even_opened(root: Path, fd: int) -> None:
    os.mkfifo(root / "fifo")
    os.symlink("/etc", root / "link")
    for path in ("/fifo", "/etc", "/link"):
        with pytest.raises(OSError, match="not a regular file") as caught:
            inroot.read_file(KERNEL, fd, path, 100)
        assert caught.value.errno == errno.EINVAL


def test_a_file_is_read_up_to_the_limit_and_no_further(root: Path, fd: int) -> None:
    with open(root / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError) as caught:
        inroot.read_file(KERNEL, fd, "/sparse", 1 << 20)
    assert caught.value.errno == errno.EFBIG
    assert inroot.read_file(KERNEL, fd, "/etc/passwd", 6) == b"inside"
    with pytest.raises(OSError):
        inroot.read_file(KERNEL, fd, "/etc/passwd", 5)


def test_links_of_proc_are_refused() -> None:
    root = os.open("/", os.O_PATH)
    try:
        with pytest.raises(OSError) as caught:
            inroot.open_in_root(KERNEL, root, "/proc/self/cwd", os.O_PATH)
        assert caught.value.errno == errno.ELOOP
    finally:
        os.close(root)


def test_descriptors_are_closed(root: Path, fd: int) -> None:
    before = os.listdir("/proc/self/fd")
    inroot.read_file(KERNEL, fd, "/etc/passwd", 100)
    for path in ("/fifo", "/none"):
        with pytest.raises(OSError):
            inroot.read_file(KERNEL, fd, path, 100)
    os.close(inroot.make_file(KERNEL, fd, "/a/b/c"))
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("/new", "new"),
        ("/a/b/c/", "a/b/c"),
        ("a//./b/../d", "a/d"),
        ("/../../x", "x"),
        ("/etc", "etc"),
        ("/dangling", "far/away"),
        ("/dangling/deeper", "far/away/deeper"),
        ("/relative/x", "elsewhere/x"),
        ("/escaping/x", "passwd-folder/x"),
        ("/", "."),
    ],
)
def test_a_folder_is_made_inside(root: Path, fd: int, path: str, made: str) -> None:
    os.symlink("/far/away", root / "dangling")
    os.symlink("elsewhere", root / "relative")
    os.symlink("../../../passwd-folder", root / "escaping")
    outside = sorted(os.listdir(root.parent))
    folder = inroot.make_directory(KERNEL, fd, path)
    assert os.fstat(folder).st_ino == (root / made).stat().st_ino
    assert sorted(os.listdir(root.parent)) == outside
    os.close(folder)


def test_a_folder_is_not_made_where_a_file_is(root: Path, fd: int) -> None:
    for path in ("/etc/passwd", "/etc/passwd/x"):
        with pytest.raises(NotADirectoryError):
            inroot.make_directory(KERNEL, fd, path)


def test_links_that_go_round_end(root: Path, fd: int) -> None:
    os.symlink("/b/x", root / "a")
    os.symlink("/a/x", root / "b")
    with pytest.raises(OSError) as caught:
        inroot.make_directory(KERNEL, fd, "/a/deep")
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize(("path", "made"), [("/n/f", "n/f"), ("/dangling", "etc/target")])
def test_a_file_is_made_inside(root: Path, fd: int, path: str, made: str) -> None:
    os.symlink("/etc/target", root / "dangling")
    handle = inroot.make_file(KERNEL, fd, path)
    os.close(handle)
    assert (root / made).read_bytes() == b""


def test_an_existing_fifo_serves_as_place_and_is_not_opened(root: Path, fd: int) -> None:
    os.mkfifo(root / "fifo")
    os.close(inroot.make_file(KERNEL, fd, "/fifo"))


def test_a_race_in_the_kernel_is_tried_again_but_not_for_ever() -> None:
    again = BlockingIOError(errno.EAGAIN, "again")
    fake = RecordingKernel(errors={("openat2", 0): again, ("openat2", 1): again})
    assert inroot.open_in_root(fake.kernel, 5, "/x", os.O_PATH) >= 100
    resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
    assert fake.calls == [("openat2", (5, "/x", os.O_PATH, ("mode", 0), ("resolve", resolve)))] * 3
    always = RecordingKernel(errors={("openat2", number): again for number in range(1000)})
    with pytest.raises(BlockingIOError):
        inroot.open_in_root(always.kernel, 5, "/x", os.O_PATH)
