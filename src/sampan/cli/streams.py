"""The two-way stream of attach and exec: standard input in a thread, output here.

Output blocks only itself: a reader of ours that is slow holds the container back (nothing is lost) and leaves input
and signals alone.
"""

from __future__ import annotations

import _thread
import os
from _socket import SHUT_RDWR, SHUT_WR

from sampan.cli.failure import Failure
from sampan.cli.output import STDERR, STDOUT, warn, write_all
from sampan.cli.terminal import (
    DEFAULT_DETACH_KEYS,
    STDIN,
    DetachDetector,
    RawMode,
    parse_detach_keys,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from _socket import socket
    from collections.abc import Callable

    from sampan.cli.http import Connection

    Write = Callable[[bytes], None]
else:
    import _signal

_CHUNK = 65536


class Streams:
    """What goes through a hijacked connection. `run` returns when it ends or the user detaches."""

    def __init__(
        self,
        connection: Connection,
        *,
        tty: bool,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        detach_keys: str,
    ) -> None:
        self._connection = connection
        self._tty = tty
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._detach_keys = detach_keys
        self._detached = False
        self._input_ended: _thread.LockType | None = None

    def run(self) -> bool:
        """False when the user detached. Raises Failure for an error that came through the stream."""
        with RawMode(STDIN) if self._tty and self._stdin else _Nothing():
            self._start_input()
            if self._stdout or self._stderr:
                self._pump_output()
            elif self._input_ended is not None:
                self._input_ended.acquire()
        return not self._detached

    def _start_input(self) -> None:
        sock = self._connection.socket
        if not self._stdin:
            _end_writing(sock)
            return
        self._input_ended = _thread.allocate_lock()
        self._input_ended.acquire()
        _thread.start_new_thread(
            self._pump_input, (_detector(self._detach_keys) if self._tty else None,)
        )

    def _pump_input(self, detector: DetachDetector | None) -> None:
        sock, stdin = self._connection.socket, STDIN
        # Handlers run in the main thread, which must be the one that a signal wakes.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            while data := os.read(stdin, _CHUNK):
                if detector is not None:
                    data, self._detached = detector.feed(data)
                sock.sendall(data)
                if self._detached:
                    sock.shutdown(SHUT_RDWR)
                    return
        except OSError:
            pass  # The container or the terminal is gone; the output side sees why.
        finally:
            _end_writing(sock)
            if self._input_ended is not None:
                self._input_ended.release()

    def _pump_output(self) -> None:
        write = self._write_raw if self._tty else self._demultiplexer()
        for data in self._connection.read_to_end():
            write(data)

    def _write_raw(self, data: bytes) -> None:
        write_all(STDOUT, data)

    def _demultiplexer(self) -> Write:
        from sampan.wire.stdcopy import STDERR as ERROR_STREAM
        from sampan.wire.stdcopy import SYSTEM_ERROR, Decoder

        decoder = Decoder()

        def write(data: bytes) -> None:
            for stream, payload in decoder.feed(data):
                if stream == SYSTEM_ERROR:
                    raise Failure(
                        f"error from daemon in stream: {payload.decode('utf-8', 'replace')}"
                    )
                write_all(STDERR if stream == ERROR_STREAM else STDOUT, payload)

        return write


def _end_writing(sock: socket) -> None:
    try:
        sock.shutdown(SHUT_WR)
    except OSError:
        pass  # already closed by the other side


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *details: object) -> None:
        return None


def _detector(keys: str) -> DetachDetector:
    if not keys:
        return DetachDetector(DEFAULT_DETACH_KEYS)
    try:
        return DetachDetector(parse_detach_keys(keys))
    except ValueError as error:
        warn(f"invalid detach escape keys, using default: {error}")
        return DetachDetector(DEFAULT_DETACH_KEYS)
