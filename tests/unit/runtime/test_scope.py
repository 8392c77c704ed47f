"""Verifies that only a scope of our own is stopped: names of units are the whole host's."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sampan.linux import systemd
from sampan.linux.channel import Channel
from sampan.linux.systemd import Scope
from sampan.runtime import create
from sampan.runtime.context import Context
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.init import Init
from sampan.runtime.request import Request
from sampan.runtime.tool import life
from sampan.runtime.tool.state import Record, Store
from sampan.runtime.undo import Undo
from tests.fakes.kernel import RecordingKernel

SCOPE = Scope("docker-1.scope", "other.slice")


class Units:
    """systemd's, which hold one of this name already when `taken`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, taken: bool) -> None:
        self.taken = taken
        self.stopped: list[Scope] = []
        monkeypatch.setattr(systemd, "start_scope", self.start)
        monkeypatch.setattr(systemd, "stop_scope", self.stopped.append)

    def start(self, scope: Scope, _pid: int, _description: str, _resources: Any) -> None:
        if self.taken:
            raise OSError(errno.EIO, f"systemd: Unit {scope.name} already exists.")


class Group:
    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses

    def finish(self) -> None:
        pass

    def apply(self, _resources: Any) -> list[str]:
        if self.refuses:
            raise OSError(errno.EINVAL, "no such limit")
        return []


def set_up(undo: Undo, group: Group) -> list[str]:
    context = Context(cgroup=cast(Any, group))
    init = cast(Init, SimpleNamespace(new_user_namespace=False, user_namespace=False))
    ours, theirs = Channel.pair()
    try:
        kernel = RecordingKernel().kernel
        request = Request({}, scope=SCOPE)
        return create._set_up_from_outside(kernel, request, context, init, ours, 7, undo)
    finally:
        ours.close()
        theirs.close()


def test_a_unit_that_was_there_before_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    units, undo = Units(monkeypatch, taken=True), Undo()
    with pytest.raises(RuntimeFailure, match="already exists"):
        set_up(undo, Group())
    undo.run()
    assert units.stopped == []


@pytest.mark.parametrize("refuses", [False, True])
def test_one_that_has_started_is_stopped(monkeypatch: pytest.MonkeyPatch, refuses: bool) -> None:
    """Whether a later step fails, or whoever called gives up."""
    units, undo = Units(monkeypatch, taken=False), Undo()
    if refuses:
        with pytest.raises(RuntimeFailure, match="no such limit"):
            set_up(undo, Group(refuses=True))
    else:
        set_up(undo, Group())
    undo.run()
    assert units.stopped == [SCOPE]


@pytest.mark.parametrize("pid", [0, 1 << 22])
def test_what_is_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, pid: int) -> None:
    """A creator that died before its container had a process had no scope either."""
    units, store = Units(monkeypatch, taken=True), Store(str(tmp_path))
    store.reserve("one")
    record = Record("one", "/b", "", "root", {}, "", pid=pid, boot_id="-", scope=" ".join(SCOPE))
    store.write(record)
    life.destroy(RecordingKernel().kernel, store, record)
    assert units.stopped == ([SCOPE] if pid else [])
    assert list(store.all()) == []
