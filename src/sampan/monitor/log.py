"""The container's log file: json-file records appended, rotated by rename.

Every write is of whole records: when the disk is full, what did not fit is taken back to the last whole
record and counted in `dropped`. Nothing here ever raises for the disk's sake, nor blocks on a reader.

    ID-json.log      being written          rotation: .1 → .2, then the file → .1, then a new file;
    ID-json.log.1    the newest before it             never truncated, so that a reader keeps its place
    ID-json.log.2.gz …                                `compress.py`
Out of scope: reading (the engine's `logs`), logs that are sent away (`remote.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from sampan.monitor.compress import Compressor
from sampan.wire.jsonlog import Encoder, format_time

MODE = 0o640


class Log:
    """`max_size` in bytes, 0: no rotation. As with dockerd a file is rotated before the first record that
    finds it at `max_size` or more, and one old file is kept even with `max_file=1`.
    """

    def __init__(
        self,
        path: str,
        *,
        max_size: int = 0,
        max_file: int = 1,
        compress: bool = False,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self.dropped = 0
        self._compressor = Compressor(path) if compress and max_file > 1 else None
        self._path = path
        self._max_size = max_size
        self._full_at = max_size
        self._old_files = max(1, max_file - 1)
        self._encoders = {stream: Encoder(stream, attributes) for stream in ("stdout", "stderr")}
        self._fd = -1
        self._size = 0
        self._open()

    def write(self, stream: str, data: bytes) -> None:
        """Output of the container; lines that are not whole yet wait for their rest."""
        self._append(self._encoders[stream].feed(data, format_time(time.time_ns())))

    def close(self) -> None:
        """Write the last lines, whole or not. Once."""
        now = format_time(time.time_ns())
        for encoder in self._encoders.values():
            self._append(encoder.finish(now))
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, MODE)
        self._size = os.fstat(self._fd).st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            # A record torn by a crash: end its line, or it would swallow our first record.
            self._write(b"\n")

    def _append(self, records: bytes) -> None:
        while records:
            if self._max_size and self._size >= self._full_at:
                self._rotate()
            end = len(records)
            if self._max_size and self._size + end > self._full_at:
                # Up to and with the record that reaches the limit.
                end = records.index(b"\n", max(0, self._full_at - self._size - 1)) + 1
            self._write(records[:end])
            records = records[end:]

    def _write(self, records: bytes) -> None:
        written = 0
        try:
            if self._fd < 0:
                self._open()
            while written < len(records):
                written += os.write(self._fd, memoryview(records)[written:])
            self._size += written
        except OSError:
            whole = records.rfind(b"\n", 0, written) + 1
            self.dropped += records.count(b"\n", whole)
            self._take_back(whole)

    def _take_back(self, whole: int) -> None:
        self._size += whole
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            pass  # half a record stays; readers skip it

    def _rotate(self) -> None:
        try:
            for number in range(self._next_number(), 1, -1):
                self._move_on(number - 1)
            self._rename(self._path, f"{self._path}.1")
        except OSError:
            # Go on in the same file, and try again after as much again.
            self._full_at = self._size + self._max_size
            return
        os.close(self._fd)
        self._fd = -1
        self._size = 0
        self._full_at = self._max_size
        self._compress()
        try:
            self._open()
        except OSError:
            pass  # the next write tries again

    def _next_number(self) -> int:
        """Up to where old files have to move on: the first free number, or the last one that is kept."""
        number = 1
        while number < self._old_files and self._is_taken(number):
            number += 1
        return number

    def _is_taken(self, number: int) -> bool:
        path = f"{self._path}.{number}"
        return os.path.lexists(path) or os.path.lexists(path + ".gz")

    def _move_on(self, number: int) -> None:
        """An old file, packed or not, gets the next number; what was there goes."""
        source, target = f"{self._path}.{number}", f"{self._path}.{number + 1}"
        for ending, other in (("", ".gz"), (".gz", "")):
            try:
                os.rename(source + ending, target + ending)
            except FileNotFoundError:
                continue
            self._remove(target + other)

    def _compress(self) -> None:
        if self._compressor is None:
            return
        if self._compressor.busy:
            self._compressor.moved()
        else:
            self._compress_next(self._compressor)

    def _compress_next(self, compressor: Compressor) -> None:
        for number in range(1, self._old_files + 1):
            if os.path.lexists(f"{self._path}.{number}"):
                compressor.start(number)
                return

    def reaped(self, pid: int, status: int) -> bool:
        """Whether the child was ours."""
        compressor = self._compressor
        if compressor is None or not compressor.is_child(pid):
            return False
        if compressor.finish(status):
            self._compress_next(compressor)
        return True

    @property
    def busy(self) -> bool:
        """A child is at work, whose end somebody has to wait for."""
        return self._compressor is not None and self._compressor.busy

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    def _rename(self, source: str, target: str) -> None:
        try:
            os.rename(source, target)
        except FileNotFoundError:
            pass
