"""Trees are removed and measured by descriptor, whatever their depth and whatever is in them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from sampan.store.tree import DEPTH_LIMIT, Remover, usage


def deep(path: Path, levels: int) -> None:
    """Folders in each other, deeper than a path can say."""
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    with open(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd), "w") as file:
        file.write("12345")
    os.close(fd)


def remove(path: Path) -> None:
    bench = os.open(path.parent, os.O_RDONLY)
    try:
        Remover(bench).remove(bench, os.fsencode(path.name))
    finally:
        os.close(bench)


def measure(path: Path) -> tuple[int, int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return usage(fd)[:2]
    finally:
        os.close(fd)


@pytest.mark.parametrize("levels", [3, 5000])
def test_depth_costs_no_descriptors(tmp_path: Path, levels: int) -> None:
    """Deeper than PATH_MAX and than the limit of descriptors."""
    deep(tmp_path / "tree", levels)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DEPTH_LIMIT + 100, hard))
    try:
        size, inodes = measure(tmp_path / "tree")
        remove(tmp_path / "tree")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (size, inodes) == ((5, 4) if levels == 3 else (0, DEPTH_LIMIT))
    assert os.listdir(tmp_path) == []


def test_everything_goes_and_links_are_not_followed(tmp_path: Path) -> None:
    """Files, links, FIFOs, folders without permissions; what links point at stays."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_bytes(b"1234")
    (tree / "link").symlink_to(outside)
    (tree / "a" / "dangling").symlink_to("/nowhere")
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"\xff\n")).write_bytes(b"1")
    (tree / "a").chmod(0)
    (tree / "a").chmod(0o500)
    os.link(tree / os.fsdecode(b"\xff\n"), tree / "second")
    links = len(str(outside)) + len("/nowhere")
    assert measure(tree) == (4 + 1 + links, 7)
    remove(tree)
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "kept").read_text() == "x"


def test_removing_a_file_a_link_or_nothing(tmp_path: Path) -> None:
    """A tree may be no folder, and may be gone."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "nothing"):
        remove(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_two_removers_on_one_bench(tmp_path: Path) -> None:
    """What another one has taken meanwhile is no error."""
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    bench = os.open(tmp_path, os.O_RDONLY)
    first = Remover(bench)
    todo: list[bytes] = []
    first._to_bench(todo, bench, b"tree")
    Remover(bench).remove(bench, todo[0])
    first._to_bench(todo, bench, b"tree")
    assert len(todo) == 1
    with pytest.raises(FileNotFoundError):
        first._empty(todo, todo[0])
    os.close(bench)
    assert os.listdir(tmp_path) == []
