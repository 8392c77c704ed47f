"""Detached overlays on this host's kernel, by both ways: the one of Linux 6.7 and the one before it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.linux import constants as c
from sampan.linux.filesystems import make_overlay, overlay_by_mount
from sampan.linux.kernel import LinuxKernel

KERNEL = LinuxKernel()
WAYS = pytest.mark.parametrize("make", [make_overlay, overlay_by_mount])
Make = Callable[..., int]


@pytest.fixture
def state() -> Callable[[], object]:
    """What this process must have again afterwards."""

    def look() -> object:
        namespace = os.readlink("/proc/thread-self/ns/mnt")
        places = os.stat("/"), os.stat(".")
        mounts = Path("/proc/thread-self/mountinfo").read_text()
        return (
            namespace,
            [(p.st_dev, p.st_ino) for p in places],
            mounts,
            os.listdir("/proc/self/fd"),
        )

    return look


@contextmanager
def closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def layers(folder: Path, count: int) -> list[str]:
    options = []
    for number in range(count):
        layer = folder / f"layer-with-a-rather-long-name-{number}"
        (layer / "d").mkdir(parents=True)
        (layer / "d" / f"f{number}").write_text("x")
        (layer / "top").write_text(str(number))
        options.append(f"lowerdir={layer}")
    return options


@WAYS
def test_many_layers(make: Make, tmp_path: Path, state: Callable[[], object]) -> None:
    """As many as an image may have are one folder, the first of them on top; no mount table shows it."""
    options = layers(tmp_path, 127)
    before = state()
    with closing(make(KERNEL, [*options, "ro"], c.MOUNT_ATTR_NODEV)) as fd:
        with closing(os.open("d", os.O_RDONLY, dir_fd=fd)) as folder:
            assert len(os.listdir(folder)) == 127
        assert Path(f"/proc/self/fd/{fd}/top").read_text() == "0"
        with pytest.raises(OSError) as caught:
            os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
        assert caught.value.errno == errno.EROFS
        with closing(os.open("d", os.O_RDONLY, dir_fd=fd)) as folder:
            assert os.fstatvfs(folder).f_flag & 4  # ST_NODEV
    assert state() == before


@WAYS
def test_writing_goes_to_the_upper_folder(
    make: Make, tmp_path: Path, state: Callable[[], object]
) -> None:
    """What is written is found in `upperdir`, names with a comma or a colon included."""
    options = layers(tmp_path, 2)
    upper, work = tmp_path / "upper,colon:", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    if make is make_overlay:
        upper = upper.rename(tmp_path / "upper")
    before = state()
    fd = make(KERNEL, [*options, f"upperdir={upper}", f"workdir={work}"], 0)
    file = os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.write(file, b"words")
    os.close(file)
    os.close(fd)
    assert (upper / "new").read_text() == "words"
    assert state() == before


@pytest.mark.parametrize("missing", ["lowerdir", "upperdir"])
def test_failure_leaves_the_thread_where_it_was(
    missing: str, tmp_path: Path, state: Callable[[], object]
) -> None:
    """A folder that is not there: its name is in the error, and nothing has moved."""
    options = [*layers(tmp_path, 2), f"{missing}={tmp_path}/none"]
    before = state()
    with pytest.raises(FileNotFoundError) as caught:
        overlay_by_mount(KERNEL, options, 0)
    assert caught.value.filename == f"{tmp_path}/none"
    assert state() == before


def test_root_and_folder_are_kept(tmp_path: Path) -> None:
    """A process in a chroot is still in it, in the same folder."""
    options = layers(tmp_path, 2)
    (tmp_path / "here").mkdir()
    inside = [option.replace(str(tmp_path), "") for option in options]
    (tmp_path / "proc").mkdir()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            KERNEL.unshare(c.CLONE_NEWNS)
            KERNEL.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
            KERNEL.mount(str(tmp_path), str(tmp_path), None, c.MS_BIND, None)
            KERNEL.mount("proc", f"{tmp_path}/proc", "proc", 0, None)
            os.chroot(tmp_path)
            os.chdir("/here")
            overlay_by_mount(KERNEL, inside, 0)
            code = 0 if os.getcwd() == "/here" and "here" in os.listdir("/") else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
