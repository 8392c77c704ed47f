"""Events on disk: over restarts and crashes, within bounds, and on a disk that is full."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sampan.engine.event import Event
from sampan.engine.eventlog import EventLog
from sampan.engine.events import Events
from tests.fakes.rooms import FakeClock


def actions(log: EventLog, since: int = 0) -> list[str]:
    return [event.action for event in log.events(since)]


def test_over_a_restart(tmp_path: Path) -> None:
    """Everything comes back as it was; the sequence and the times go on."""
    clock = FakeClock()
    events = Events(clock.now, log=EventLog(str(tmp_path)))
    first = events.emit("container", "die", "c", {"exitCode": "1", "é": "\udcff"})
    second = events.emit("image", "tag", "i")
    events.close()
    clock.time -= 10**12  # the clock was set back meanwhile
    log = EventLog(str(tmp_path))
    assert log.sequence == 2
    events = Events(clock.now, log=log)
    third = events.emit("container", "start", "c")
    assert third.time > second.time > first.time
    subscription = events.subscribe(since=first.time)
    found = list(subscription._queue)
    assert [event.action for event in found] == ["die", "tag", "start"]
    assert found[1] == second
    events.close()


def test_older_than_the_ring(tmp_path: Path) -> None:
    """`since` before what memory holds is answered from the disk, however much it is."""
    clock = FakeClock()
    events = Events(clock.now, size=3, log=EventLog(str(tmp_path)))
    times = [events.emit("container", str(number), "c").time for number in range(9000)]
    assert len(events.subscribe(since=times[0])._queue) == 9000
    assert [event.action for event in events.subscribe(since=times[-2])._queue] == ["8998", "8999"]
    events.close()


def test_bounded(tmp_path: Path) -> None:
    """Two files, the older one goes; nothing between is lost."""
    log = EventLog(str(tmp_path), limit=2000)
    for number in range(200):
        log.append(Event("container", str(number), "c", time=number + 1))
    assert sorted(os.listdir(tmp_path)) == ["current", "previous"]
    assert all((tmp_path / name).stat().st_size <= 2000 for name in os.listdir(tmp_path))
    kept = actions(log)
    assert kept == [str(number) for number in range(200 - len(kept), 200)]
    assert actions(log, since=199) == ["198", "199"]
    log.close()
    again = EventLog(str(tmp_path), limit=2000)
    assert (again.sequence, actions(again)) == (200, kept)
    again.close()


@pytest.mark.parametrize("rubbish", [b'{"sequence":3,"type":"con', b"\xff\xfe", b"[]\n", b"\n\n"])
def test_after_a_crash(tmp_path: Path, rubbish: bytes) -> None:
    """A line that was cut short is skipped, and the next one begins a new line."""
    log = EventLog(str(tmp_path))
    log.append(Event("container", "one", "c", time=1))
    log.close()
    with open(tmp_path / "current", "ab") as file:
        file.write(rubbish)
    log = EventLog(str(tmp_path))
    log.append(Event("container", "two", "c", time=2))
    assert actions(log) == ["one", "two"]
    last = (tmp_path / "current").read_bytes().splitlines()[-1]
    assert json.loads(last)["sequence"] == 2
    log.close()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens is told all the same; the sequence shows the gap; half a line is taken back."""
    log = EventLog(str(tmp_path))
    log.append(Event("container", "one", "c", time=1))
    real = os.write

    def short(fd: int, data: bytes) -> int:
        return real(fd, data[:5])

    monkeypatch.setattr(os, "write", short)
    log.append(Event("container", "lost", "c", time=2))
    monkeypatch.undo()
    log.append(Event("container", "three", "c", time=3))
    lines = [json.loads(line) for line in (tmp_path / "current").read_bytes().splitlines()]
    assert [(line["action"], line["sequence"]) for line in lines] == [("one", 1), ("three", 3)]
    log.close()
