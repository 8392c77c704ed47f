"""Cgroups on this host's kernel: limits bite, nothing escapes a kill, nothing is left behind."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup, Hierarchy, detect, features
from sampan.linux.cgroup.devices import parse_rules
from sampan.linux.cgroup.devices_bpf import attach
from sampan.spec.resources import device_rules

HOST = detect()
only_v1 = pytest.mark.skipif(HOST.mode == "v2", reason="the files of v1")


@pytest.fixture
def group() -> Iterator[Cgroup]:
    parent = Cgroup.create(f"/sampan-test-{os.getpid()}", HOST)
    made = Cgroup.create(parent.path + "/one", HOST)
    try:
        yield made
    finally:
        for cgroup in (made, parent):
            cgroup.kill()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            cgroup.remove()


def spawn(work: Callable[[], object]) -> int:
    """A child that waits for nothing and does `work`; its exit code is the errno of an `OSError`."""
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            work()
        except OSError as error:
            code = error.errno or 1
        except BaseException:
            code = 255
        os._exit(code)
    return pid


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def inside(group: Cgroup, work: Callable[[], object]) -> int:
    """Exit code of a child that enters the cgroup and does `work`."""

    def enter_and_work() -> None:
        group.enter()
        work()

    return wait(spawn(enter_and_work))


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit, "it did not come true"
        os.sched_yield()


def folders(group: Cgroup) -> list[str]:
    mounts = [h.mountpoint for h in HOST.v1] + ([HOST.unified.mountpoint] if HOST.unified else [])
    return [mount + group.path for mount in mounts]


def test_made_everywhere_and_removed_everywhere(group: Cgroup) -> None:
    """A folder in every hierarchy; the second removal finds nothing and says nothing; parents go with their maker."""
    assert all(os.path.isdir(folder) for folder in folders(group))
    group.remove()
    group.remove()
    assert not any(os.path.isdir(folder) for folder in folders(group))
    deep = Cgroup.create(group.path + "/a/b/c", HOST)
    assert inside(deep, lambda: None) == 0
    deep.remove()
    group.remove()
    assert not any(os.path.isdir(folder) for folder in folders(group))


def test_add_and_enter(group: Cgroup) -> None:
    """Both ways in reach every hierarchy, and children follow."""
    for way in (lambda: group.enter(), lambda: group.add(os.getpid())):
        read, write = os.pipe()
        pid = spawn(
            lambda way=way, write=write: (
                way(),
                os.write(write, Path("/proc/self/cgroup").read_bytes()),
            )
        )  # type: ignore[misc]
        assert wait(pid) == 0
        lines = os.read(read, 65536).decode().split()
        os.close(read), os.close(write)
        places = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
        assert len(places) >= len(folders(group))
        mounted = {name for h in HOST.v1 for name in h.controllers} | {""}
        for names, place in places.items():
            if set(names.split(",")) & mounted:
                assert place.endswith(group.path), names


def test_kill_leaves_nobody(group: Cgroup) -> None:
    """A fork bomb, a frozen process and grandchildren die of one kill."""

    def bomb() -> None:
        group.enter()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            with suppress(OSError):
                if os.fork() and len(group.processes()) > 40:
                    signal.pause()

    group.apply({"pids": {"limit": 60}})
    pid = spawn(bomb)
    until(lambda: len(group.processes()) > 20)
    group.freeze()
    assert group.frozen()
    group.kill()
    assert wait(pid) == -signal.SIGKILL
    until(lambda: not group.processes())


@pytest.mark.skipif(HOST.mode != "hybrid", reason="two ways of tracking on hybrid hosts only")
def test_kill_finds_who_left_one_hierarchy(group: Cgroup) -> None:
    """A process that moved out of the v2 hierarchy is killed by way of the others."""
    assert HOST.unified is not None
    root = HOST.unified.mountpoint + "/cgroup.procs"

    def escape() -> None:
        group.enter()
        Path(root).write_text("0")
        os.write(write, b"out")
        signal.pause()

    read, write = os.pipe()
    pid = spawn(escape)
    assert os.read(read, 3) == b"out"
    os.close(read), os.close(write)
    group.kill()
    assert wait(pid) == -signal.SIGKILL


def test_kill_with_another_signal_reaches_all_and_keeps_a_pause(group: Cgroup) -> None:
    """SIGTERM goes to each process; a frozen container stays frozen until it is thawed.

    A frozen process of v1 dies of it then, one of v2 at once.
    """
    pids = [spawn(lambda: (group.enter(), signal.pause())) for _ in range(3)]
    until(lambda: len(group.processes()) == 3)
    group.freeze()
    group.kill(signal.SIGTERM)
    assert group.frozen()
    if HOST.mode != "v2":
        assert os.waitpid(pids[0], os.WNOHANG) == (0, 0)
        group.thaw()
    assert [wait(pid) for pid in pids] == [-signal.SIGTERM] * 3
    group.thaw()


def test_frozen_means_standing_still(group: Cgroup) -> None:
    """A counting process does not count while frozen."""
    read, write = os.pipe()
    os.set_blocking(read, False)

    def count() -> None:
        group.enter()
        while True:
            os.write(write, b"x")

    pid = spawn(count)
    assert select.select([read], [], [], 10)[0]
    group.freeze()
    with suppress(BlockingIOError):
        while os.read(read, 1 << 16):
            pass
    assert select.select([read], [], [], 0.05)[0] == []
    group.thaw()
    assert select.select([read], [], [], 10)[0]
    group.kill()
    wait(pid)
    os.close(read), os.close(write)


@pytest.mark.skipif("PidsLimit" not in features(HOST), reason="no pids controller")
def test_pids_limit(group: Cgroup) -> None:
    """The limit counts, can be raised, and shows in the statistics."""

    def fork_three() -> None:
        for _ in range(3):
            if os.fork() == 0:
                signal.pause()

    assert group.apply({"pids": {"limit": 3}}) == []
    assert inside(group, fork_three) == errno.EAGAIN
    group.kill()
    until(lambda: not group.processes())
    group.apply({"pids": {"limit": 10}})
    assert inside(group, fork_three) == 0
    assert group.statistics()["pids"]["limit"] == 10


@pytest.mark.skipif("MemoryLimit" not in features(HOST), reason="no memory controller")
def test_memory_limit_and_oom_notice(group: Cgroup) -> None:
    """What takes more than its limit is killed, the descriptor says so, and the count is exact."""
    assert group.apply({"memory": {"limit": 24 << 20, "swap": 24 << 20}}) == []
    notice = group.oom_events_fd()
    assert notice is not None
    assert group.oom_kills() == 0
    assert inside(group, lambda: bytearray(1 << 20)) == 0
    assert group.oom_kills() == 0
    assert inside(group, lambda: b"x" * (200 << 20)) == -signal.SIGKILL
    assert select.select([notice], [], [], 10)[0]
    os.read(notice, 4096)
    until(lambda: group.oom_kills() == 1)
    os.close(notice)
    found = group.statistics()["memory"]
    assert found["limit"] == 24 << 20
    assert found["max_usage"] > 1 << 20


@pytest.mark.skipif("SwapLimit" not in features(HOST), reason="no swap accounting")
def test_memory_and_swap_are_moved_in_the_order_that_the_kernel_takes(group: Cgroup) -> None:
    """Both up, both down, both up again, without an EINVAL."""
    for size in (64, 256, 32, 512):
        assert group.apply({"memory": {"limit": size << 20, "swap": size << 20}}) == []
        assert group.statistics()["memory"]["limit"] == size << 20
    group.apply({"memory": {"limit": -1}})
    assert group.statistics()["memory"]["limit"] == -1


@pytest.mark.skipif("CpuCfsQuota" not in features(HOST), reason="no CPU bandwidth control")
def test_cpu_limits(group: Cgroup) -> None:
    """A quota throttles, a cpuset binds, and the use is accounted."""
    resources = {"cpu": {"quota": 2000, "period": 10000, "shares": 512, "cpus": "0"}}
    assert group.apply(resources) == []
    allowed: list[int] = []

    def burn() -> None:
        assert os.sched_getaffinity(0) == {0}
        end = time.process_time() + 0.03
        while time.process_time() < end:
            allowed.append(1)

    assert inside(group, burn) == 0
    cpu = group.statistics()["cpu"]
    assert cpu["usage"] >= 30_000_000
    assert cpu["throttled_periods"] >= 1


def open_devices(*paths: str) -> None:
    for path in paths:
        os.close(os.open(path, os.O_RDWR))


@pytest.fixture
def disk(tmp_path: Path) -> str:
    """A node of a device that no container may open."""
    node = tmp_path / "kmem"
    try:
        os.mknod(node, 0o600 | 0o020000, os.makedev(1, 1))
    except PermissionError:
        pytest.skip("cannot make device nodes")
    return str(node)


def test_device_rules(group: Cgroup, disk: str) -> None:
    """Under the default rules null opens and /dev/mem's sibling does not; making nodes is allowed."""
    assert group.apply({"devices": device_rules()}) == []
    assert inside(group, lambda: open_devices("/dev/null", "/dev/zero")) == 0
    assert inside(group, lambda: open_devices(disk)) == errno.EPERM
    assert inside(group, lambda: os.mknod(disk + "2", 0o020600, os.makedev(10, 230))) == 0
    assert group.apply({"devices": device_rules()}) == []
    assert inside(group, lambda: open_devices("/dev/null")) == 0


@only_v1
def test_rules_for_privileged(group: Cgroup) -> None:
    """Everything allowed is what a fresh cgroup has: nothing is written, nothing refused."""
    assert group.apply({"devices": [{"allow": True, "access": "rwm"}]}) == []
    assert Path(group.folder("devices") or "", "devices.list").read_text() == "a *:* rwm\n"


@pytest.mark.skipif(HOST.unified is None, reason="no v2 hierarchy")
def test_device_program(group: Cgroup, disk: str) -> None:
    """The kernel's verifier takes our programs, they do what the rules say, and a new one replaces the old."""
    assert HOST.unified is not None
    folder = HOST.unified.mountpoint + group.path
    some = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "w"},
        {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"},
    ]
    for rules, expected in ((device_rules(), 0), (some, errno.EPERM), (device_rules(), 0)):
        attach(folder, parse_rules(rules))
        assert inside(group, lambda: open_devices("/dev/null")) == 0
        assert inside(group, lambda: open_devices("/dev/zero")) == expected
        assert inside(group, lambda: open_devices(disk)) == errno.EPERM
    attach(folder, parse_rules([{"allow": True, "access": "rwm"}]))
    assert inside(group, lambda: open_devices(disk)) in (0, errno.ENXIO, errno.ENODEV)


def test_removal_waits_for_the_dying(group: Cgroup) -> None:
    """Right after the kill the cgroup may be busy; removal waits, and a living process makes it give up."""
    for _ in range(20):
        cgroup = Cgroup.create(group.path + "/busy", HOST)
        pid = spawn(lambda cgroup=cgroup: (cgroup.enter(), signal.pause()))  # type: ignore[misc]
        until(lambda cgroup=cgroup: len(cgroup.processes()) == 1)  # type: ignore[misc]
        cgroup.kill()
        cgroup.remove()
        wait(pid)
        assert not cgroup.exists()


def test_a_living_process_is_not_removed(group: Cgroup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is EBUSY with the path, and the process lives on."""
    monkeypatch.setattr("sampan.linux.cgroup.files.REMOVE_DEADLINE", 0.05)
    pid = spawn(lambda: (group.enter(), signal.pause()))
    until(lambda: len(group.processes()) == 1)
    with pytest.raises(OSError) as error:
        group.remove()
    assert error.value.errno == errno.EBUSY
    assert group.path in str(error.value.filename)
    os.kill(pid, signal.SIGKILL)
    wait(pid)


@only_v1
def test_a_limit_that_the_host_lacks_is_a_warning(group: Cgroup) -> None:
    """A file that is not there is told in Docker's words, and the rest is set."""
    hugetlb = {"hugepageLimits": [{"pageSize": "7XB", "limit": 5}], "pids": {"limit": 9}}
    warnings = group.apply(hugetlb)
    assert warnings == [
        "Your kernel does not support huge page limits or the cgroup is not mounted. Limit discarded."
    ]
    assert group.statistics()["pids"]["limit"] == 9


def test_what_cannot_be_made_leaves_nothing(group: Cgroup) -> None:
    """When one hierarchy refuses, the folders in the others are taken back."""
    nowhere = Hierarchy("/proc/self/fdinfo", frozenset(["x"]), "/")
    broken = HOST._replace(mode="v1", v1=(*HOST.v1, nowhere))
    with pytest.raises(OSError):
        Cgroup.create(group.path + "/half", broken)
    assert not [folder for folder in folders(group) if os.path.isdir(folder + "/half")]
