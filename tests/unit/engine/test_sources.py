"""What a container with a user namespace of its own has mounted, and whose the folders are that are made for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.engine.records import MountPoint
from sampan.engine.remap import Remap
from sampan.engine.sources import open_sources
from sampan.linux.kernel import LinuxKernel
from sampan.spec.mount import Mount

REMAP = Remap(((0, 100000, 65536),), ((0, 200000, 65536),))


@pytest.mark.parametrize("owner", [None, REMAP.root])
def test_folders_made_for_a_bind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: tuple[int, int] | None
) -> None:
    """Each that is new is the containers' root's; what was there stays whose it was."""
    given: list[tuple[str, int, int]] = []
    monkeypatch.setattr(os, "lchown", lambda *call: given.append(call))
    source = str(tmp_path / "new" / "below")
    point = MountPoint(type="bind", source=source, destination="/x", create_source=True)
    for _ in range(2):  # the second finds them
        open_sources(LinuxKernel(), [point], {}, owner=owner).close()
    assert os.path.isdir(source)
    made = [str(tmp_path / "new"), source] if owner else []
    assert given == [(path, 100000, 200000) for path in made]


@pytest.mark.parametrize(
    ("root", "is_mapped"),
    [
        (Mount("bind", "/layer", ("rbind", "ro")), True),
        (Mount("overlay", "overlay", ("lowerdir=/a", "lowerdir=/b", "ro")), True),
        (Mount("tmpfs", "tmpfs", ("ro", "mode=755", "size=4k")), False),  # an image without layers
    ],
)
def test_images_are_mapped(root: Mount, *, is_mapped: bool) -> None:
    """But for a tmpfs, which belongs to the namespace that makes it: the runtime refuses to map it."""
    point = MountPoint(type="image", source="busybox", name="id", destination="/x")
    sources = open_sources(LinuxKernel(), [point], {"id": root}, mapped_volumes=frozenset())
    (mount,) = sources.mounts
    assert ("idmap" in mount.options) is is_mapped
