"""Stepping aside, played with a folder: who is moved, who stays, and when nothing is to be done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.linux.cgroup import Hierarchies, Hierarchy, files, step_aside

ME = os.getpid()
PARENTS = {ME: 1, 900001: ME, 900002: 900001, 900003: 1, 900004: 1}
OURS = [ME, 900001, 900002]


class Folder:
    """A cgroup file system whose `cgroup.procs` move processes, and a /proc of `PARENTS`."""

    def __init__(self, root: Path, own: str) -> None:
        self.root, self.own = root, own
        self.processes = dict.fromkeys(PARENTS, f"{root}{own}".rstrip("/"))
        self.vanish: set[int] = set()

    def read(self, path: str) -> str:
        if path == "/proc/self/cgroup":
            return f"0::{self.own}\n"
        if path.endswith("/cgroup.procs"):
            inside = [pid for pid, at in self.processes.items() if f"{at}/cgroup.procs" == path]
            return "".join(f"{pid}\n" for pid in inside)
        pid = int(path.split("/")[2])
        if pid in self.vanish:
            raise FileNotFoundError(2, "gone", path)
        return f"{pid} (a) 1 (b) S {PARENTS[pid]} 1 1"

    def write(self, path: str, value: str) -> None:
        if int(value) in self.vanish:
            del self.processes[int(value)]
            raise ProcessLookupError(3, "gone", path)
        self.processes[int(value)] = path.removesuffix("/cgroup.procs")

    def hierarchies(self, mode: str = "v2", mounted: str = "/") -> Hierarchies:
        return Hierarchies(mode, (), Hierarchy(str(self.root), frozenset(), mounted))


@pytest.fixture(params=["/", "/service"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Folder:
    made = Folder(tmp_path, request.param)
    (tmp_path / request.param[1:]).mkdir(exist_ok=True)
    (tmp_path / request.param[1:] / "cgroup.type").touch()
    monkeypatch.setattr(files, "read_text", made.read)
    monkeypatch.setattr(files, "write_text", made.write)
    return made


def test_ours_move_and_others_stay(folder: Folder) -> None:
    """This process and what comes from it, however far, go to the leaf; doing it twice changes nothing."""
    leaf = f"{folder.own.rstrip('/')}/sampand"
    assert step_aside("/service", folder.hierarchies()) == leaf
    expected = {pid: f"{folder.root}{leaf}" for pid in OURS}
    assert {pid: at for pid, at in folder.processes.items() if at.endswith(leaf)} == expected
    before = dict(folder.processes)
    step_aside("/service/deeper", folder.hierarchies())
    assert folder.processes == before


def test_processes_that_end_meanwhile(folder: Folder) -> None:
    """They are no error, whether found out when they are looked at or when they are moved."""
    folder.vanish = {900002}
    step_aside("/service", folder.hierarchies())
    assert sorted(p for p, at in folder.processes.items() if at.endswith("sampand")) == [ME, 900001]


@pytest.mark.parametrize("mode", ["v1", "hybrid"])
def test_not_on_v1(folder: Folder, mode: str) -> None:
    """Its hierarchies know no such rule."""
    assert step_aside("/service", folder.hierarchies(mode)) is None


def test_not_where_containers_are_elsewhere(folder: Folder) -> None:
    """Only a cgroup above the containers' matters; a name that begins alike is another one."""
    if folder.own != "/":
        for parent in ("/sampan", "/service-2", "/"):
            assert step_aside(parent, folder.hierarchies()) is None


def test_not_at_the_root_of_the_host(folder: Folder) -> None:
    """The host's root has no type, and may have processes."""
    os.unlink(f"{folder.root}{folder.own.rstrip('/')}/cgroup.type")
    assert step_aside("/service", folder.hierarchies()) is None


def test_not_where_the_mount_shows_another_part(folder: Folder) -> None:
    """Outside of what is visible nothing can be moved."""
    assert step_aside("/service", folder.hierarchies(mounted="/../other")) is None
