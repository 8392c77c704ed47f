"""Verifies that no root file system, however made, reaches what lies outside of it (security.md, R3-R8)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import inroot
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Target
from tests.kernel.conftest import Box
from tests.ledger import tree_state

FOLDERS = ("dev", "proc", "sys", "etc", "tmp")


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A folder outside of every root that must stay as it is."""
    folder = tmp_path / "canary"
    for name in ("pts", "shm", "mqueue", "fs/cgroup", "self", "sys/net/ipv4"):
        (folder / name).mkdir(parents=True)
    for name in ("null", "console", "passwd", "keys", "self/oom_score_adj"):
        (folder / name).write_text("canary\n")
    before = tree_state(str(folder))
    yield folder
    assert tree_state(str(folder)) == before


def bend(box: Box, name: str, target: str) -> None:
    place = box.lower / name
    if place.is_dir():
        shutil.rmtree(place)
    os.symlink(target, place)


def try_to_run(box: Box, config: dict[str, Any]) -> None:
    try:
        box.run(config=config)
    except RuntimeFailure:
        pass


@pytest.mark.parametrize("style", ["absolute", "relative", "magic"])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_a_link_to_the_host(box: Box, canary: Path, name: str, style: str) -> None:
    target = {
        "absolute": str(canary),
        "relative": "../" * 40 + str(canary).lstrip("/"),
        "magic": f"/proc/{os.getpid()}/root{canary}",
    }[style]
    bend(box, name, target)
    config = box.config("true", cwd="/tmp/work")
    config["mounts"].append(
        {"destination": "/etc/hosts", "type": "bind", "source": "/dev/null", "options": ["bind"]}
    )
    try_to_run(box, config)


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_proc_and_sys_go_on_ordinary_folders_only(box: Box, canary: Path, kind: str) -> None:
    name = {"proc": "proc", "sysfs": "sys"}[kind]
    (box.lower / "other").mkdir()
    bend(box, name, "/other")
    with pytest.raises(RuntimeFailure) as caught:
        box.create(box.config("true"))
    assert f'filesystem "{kind}" must be mounted on ordinary directory' in str(caught.value)


def _bare_dev(box: Box) -> dict[str, Any]:
    """Without a tmpfs on /dev, so that the image's own is used."""
    config = box.config("sh", "-c", "cat /proc/keys /proc/timer_list; echo end")
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/dev"]
    return config


@pytest.mark.parametrize("kind", ["link", "file", "device", "fifo", "folder"])
def test_the_images_null_device_is_not_what_masks(box: Box, canary: Path, kind: str) -> None:
    null = box.lower / "dev/null"
    if kind == "link":
        os.symlink(str(canary / "null"), null)
    elif kind == "file":
        null.write_text("leak\n")
    elif kind == "device":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == "fifo":
        os.mkfifo(null)
    else:
        null.mkdir()
    with pytest.raises(RuntimeFailure, match=r"error creating device nodes.*file exists"):
        box.create(_bare_dev(box))
    config = _bare_dev(box)
    # A bind of the image's own folder: used as it is, false nodes and all.
    config["mounts"].insert(
        1,
        {"destination": "/dev", "type": "bind", "source": str(box.lower / "dev"),
         "options": ["rbind"]},
    )  # fmt: skip
    assert box.run(config=config).output == "end\n"


def test_device_nodes_of_the_image_that_are_right_are_kept(box: Box) -> None:
    os.mknod(box.lower / "dev/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert box.run(config=_bare_dev(box)).output == "end\n"


def test_mount_destinations_behind_links_stay_inside(box: Box, canary: Path) -> None:
    os.symlink(str(canary), box.lower / "var/a")
    os.symlink("/var/a/self", box.lower / "var/b")
    config = box.config("sh", "-c", f"cat {canary}/self/new/file; cat /var/b/new/file")
    source = box.folder / "source"
    source.mkdir()
    (source / "file").write_text("inside\n")
    config["mounts"].append(
        {"destination": "/var/b/new", "type": "bind", "source": str(source), "options": ["rbind"]}
    )
    assert box.run(config=config).lines() == ["inside", "inside"]


def test_the_canary_notices_a_naive_resolver(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same attack, with look-ups that are not confined, must be seen: or these tests prove nothing."""
    outside = tmp_path / "outside"
    outside.mkdir()
    bend(box, "var", str(outside))
    config = box.config("true")
    config["mounts"].append(
        {"destination": "/var/new", "type": "bind", "source": "/dev/null", "options": ["bind"]}
    )
    before = tree_state(str(outside))
    box.run(config=config)
    assert tree_state(str(outside)) == before

    def naive(kernel: Any, root_fd: int, path: str, flags: int, *, mode: int = 0) -> int:
        return int(kernel.openat2(root_fd, path.lstrip("/") or ".", flags, mode=mode))

    monkeypatch.setattr(inroot, "open_in_root", naive)
    try_to_run(box, config)
    assert tree_state(str(outside)) != before


def test_no_file_of_the_root_is_loaded_by_the_interpreter(
    box: Box, running: Callable[..., Target]
) -> None:
    """Traps in the places that an interpreter, a C library or a codec would look in."""
    import encodings
    import json

    marker = "/tmp/trap"
    trap = f"open({marker!r}, 'w').close()\n"
    for module in (encodings, json):
        folder = box.lower / os.path.dirname(module.__file__ or "").lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("__init__.py", "idna.py", "latin_1.py", "decoder.py", "tool.py"):
            (folder / name).write_text(trap)
    (box.lower / "etc/nsswitch.conf").write_text("passwd: evil\ngroup: evil\nhosts: evil\n")
    (box.lower / "etc/ld.so.preload").write_text("/lib/evil.so\n")
    target = running()
    assert box.exec(target, "cat", marker).status == 1
    with pytest.raises(RuntimeFailure):
        box.exec(target, "nope\udcff")
    assert box.exec(target, "cat", marker).status == 1


def test_paths_are_bytes_and_may_be_anything_but_nul(box: Box) -> None:
    config = box.config("pwd", cwd="/tmp/\udcff\n'\"")
    assert box.run(config=config).output == "/tmp/�\n'\"\n"
    config["process"]["cwd"] = "/tmp/a\0b"
    with pytest.raises(RuntimeFailure, match="null byte"):
        box.create(config)


def test_strict_text_would_fail_on_such_a_name() -> None:
    """The control: the same name as text that has to be UTF-8."""
    with pytest.raises(UnicodeEncodeError):
        "/tmp/\udcff".encode()
