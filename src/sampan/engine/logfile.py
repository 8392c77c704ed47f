"""One container's json-file log on disk, with what rotation left of it, as one sequence of records.

    ID-json.log.2.gz  older ──▶ ID-json.log.1 ──▶ ID-json.log  newest, growing

A packed file is unpacked, into a file without a name, when something of it is wanted. All files are opened at once,
so a rotation while they are read loses nothing. Places are found by bisecting on
time and by counting lines backwards, never by reading everything. Memory is one block and one line.
Out of scope: who wants which records (`logs.py`), writing (`monitor/log.py`).
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from sampan.wire import jsonlog
from sampan.wire.jsonlog import RECORD_LIMIT, Decoder, Record

BLOCK = 64 * 1024
PROBE = (
    32 * 1024
)  # bytes looked at for a time; the record that begins a long line may be older than its neighbours
OPEN_LIMIT = 1000  # rotated files
_HEADER = 10  # bytes of a gzip file before the name in it


@dataclass(slots=True)
class LogFile:
    """An open file; `position` is where reading goes on. `packed`: `fd` is a gzip file still."""

    fd: int
    inode: int
    changed: int = 0  # of a packed one: nanoseconds, when what is in it was last written to
    position: int = 0
    decoder: Decoder = field(default_factory=Decoder)
    packed: bool = False
    folder: str = ""

    @property
    def size(self) -> int:
        self.unpack()
        return os.fstat(self.fd).st_size

    def is_same(self, other: LogFile) -> bool:
        """Whether both are one file, which may have been packed meanwhile. Numbers of inodes are used again."""
        if self.inode != other.inode:
            return False
        return (
            self._last_change() == other._last_change() if self.changed or other.changed else True
        )

    def _last_change(self) -> int:
        return self.changed or os.fstat(self.fd).st_mtime_ns

    def pread(self, length: int, offset: int) -> bytes:
        self.unpack()
        return os.pread(self.fd, length, offset)

    def unpack(self) -> None:
        """Blocking: a tenth of a second for 20 MB."""
        if not self.packed:
            return
        plain = _nameless(self.folder)
        try:
            _unpack(self.fd, plain)
        except (OSError, zlib.error):
            os.close(plain)
            raise
        os.close(self.fd)
        self.fd, self.packed = plain, False

    def read(self) -> list[Record] | None:
        """The next block's records; None at the present end."""
        block = self.pread(BLOCK, self.position)
        if not block:
            return None
        self.position += len(block)
        return self.decoder.feed(block)

    def close(self) -> None:
        os.close(self.fd)


def open_log(path: str) -> LogFile | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    return LogFile(fd, os.fstat(fd).st_ino)


def open_packed(path: str) -> LogFile | None:
    """A gzip file whose name in its header says which file it was (`monitor/compress.py`)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    inode, _, changed = os.pread(fd, 64, _HEADER).partition(b"\0")[0].partition(b"-")
    if not (inode.isdigit() and changed.isdigit()):
        os.close(fd)  # foreign, or cut short by a crash
        return None
    folder = os.path.dirname(path)
    return LogFile(fd, int(inode), int(changed), packed=True, folder=folder)


def _nameless(folder: str) -> int:
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        return os.memfd_create("log", os.MFD_CLOEXEC)


def _unpack(packed: int, plain: int) -> None:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    offset = 0
    while piece := os.pread(packed, BLOCK, offset):
        offset += len(piece)
        data = memoryview(unpacker.decompress(piece))
        while data:
            data = data[os.write(plain, data) :]


def open_all(path: str) -> list[LogFile]:
    """Oldest first. A file that moved on, or was packed, while the others were opened is there once."""
    found: list[LogFile] = []
    for number in range(OPEN_LIMIT):
        log = open_log(f"{path}.{number}" if number else path)
        if log is None and number:
            log = open_packed(f"{path}.{number}.gz")
        if log is None:
            if number:
                break
        elif any(log.is_same(other) for other in found):
            log.close()
        else:
            found.append(log)
    found.reverse()
    return found


def newer(path: str, current: LogFile) -> list[LogFile]:
    """After a rotation: the files that came after `current`, oldest first; empty when there is none."""
    files = open_all(path)
    # One that rotation has deleted meanwhile: everything that is left is newer.
    start = next((at + 1 for at, log in enumerate(files) if log.is_same(current)), 0)
    for log in files[:start]:
        log.close()
    return files[start:]


def latest_time(log: LogFile, start: int, limit: int = PROBE) -> int | None:
    """The greatest time among the records that begin in a stretch of the file; None without any."""
    data = log.pread(limit, start)
    if start:
        data = data[data.find(b"\n") + 1 :]
    end = data.rfind(b"\n")
    if end < 0:
        return None if limit >= RECORD_LIMIT else latest_time_of_long(log, start)
    times = [moment for line in data[:end].split(b"\n") if (moment := _moment(line)) is not None]
    return max(times, default=None)


def latest_time_of_long(log: LogFile, start: int) -> int | None:
    return latest_time(log, start, RECORD_LIMIT)


def _moment(line: bytes) -> int | None:
    text = jsonlog.time_of(line)
    try:
        return jsonlog.parse_time(text) if text else None
    except ValueError:
        return None


def seek_time(log: LogFile, since: int) -> None:
    """Go to a line start before which no record is of `since` or later."""
    low, high = 0, log.size
    while high - low > PROBE:
        middle = (low + high) // 2
        latest = latest_time(log, middle)
        if latest is not None and latest < since:
            low = middle
        else:
            high = middle
    log.position = _line_start(log, low)


def is_older(log: LogFile, since: int) -> bool:
    """Whether every record of the file is from before `since`, by its last ones."""
    if log.packed:
        return log.changed < since  # what was written last was written then
    latest = latest_time(log, max(0, log.size - PROBE))
    return latest is not None and latest < since


def _line_start(log: LogFile, offset: int) -> int:
    """The first line start at or after `offset`."""
    while offset:
        block = log.pread(BLOCK, offset)
        at = block.find(b"\n")
        if at >= 0:
            return offset + at + 1
        if not block:
            return offset
        offset += len(block)
    return 0


def seek_tail(files: list[LogFile], lines: int) -> list[LogFile]:
    """Go to the last `lines` lines of all files together; files that hold none of them are closed and left out."""
    for index in range(len(files) - 1, -1, -1):
        log = files[index]
        counted = _seek_lines(log, lines)
        if counted >= lines:
            for older in files[:index]:
                older.close()
            return files[index:]
        lines -= counted
    return files


def _seek_lines(log: LogFile, lines: int) -> int:
    """Position `log` at its last `lines` lines; how many it has of them."""
    end = log.size
    if lines == 0:
        log.position = end
        return 0
    counted = 0
    position = end
    for block_start, block in _backwards(log, end):
        at = len(block)
        if position == end and block.endswith(b"\n"):
            at -= 1  # the end of the last line begins none
        position = block_start
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            counted += 1
            if counted == lines:
                log.position = block_start + at + 1
                return lines
    log.position = 0
    return counted + (1 if end else 0)


def _backwards(log: LogFile, end: int) -> Iterator[tuple[int, bytes]]:
    while end > 0:
        start = max(0, end - BLOCK)
        yield start, log.pread(end - start, start)
        end = start
