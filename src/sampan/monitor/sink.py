"""Where a container's output goes besides its clients: a file, a log elsewhere, both, or nowhere."""

from __future__ import annotations

from collections.abc import Callable

from sampan.monitor.log import Log
from sampan.monitor.loop import Loop
from sampan.monitor.messages import LogOptions
from sampan.monitor.remote import Remote


class Sink:
    def __init__(self, loop: Loop, options: LogOptions, on_room: Callable[[], None]) -> None:
        """Raises OSError when the file cannot be opened."""
        self._file: Log | None = None
        self._remote: Remote | None = None
        if options.driver == "json-file":
            self._file = Log(
                options.path,
                max_size=options.max_size,
                max_file=options.max_file,
                compress=options.compress,
                attributes=options.attributes,
            )
        if options.remote is not None:
            self._remote = Remote(loop, options.remote, blocking=options.blocking, on_room=on_room)

    @property
    def room(self) -> bool:
        """Whether more may be written: a file always takes it."""
        return self._remote is None or self._remote.room

    @property
    def dropped(self) -> int:
        """Lines that are lost."""
        return sum(each.dropped for each in (self._file, self._remote) if each is not None)

    def write(self, stream: str, data: bytes) -> None:
        if self._file is not None:
            self._file.write(stream, data)
        if self._remote is not None:
            self._remote.write(stream, data)

    def reaped(self, pid: int, status: int) -> bool:
        return self._file is not None and self._file.reaped(pid, status)

    @property
    def busy(self) -> bool:
        """Something is being packed, which the monitor stays for."""
        return self._file is not None and self._file.busy

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._remote is not None:
            self._remote.close()
