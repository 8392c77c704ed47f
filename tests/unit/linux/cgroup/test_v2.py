"""A cgroup on v2, played with a folder of plain files (devices and real limits are tested on a real kernel)."""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup, Hierarchies, Hierarchy, files

FILES = [
    "cgroup.controllers",
    "cgroup.events",
    "cgroup.freeze",
    "cgroup.kill",
    "cgroup.procs",
    "cgroup.subtree_control",
    "cpu.max",
    "cpu.stat",
    "cpu.weight",
    "cpuset.cpus",
    "io.stat",
    "memory.current",
    "memory.events",
    "memory.max",
    "memory.stat",
    "memory.swap.max",
    "pids.current",
    "pids.max",
]


def make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).touch()
    (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_folder(tmp_path)
    return tmp_path


@pytest.fixture
def group(root: Path) -> Cgroup:
    made = Cgroup.create("/sampan/one", hierarchies(root))
    make_folder(root / "sampan/one")
    return made


def hierarchies(root: Path) -> Hierarchies:
    return Hierarchies("v2", (), Hierarchy(str(root), frozenset(), "/"))


def test_create_hands_controllers_down(root: Path) -> None:
    """Every controller that is wanted and not there yet is enabled from the root to the parent, not below."""
    (root / "cgroup.subtree_control").write_text("memory\n")
    make_folder(root / "sampan")
    (root / "sampan/cgroup.controllers").write_text("memory misc cpu\n")
    Cgroup.create("/sampan/one", hierarchies(root))
    assert (root / "cgroup.subtree_control").read_text() == "+cpuset +cpu +io +pids"
    assert (root / "sampan/cgroup.subtree_control").read_text() == "+cpu +memory +misc"
    assert list((root / "sampan/one").iterdir()) == []


@pytest.mark.parametrize(
    ("code", "tried"),
    [
        # Processes in the parent: one attempt, or its children could hold no process.
        (errno.EBUSY, ["+cpu +io +memory"]),
        # Real-time tasks, for one: what can be had is taken.
        (errno.EINVAL, ["+cpu +io +memory", "+cpu", "+io", "+memory"]),
    ],
)
def test_controllers_that_cannot_be_had(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, tried: list[str]
) -> None:
    """The cgroup is made all the same; other errors are the caller's."""
    (root / "cgroup.controllers").write_text("cpu io memory\n")
    written: list[str] = []

    def refuse(path: str, value: str) -> None:
        written.append(value)
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(files, "write_text", refuse)
    assert Cgroup.create("/one", hierarchies(root)).exists()
    assert written == tried
    code = errno.EACCES
    with pytest.raises(PermissionError):
        Cgroup.create("/two", hierarchies(root))


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("/sampan/one", ""),
        ("/sampan/one/init/inner", "init/inner"),
        ("/sampan/one-more", None),
        ("/", None),
    ],
)
def test_beside_a_process(
    root: Path, monkeypatch: pytest.MonkeyPatch, place: str, found: str | None
) -> None:
    """The cgroup that a process is in, when it is this one or below it; never another."""
    group = Cgroup.create("/sampan/one", hierarchies(root))
    (root / "sampan/one/init/inner").mkdir(parents=True)
    read = files.read_text
    text = f"1:name=x:/else\n0::{place}\n"
    monkeypatch.setattr(
        files, "read_text", lambda path: text if path == "/proc/7/cgroup" else read(path)
    )
    if found is None:
        with pytest.raises(OSError, match="has left its cgroup"):
            group.clone_fd_beside(7)
        return
    fd = group.clone_fd_beside(7)
    assert fd is not None
    assert os.readlink(f"/proc/self/fd/{fd}") == str(root / "sampan/one" / found)
    os.close(fd)


def test_apply_writes_and_warns(group: Cgroup, root: Path) -> None:
    """Limits are converted; what the kernel starts with is not written; a missing file is a warning."""
    warnings = group.apply(
        {
            "memory": {"limit": 1000, "swap": 1500, "reservation": 500, "swappiness": 5},
            "cpu": {"shares": 1024, "quota": 5000, "period": 10000},
            "pids": {"limit": -1},
        }
    )
    folder = root / "sampan/one"
    assert (folder / "memory.max").read_text() == "1000"
    assert (folder / "memory.swap.max").read_text() == "500"
    assert (folder / "cpu.max").read_text() == "5000 10000"
    assert (folder / "cpu.weight").read_text() == (folder / "pids.max").read_text() == ""
    assert [text.split(" capabilities")[0] for text in warnings] == [
        "Your kernel does not support memory soft limit",
        "Your kernel does not support memory swappiness",
    ]
    group.apply({"pids": {"limit": -1}})
    assert (folder / "pids.max").read_text() == "max"


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        ({"limit": 1000}, "rejecting memory limit 1000 <= usage 2000"),
        ({"limit": 1500, "swap": 1500}, "rejecting memory+swap limit 1500 <= usage 2000"),
        ({"limit": 3000, "swap": -1}, None),
        ({"limit": -1}, None),
    ],
)
def test_a_limit_below_what_is_used(
    group: Cgroup, root: Path, memory: dict[str, int], text: str | None
) -> None:
    """Refused where that was asked for, with nothing written; written where not."""
    folder = root / "sampan/one"
    (folder / "memory.current").write_text("2000\n")
    checked = {"memory": {**memory, "checkBeforeUpdate": True}, "pids": {"limit": 5}}
    if text is None:
        group.apply(checked)
        return
    with pytest.raises(OSError, match=re.escape(text)):
        group.apply(checked)
    assert (folder / "memory.max").read_text() == (folder / "pids.max").read_text() == ""
    group.apply({"memory": memory})
    assert (folder / "memory.max").read_text() == str(memory["limit"])


def test_kill_freeze_and_members(group: Cgroup, root: Path) -> None:
    """One write kills; other signals go to each process; freezing waits for the kernel's word."""
    folder = root / "sampan/one"
    (folder / "sub").mkdir()
    (folder / "cgroup.procs").write_text("12\n0\n")
    (folder / "sub/cgroup.procs").write_text("34\n")
    assert sorted(group.processes()) == [12, 34]
    group.kill(signal.SIGKILL)
    assert (folder / "cgroup.kill").read_text() == "1"
    (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")

    def kernel() -> None:
        while (folder / "cgroup.freeze").read_text() != "1":
            pass
        (folder / "cgroup.events").write_text("populated 1\nfrozen 1\n")

    thread = threading.Thread(target=kernel)
    thread.start()
    group.freeze()
    thread.join()
    assert group.frozen()
    group.thaw()
    assert not group.frozen()


def test_kill_on_a_kernel_without_cgroup_kill(group: Cgroup, root: Path) -> None:
    """Each process gets the signal, and a group that was paused before stays paused."""
    folder = root / "sampan/one"
    (folder / "cgroup.kill").unlink()
    (folder / "cgroup.freeze").write_text("1")
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    (folder / "cgroup.procs").write_text(f"{pid}\n4194304\n")
    group.kill(signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert group.frozen()


def test_oom_events(group: Cgroup, root: Path) -> None:
    """The descriptor turns readable when the kernel counts a kill, and again after it was read."""
    events = root / "sampan/one/memory.events"
    events.write_text("low 0\noom_kill 0\n")
    fd = group.oom_events_fd()
    assert fd is not None
    with pytest.raises(BlockingIOError):
        os.read(fd, 4096)
    for count in (1, 2):
        events.write_text(f"low 0\noom_kill {count}\n")
        assert os.read(fd, 4096)
        assert group.oom_kills() == count
    os.close(fd)
    events.unlink()
    assert group.oom_events_fd() is None
    assert group.oom_kills() == 0


def test_statistics(group: Cgroup, root: Path) -> None:
    """Numbers of v2's files in the shape that v1 has too."""
    folder = root / "sampan/one"
    for name, text in {
        "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_throttled 1\nthrottled_usec 7\n",
        "memory.current": "100\n",
        "memory.max": "max\n",
        "memory.events": "max 4\n",
        "memory.stat": "anon 60\nfile 40\n",
        "pids.current": "2\n",
        "pids.max": "10\n",
        "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
    }.items():
        (folder / name).write_text(text)
    found = group.statistics()
    assert found["cpu"]["usage"] == 5000
    assert found["cpu"]["throttled_time"] == 7000
    assert found["memory"] == {
        "usage": 100,
        "max_usage": 0,
        "limit": -1,
        "failcnt": 4,
        "stat": {"anon": 60, "file": 40},
    }
    assert found["pids"] == {"current": 2, "limit": 10}
    assert found["blkio"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]


def test_remove(root: Path) -> None:
    """The cgroup, what was made below it, and the parent that was made for it; others' parents stay."""
    group = Cgroup.create("/sampan/one", hierarchies(root))
    (root / "sampan/one/sub/sub").mkdir(parents=True)
    assert group.exists()
    other = Cgroup.create("/sampan/two", hierarchies(root))
    group.remove()
    assert os.listdir(root / "sampan") == ["two"]
    other.remove()
    assert not group.exists()
    assert (root / "sampan").exists()
    group.remove()
    assert not (root / "sampan").exists()
