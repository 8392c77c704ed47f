"""`store/changes.py` on real overlays: what a container changed, as it changed it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.linux.kernel import LinuxKernel
from sampan.store.changes import Change, decode, encode, find_changes, open_lower

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts")


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A mounted overlay with two layers below it."""
    for name in ("low/etc", "low/deep/a/b", "top/etc", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "low/etc/group").write_text("g")
    (tmp_path / "low/etc/gone").write_text("x")
    (tmp_path / "top/etc/passwd").write_text("p")
    (tmp_path / "low/deep/a/b/file").write_text("f")
    os.mknod(tmp_path / "top/etc/gone", 0o020000, 0)  # removed by an upper layer of the image
    options = (
        f"lowerdir={tmp_path}/top:{tmp_path}/low,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    )
    merged = tmp_path / "merged"
    subprocess.run(["mount", "-t", "overlay", "x", "-o", options, str(merged)], check=True)
    try:
        yield merged
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def changes(merged: Path) -> list[str]:
    root = merged.parent
    upper = os.open(root / "upper", os.O_RDONLY | os.O_DIRECTORY)
    lower = open_lower(LinuxKernel(), [str(root / "top"), str(root / "low")])
    assert lower is not None
    try:
        found = find_changes(LinuxKernel(), upper, lower)
    finally:
        os.close(upper)
        os.close(lower)
    assert decode(encode(found)) == found
    return [f"{'CAD'[kind]} {path.decode()}" for kind, path in found]


def replace_folder(root: Path) -> None:
    subprocess.run(["rm", "-r", root / "deep/a/b"], check=True)
    (root / "deep/a/b").mkdir()
    (root / "deep/a/b/new").write_text("n")


CASES: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("nothing", lambda root: None, []),
    ("a new file", lambda root: (root / "etc/new").write_text("n"), ["C etc", "A etc/new"]),
    ("a deletion", lambda root: (root / "etc/group").unlink(), ["C etc", "D etc/group"]),
    ("a change", lambda root: (root / "etc/passwd").write_text("q"), ["C etc", "C etc/passwd"]),
    ("deep", lambda root: (root / "deep/a/b/file").chmod(0o600), ["C deep", "C deep/a", "C deep/a/b", "C deep/a/b/file"]),
    ("a folder's mode", lambda root: (root / "etc").chmod(0o700), ["C etc"]),
    ("back again", lambda root: (root / "etc/gone").write_text("x"), ["C etc", "A etc/gone"]),
    ("a link", lambda root: (root / "deep/l").symlink_to("/etc/shadow"), ["C deep", "A deep/l"]),
    ("a folder replaced", replace_folder, ["C deep", "C deep/a", "C deep/a/b", "D deep/a/b/file", "A deep/a/b/new"]),
    ("the runtime's places", lambda root: [(root / "etc/hosts").touch(), (root / "dev").mkdir(), (root / "proc").mkdir()], []),
    ("more than a place", lambda root: (root / "etc/hosts").write_text("x"), ["C etc", "A etc/hosts"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_changes(overlay: Path, change: Callable[[Path], object], expected: list[str]) -> None:
    """Each kind of change, and the folders above it."""
    change(overlay)
    assert changes(overlay) == expected


def test_without_layers_below(tmp_path: Path) -> None:
    """Everything was added."""
    (tmp_path / "a/b").mkdir(parents=True)
    upper = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert find_changes(LinuxKernel(), upper, None) == [Change(1, b"a"), Change(1, b"a/b")]
    finally:
        os.close(upper)
