"""Verifies that whichever step fails, the host is as it was: no mount, cgroup, process, descriptor (P-clean)."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sampan.linux.cgroup import detect
from sampan.linux.kernel import Kernel
from sampan.runtime import plan
from sampan.runtime.cgroups import EnterCgroup, SplitCgroupMount, UnifiedCgroupMount
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure
from tests.fakes.kernel import FailingKernel
from tests.kernel.conftest import Box
from tests.ledger import Ledger

# More calls than any of these containers needs.
ENOUGH = 1500
V2 = detect().mode == "v2"
# Of the other kind of hierarchy: the machine of tests/machine runs this file too.
NOT_HERE = {EnterCgroup, SplitCgroupMount} if V2 else {UnifiedCgroupMount}


@dataclass
class Case:
    """A container, and what is asked for besides its configuration."""

    config: dict[str, Any]
    request: dict[str, Any]


def _plain(box: Box) -> Case:
    config = box.config("true")
    source = box.folder / "data"
    source.mkdir(exist_ok=True)
    entry = {"destination": "/data/new", "type": "bind", "source": str(source)}
    config["mounts"].append({**entry, "options": ["rbind", "ro", "rprivate"]})
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["domainname"] = "example.org"
    config["root"] = {"readonly": True}
    return Case(config, {"terminal": True, "root": box.root()})


def _rare(box: Box) -> Case:
    """All else that a configuration can ask for, on a root that is a folder."""
    config = box.config("true", cwd="/made/here", oomScoreAdj=5)
    hook = [{"path": "/bin/true"}]
    config["hooks"] = dict.fromkeys(("prestart", "createRuntime", "createContainer"), hook)
    config["root"] = {"path": str(box.lower)}
    source = box.folder / "data"
    source.mkdir(exist_ok=True)
    ids = [{"containerID": 0, "hostID": 1000, "size": 1}]
    mapped = {"type": "bind", "source": str(source), "options": ["rbind", "idmap"]}
    config["mounts"] += [
        {"destination": "/mapped", "uidMappings": ids, "gidMappings": ids, **mapped},
        {"destination": "/layers", "type": "overlay", "source": "overlay",
         "options": [f"lowerdir={box.lower}", f"lowerdir={source}", "ro"]},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
    ]  # fmt: skip
    linux = config["linux"]
    linux["rootfsPropagation"] = "rslave"
    linux["namespaces"] = [{"type": kind} for kind in ("mount", "uts", "pid", "time", "network")]
    linux["namespaces"].append({"type": "ipc", "path": "/proc/self/ns/ipc"})
    linux["timeOffsets"] = {"boottime": {"secs": 7}}
    linux["netDevices"] = {_device(): {"name": "inside0"}}
    linux["resources"]["pids"] = {"limit": 100}
    linux["personality"] = {"domain": "LINUX"}
    linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    linux["devices"] = [{"type": "p", "path": "/dev/fifo"}]
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
    config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 3}
    return Case(config, {"root": (), "state": {"id": "x", "ociVersion": "1.2.0", "bundle": "/"}})


def _chrooted(box: Box) -> Case:
    return Case(box.config("true"), {"pivot": False, "root": box.root()})


CASES: dict[str, Callable[[Box], Case]] = {"plain": _plain, "rare": _rare, "chrooted": _chrooted}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _device() -> str:
    return f"fs{os.getpid() % 1_000_000}"


@pytest.fixture(autouse=True)
def device() -> Iterator[None]:
    """An interface that wanders: it has an address, is up, and must come back so."""
    words = f"link add {_device()} type veth peer name {_device()}p"
    subprocess.run(["ip", *words.split()], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "198.51.100.9/24", "dev", _device()], check=True)
        subprocess.run(["ip", "link", "set", _device(), "up"], check=True)
        yield
        assert _device_state()[:2] == ("UP", "198.51.100.9/24")
    finally:
        subprocess.run(["ip", "link", "del", f"{_device()}p"], check=False)


def _device_state() -> tuple[str, str]:
    argv = ["ip", "-json", "addr", "show", "dev", _device()]
    (entry,) = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    (address,) = [a for a in entry["addr_info"] if a["family"] == "inet"]
    return (
        "UP" if "UP" in entry["flags"] else "DOWN",
        f"{address['local']}/{address['prefixlen']}",
    )


def _operations(case: Case, monkeypatch: pytest.MonkeyPatch, box: Box) -> list[Operation]:
    """The plan of such a container."""
    seen: list[list[Operation]] = []
    build = plan.build

    def remembering(*args: Any, **kwargs: Any) -> list[Operation]:
        seen.append(build(*args, **kwargs))
        return seen[-1]

    with monkeypatch.context() as patch:
        patch.setattr(plan, "build", remembering)
        box.create(case.config, **case.request).abort()
    return seen[0]


def _all_kinds(base: type[Operation]) -> set[type[Operation]]:
    below = {kind for cls in base.__subclasses__() for kind in {cls, *_all_kinds(cls)}}
    return {
        kind
        for kind in below
        if not kind.__subclasses__() and kind.__module__.startswith("sampan.")
    }


def test_every_kind_of_operation_is_in_one_of_these_plans(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new kind of operation fails here until a case of this file has it."""
    planned = {
        type(operation)
        for make in CASES.values()
        for operation in _operations(make(box), monkeypatch, box)
    }
    assert _all_kinds(Operation) - planned == NOT_HERE


@each_case
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_every_operation_fails_in_turn(
    box: Box, monkeypatch: pytest.MonkeyPatch, case: Callable[[Box], Case], after: bool
) -> None:
    """In the parent's part of it and in init's, before its work and after it: all is undone."""
    made = case(box)
    operations = _operations(made, monkeypatch, box)
    before = Ledger.take(box.id)
    for phase in ("prepare", "execute"):
        for at, operation in enumerate(operations):
            kind = type(operation)
            if phase == "prepare" and kind.prepare is Operation.prepare:
                continue
            with monkeypatch.context() as patch:
                _break(
                    patch,
                    phase,
                    kind,
                    nth=operations[:at].count(operation),
                    like=operation,
                    after=after,
                )
                with pytest.raises(RuntimeFailure) as caught:
                    box.create(made.config, **made.request)
            text = f"injected in {operation.describe()}"
            assert text in str(caught.value), (phase, operation)
            assert getattr(caught.value, "__notes__", []) == []
        before.require_same()


def _break(
    patch: pytest.MonkeyPatch,
    phase: str,
    kind: type[Operation],
    *,
    nth: int,
    like: Operation,
    after: bool,
) -> None:
    real = getattr(kind, phase)
    left = [nth]

    def broken(self: Operation, kernel: Kernel, context: Context) -> None:
        if self != like or left[0]:
            left[0] -= self == like
            return real(self, kernel, context)
        if after:
            real(self, kernel, context)
        raise OSError(errno.EIO, f"injected in {self.describe()}")

    patch.setattr(kind, phase, broken)


def _try(box: Box, case: Case, kernel: FailingKernel) -> RuntimeFailure | None:
    """Create, and take it back; the failure, when a step failed."""
    try:
        created = box.create(case.config, kernel=kernel, **case.request)
    except RuntimeFailure as failure:
        return failure
    kernel.disarm()
    created.abort()
    return None


@each_case
@pytest.mark.parametrize("where", ["parent_at", "child_at"])
def test_every_call_fails_in_turn(box: Box, where: str, case: Callable[[Box], Case]) -> None:
    """Whatever the kernel is asked for, by the parent or by init."""
    made = case(box)
    before = Ledger.take(box.id)
    failures = 0
    passed_in_a_row = 0
    for number in range(ENOUGH):
        failure = _try(box, made, FailingKernel(**{where: number}))
        if failure is None:
            # Some calls may fail without harm; when several in a row pass, none was left to fail.
            passed_in_a_row += 1
            if passed_in_a_row == 10:
                break
            continue
        failures, passed_in_a_row = failures + 1, 0
        assert str(failure).startswith("unable to start container process: ")
        assert failure.step
        assert getattr(failure, "__notes__", []) == []
        if number % 10 == 0:
            before.require_same()
    assert 10 < failures < ENOUGH
    before.require_same()


def test_a_limit_that_the_kernel_refuses(box: Box) -> None:
    config = box.config("true")
    config["linux"]["resources"]["cpu"] = {"period": 1}
    with pytest.raises(RuntimeFailure, match="error setting cgroup limits"):
        box.create(config)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"process": {"args": []}}, "process.args must not be empty"),
        ({"process": {"args": ["x"], "cwd": "relative"}}, "Cwd must be an absolute path"),
        ({"process": {"args": ["x"], "user": {"uid": 1 << 32}}}, "invalid uid: 4294967296"),
        ({"process": {"args": ["x"], "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}},
         "invalid rlimit type: RLIMIT_X"),
        ({"mounts": [{"destination": "/"}]}, 'cannot have the destination "/"'),
        ({"mounts": [{"destination": "/x", "type": "nofs"}]}, "no such device"),
        ({"mounts": [{"destination": "/x", "type": "tmpfs", "options": ["size=lots"]}]},
         "Bad value for 'size'"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "space"}]}},
         'namespace type "space" is not supported'),
        ({"linux": {"namespaces": []}}, "needs a new mount namespace"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "/none"}]}},
         "no such file or directory"),
    ],
)  # fmt: skip
def test_a_configuration_that_makes_no_sense(
    box: Box, change: dict[str, object], text: str
) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        box.create({**box.config("true"), **change})
    assert text in str(caught.value)
