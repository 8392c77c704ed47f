"""Logs: what is selected, where reading begins, rotation, following until the exit, bounded memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from sampan.engine import logfile, logs, remove, start
from sampan.engine.logs import LogOptions
from sampan.engine.records import ContainerRecord
from sampan.engine.times import from_text, to_text
from sampan.errors import InvalidParameter, NotImplementedHere
from sampan.monitor.compress import pack
from sampan.monitor.log import Log
from sampan.spec.container import LogConfig
from tests.fakes.rooms import Rooms

SECOND = 1_000_000_000
EPOCH = from_text("2026-11-24T05:00:00Z")
BOTH = {"stdout": True, "stderr": True}


def line(number: int, stream: str = "stdout", text: str | None = None) -> str:
    """Record `number` is from second `number`."""
    moment = to_text(EPOCH + number * SECOND)
    return f'{{"log":"{text or number}\\n","stream":"{stream}","time":"{moment}"}}\n'


async def read(rooms: Rooms, ref: str = "web", **options: Any) -> list[tuple[int, bytes]]:
    stream = await logs.read_logs(rooms.services, ref, LogOptions(**{**BOTH, **options}))
    return [chunk async for chunk in stream.chunks]


async def numbers(rooms: Rooms, **options: Any) -> list[int]:
    return [int(data) for _, data in await read(rooms, **options)]


async def made(rooms: Rooms, *files: list[int], **options: Any) -> ContainerRecord:
    """A container whose log is these numbers; the last list is the newest file."""
    record = await rooms.create("web", **options)
    for age, content in enumerate(reversed(files)):
        name = record.log_path + (f".{age}" if age else "")
        Path(name).write_text("".join(line(number) for number in content))
    return record


async def test_streams(rooms: Rooms) -> None:
    """1 and 2, both or one of them, one chunk a record."""
    record = await made(rooms)
    Path(record.log_path).write_text(line(1) + line(2, "stderr") + line(3))
    assert await read(rooms) == [(1, b"1\n"), (2, b"2\n"), (1, b"3\n")]
    assert await read(rooms, stdout=False) == [(2, b"2\n")]
    assert (await logs.read_logs(rooms.services, "web", LogOptions(**BOTH))).multiplexed
    with pytest.raises(
        InvalidParameter, match="Bad parameters: you must choose at least one stream"
    ):
        await read(rooms, stdout=False, stderr=False)


async def test_forms(rooms: Rooms) -> None:
    """Timestamps have nine digits; details are the line's attributes."""
    record = await made(rooms)
    moment = "2026-11-24T05:31:00.5Z"
    attributes = '"attrs":{"a":"1 2","E":"x=y"},'
    Path(record.log_path).write_text(
        f'{{"log":"x\\n","stream":"stdout",{attributes}"time":"{moment}"}}\n'
    )
    assert await read(rooms, timestamps=True) == [(1, b"2026-11-24T05:31:00.500000000Z x\n")]
    assert await read(rooms, details=True) == [(1, b"E=x%3Dy,a=1+2 x\n")]


async def test_a_driver_that_keeps_nothing(rooms: Rooms) -> None:
    """501 in dockerd's words."""
    await rooms.create("web", log_config=LogConfig(type="none"))
    with pytest.raises(
        NotImplementedHere, match="configured logging driver does not support reading"
    ):
        await read(rooms)


async def test_no_log_yet(rooms: Rooms) -> None:
    """Nothing, and no error."""
    await rooms.create("web")
    assert await read(rooms, tail=5, since=1, follow=True) == []


FILES = (list(range(0, 40)), list(range(40, 70)), list(range(70, 75)))
ALL = list(range(75))


@pytest.mark.parametrize(
    ("tail", "first"), [(-1, 0), (0, 75), (1, 74), (5, 70), (6, 69), (35, 40), (36, 39), (75, 0), (999, 0)]
)  # fmt: skip
async def test_tail_over_rotated_files(rooms: Rooms, tail: int, first: int) -> None:
    """The last n lines of all files together."""
    await made(rooms, *FILES)
    assert await numbers(rooms, tail=tail) == ALL[first:]


@pytest.mark.parametrize("since", [0, 1, 39, 40, 41, 69, 70, 74, 75, 500])
@pytest.mark.parametrize("until", [0, 1, 50, 74])
async def test_times_over_rotated_files(rooms: Rooms, since: int, until: int) -> None:
    """From and up to a time, both included."""
    await made(rooms, *FILES)
    found = await numbers(
        rooms, since=EPOCH + since * SECOND, until=EPOCH + until * SECOND if until else 0
    )
    assert found == [n for n in ALL if n >= since and (not until or n <= until)]


async def test_tail_and_since(rooms: Rooms) -> None:
    """Both hold."""
    await made(rooms, *FILES)
    assert await numbers(rooms, tail=10, since=EPOCH + 72 * SECOND) == [72, 73, 74]
    assert await numbers(rooms, tail=2, since=EPOCH) == [73, 74]


@pytest.mark.parametrize("size", [1, 100, 5000])
async def test_tail_counts_over_blocks(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Blocks that end anywhere, a last line without newline."""
    monkeypatch.setattr(logfile, "BLOCK", size)
    record = await made(rooms, list(range(30)))
    assert await numbers(rooms, tail=7) == list(range(23, 30))
    with open(record.log_path, "a") as file:
        file.write('{"log":"torn')
    assert await numbers(rooms, tail=7) == list(range(24, 30))


async def test_what_is_no_record(rooms: Rooms) -> None:
    """Torn and foreign lines are left out, the rest is read."""
    record = await made(rooms)
    Path(record.log_path).write_text("garbage\n" + line(1) + '{"log":5}\n\n' + line(2) + '{"lo')
    assert await numbers(rooms) == [1, 2]
    assert await numbers(rooms, since=EPOCH + 2 * SECOND) == [2]


async def test_since_does_not_read_a_large_log(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by bisecting: a few hundred KB are read of 20 MB."""
    record = await made(rooms)
    count, padding = 100_000, "x" * 150
    with open(record.log_path, "w") as file:
        file.writelines(line(number, text=f"{number:08d}{padding}") for number in range(count))
    read_bytes = 0
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        nonlocal read_bytes
        data = real(fd, size, offset)
        read_bytes += len(data)
        return data

    monkeypatch.setattr(os, "pread", pread)
    found = await read(rooms, since=EPOCH + (count - 5) * SECOND)
    assert [int(data[:8]) for _, data in found] == list(range(count - 5, count))
    assert read_bytes < 1 << 20


async def test_since_with_a_long_line_of_older_time(rooms: Rooms) -> None:
    """The pieces of a line that took long carry its first piece's time, and mislead nobody."""
    record = await made(rooms)
    content = "".join(line(number, text=f"{number:06d}{'x' * 300}") for number in range(2000))
    late = "".join(line(5, text=f"{5:06d}{'y' * 300}") for _ in range(50))
    tail = "".join(line(number, text=f"{number:06d}{'x' * 300}") for number in range(2000, 2100))
    Path(record.log_path).write_text(content + late + tail)
    found = [int(data[:6]) for _, data in await read(rooms, since=EPOCH + 1990 * SECOND)]
    assert found == list(range(1990, 2100))


async def run(rooms: Rooms) -> ContainerRecord:
    await rooms.create("web")
    await start.start_container(rooms.services, "web")
    return rooms.record("web")


class Follower:
    """Reads on in a task of its own."""

    def __init__(self, rooms: Rooms, **options: Any) -> None:
        self.lines: list[bytes] = []
        self.changed = asyncio.Event()
        self._rooms, self._options = rooms, options
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        wanted = LogOptions(**{**BOTH, "follow": True, **self._options})
        stream = await logs.read_logs(self._rooms.services, "web", wanted)
        async for _, data in stream.chunks:
            self.lines.append(data)
            self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.lines) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_follow(rooms: Rooms) -> None:
    """What is written arrives, through rotations, and the end comes with the exit; nothing stays open."""
    record = await run(rooms)
    before = len(os.listdir("/proc/self/fd"))
    log = Log(record.log_path, max_size=600, max_file=3)
    follower = Follower(rooms)
    for number in range(200):
        log.write("stdout", b"%d\n" % number)
        if number % 10 == 9:
            await follower.until(number + 1)
    assert os.path.exists(record.log_path + ".2")
    log.write("stdout", b"last")
    log.close()
    rooms.monitors.last.exit(0)
    async with asyncio.timeout(10):
        await follower.task
    assert follower.lines == [b"%d\n" % number for number in range(200)] + [b"last"]
    assert len(os.listdir("/proc/self/fd")) <= before
    assert rooms.services.containers.actor("web").exits == set()


async def test_follow_of_a_burst_that_rotates_everything_away(rooms: Rooms) -> None:
    """A reader that was too slow loses what rotation deleted, and goes on with what is there."""
    record = await run(rooms)
    log = Log(record.log_path, max_size=400, max_file=2)
    log.write("stdout", b"0\n")
    follower = Follower(rooms)
    await follower.until(1)
    for number in range(1, 500):
        log.write("stdout", b"%d\n" % number)
    log.close()
    rooms.monitors.last.exit(0)
    async with asyncio.timeout(10):
        await follower.task
    found = [int(data) for data in follower.lines]
    assert found == sorted(set(found))
    assert found[-1] == 499


async def test_follow_with_tail_and_since(rooms: Rooms) -> None:
    """`--tail 0 -f`: only what comes."""
    record = await run(rooms)
    log = Log(record.log_path)
    log.write("stdout", b"old\n")
    follower = Follower(rooms, tail=0)
    await asyncio.sleep(0)
    log.write("stdout", b"new\n")
    await follower.until(1)
    assert follower.lines == [b"new\n"]
    log.close()
    rooms.monitors.last.exit(0)
    await follower.task


async def test_follow_of_what_is_removed(rooms: Rooms) -> None:
    """`rm -f` ends it."""
    record = await run(rooms)
    Path(record.log_path).write_text(line(1))
    follower = Follower(rooms)
    await follower.until(1)
    await remove.remove_container(rooms.services, "web", force=True)
    async with asyncio.timeout(10):
        await follower.task


async def test_a_follower_that_goes_away(rooms: Rooms) -> None:
    """Cancelled in the middle: no descriptor, no waiter stays."""
    await run(rooms)
    before = len(os.listdir("/proc/self/fd"))
    follower = Follower(rooms)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)
    assert len(os.listdir("/proc/self/fd")) <= before
    assert rooms.services.containers.actor("web").exits == set()


async def test_a_reader_that_stalls(rooms: Rooms) -> None:
    """Not more than a block is in memory: the file is read as it is taken."""
    record = await made(rooms)
    with open(record.log_path, "w") as file:
        file.writelines(line(number) for number in range(20_000))
    stream = await logs.read_logs(rooms.services, "web", LogOptions(**BOTH))
    chunks = stream.chunks
    await anext(chunks)
    fds = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    assert record.log_path in {os.readlink(fd) for fd in fds if os.path.exists(fd)}
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_other_work_goes_on(rooms: Rooms) -> None:
    """Reading a log whose client never blocks leaves the loop to others after every block."""
    record = await made(rooms)
    with open(record.log_path, "w") as file:
        file.writelines(line(number) for number in range(50_000))
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticker = asyncio.create_task(tick())
    assert len(await read(rooms)) == 50_000
    ticker.cancel()
    assert turns >= os.path.getsize(record.log_path) // logfile.BLOCK


async def packed(rooms: Rooms) -> ContainerRecord:
    """A container whose two oldest log files are packed."""
    record = await made(rooms, *FILES)
    for number in (1, 2):
        plain = f"{record.log_path}.{number}"
        os.utime(plain, ns=(0, EPOCH + (FILES[-1 - number][-1]) * SECOND))
        with open(plain, "rb") as source, open(f"{plain}.gz", "wb") as target:
            pack(source.fileno(), target.fileno())
        os.unlink(plain)
    return record


async def test_packed_files(rooms: Rooms) -> None:
    """They are read like the others: all, by tail, and by time."""
    await packed(rooms)
    assert await numbers(rooms) == ALL
    for tail in (3, 20, 50, 100):
        assert await numbers(rooms, tail=tail) == ALL[-tail:]
    for since in (0, 10, 41, 72):
        assert await numbers(rooms, since=EPOCH + since * SECOND) == ALL[since:]
    assert await numbers(rooms, until=EPOCH + 30 * SECOND) == ALL[:31]


async def test_packed_files_that_are_not_needed(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By tail and by time they are left packed."""
    await packed(rooms)

    def never(packed: int, plain: int) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(logfile, "_unpack", never)
    assert await numbers(rooms, tail=4) == ALL[-4:]
    assert await numbers(rooms, since=EPOCH + 70 * SECOND) == ALL[70:]


async def test_a_packed_file_that_is_none(rooms: Rooms) -> None:
    """A foreign file ends the row of old ones, and is no error."""
    record = await made(rooms, ALL)
    Path(f"{record.log_path}.1.gz").write_bytes(b"nothing of ours" * 10)
    assert await numbers(rooms) == ALL


async def test_follow_through_packing(rooms: Rooms) -> None:
    """A file that is packed while it is read is not read again."""
    record = await run(rooms)
    path = Path(record.log_path)
    path.write_text("".join(line(number) for number in range(10)))
    stream = await logs.read_logs(rooms.services, "web", LogOptions(**BOTH, follow=True))
    seen: list[int] = []
    for _ in range(10):
        seen.append(int((await anext(stream.chunks))[1]))
    following = asyncio.ensure_future(anext(stream.chunks))
    await asyncio.sleep(0)
    path.rename(f"{path}.1")
    with open(f"{path}.1", "rb") as source, open(f"{path}.1.gz", "wb") as target:
        pack(source.fileno(), target.fileno())
    os.unlink(f"{path}.1")
    path.write_text("".join(line(number) for number in range(10, 13)))
    seen.append(int((await asyncio.wait_for(following, 10))[1]))
    seen += [int((await asyncio.wait_for(anext(stream.chunks), 10))[1]) for _ in range(2)]
    assert seen == list(range(13))
    await stream.chunks.aclose()


def test_the_number_of_an_inode_that_is_used_again(tmp_path: Path) -> None:
    """A packed file is followed by the newest, whose inode has the number that the packed one's had."""
    path = tmp_path / "log"
    path.write_bytes(b'{"log":"new\\n","stream":"stdout","time":"2026-11-24T00:00:00Z"}\n')
    reader = logs.Reader(str(path), None)
    empty = os.memfd_create("unpacked")
    reader._files = [logfile.LogFile(empty, path.stat().st_ino, changed=1)]
    try:
        assert reader._rotated()
        assert [bool(file.changed) for file in reader._files] == [True, False]
    finally:
        reader.close()
