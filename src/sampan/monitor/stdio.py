"""The standard streams of one process: pipes or a terminal on its side, a log and clients on ours.

    clients ──▶ pending ──▶ stdin (pipe or terminal)
    stdout, stderr (pipes), or the terminal ──▶ log, and every client that wants them

A slow client stops the reading of the streams it wants, and so in the end the process, until it has taken
enough or is gone: nothing is lost, and memory is bounded. After the process has ended `drain` reads what
is left and never waits longer than DRAIN for somebody else who holds the streams open.
Out of scope: how the log is written (`log.py`), the socket of a client (`attach.py`).
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable

from sampan.monitor.attach import CHUNK, Client
from sampan.monitor.loop import IN, OUT, Loop
from sampan.monitor.messages import AttachOptions, Size
from sampan.monitor.sink import Sink

DRAIN = 2.0  # seconds, as dockerd waits
INPUT_LIMIT = 64 * 1024
LAST_LIMIT = 2 * 1024 * 1024  # more than a pipe of any size holds
STDOUT, STDERR = 1, 2
_NAMES = {STDOUT: "stdout", STDERR: "stderr"}


class Output:
    """One stream that the process writes."""

    __slots__ = ("fd", "stream")

    def __init__(self, stream: int, fd: int) -> None:
        self.stream = stream
        self.fd = fd


class Stdio:
    """`child` are the descriptors for the process; ours until `started` or `abandon`.

    `on_detached` is told of a client that left by its detach keys.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        terminal: bool,
        open_stdin: bool,
        stdin_once: bool,
        streams: tuple[int, ...] = (STDOUT, STDERR),
        log: Sink | None = None,
        on_detached: Callable[[], None] = lambda: None,
    ) -> None:
        """`streams`: those that somebody may read; the others are /dev/null."""
        self.clients: list[Client] = []
        self.on_idle: Callable[[], None] = lambda: None  # the last client's socket is closed
        self._loop = loop
        self._terminal = terminal
        self._open_stdin = open_stdin
        self._stdin_once = stdin_once and not terminal
        self._log = log
        self._on_detached = on_detached
        self._outputs: list[Output] = []
        self._console = -1
        self._input = -1
        self._input_ends = False  # close it when all that waits is written
        self._pending = bytearray()
        self.finished = False
        self._on_drained: Callable[[], None] | None = None
        self.child = self._make_child(streams)

    def _make_child(self, streams: tuple[int, ...]) -> tuple[int, int, int]:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        child = [null, null, null]
        if self._terminal:
            return (null, null, null)
        try:
            if self._open_stdin:
                child[0], self._input = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(self._input, False)
            for stream in streams:
                fd, child[stream] = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(fd, False)
                self._outputs.append(Output(stream, fd))
        except OSError:
            self.child = (child[0], child[1], child[2])
            self.abandon()
            raise
        if null not in child:
            os.close(null)
        return (child[0], child[1], child[2])

    def started(self, console: int | None) -> None:
        """The process has its ends, or `console` is the terminal's master: ours from now on."""
        self._close_child()
        if console is not None:
            self._console = console
            os.set_blocking(console, False)
            self._outputs.append(Output(STDOUT, console))
            if self._open_stdin:
                # A descriptor of its own, so that epoll can watch the two directions apart.
                self._input = os.dup(console)
        for output in self._outputs:
            self._watch(output)

    def abandon(self) -> None:
        """The process never came to be."""
        self._close_child()
        self._close_input()
        for output in list(self._outputs):
            self._close_output(output)
        self.finish()

    def _close_child(self) -> None:
        for fd in {fd for fd in self.child if fd >= 0}:
            os.close(fd)
        self.child = (-1, -1, -1)

    def resize(self, size: Size) -> None:
        """Raises OSError (ENOTTY without a terminal)."""
        rows, columns = size
        fcntl.ioctl(self._console, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    # -- clients -----------------------------------------------------------------------------

    def attach(self, fd: int, options: AttachOptions) -> None:
        """Takes `fd` over. After the end it gets an empty output and is closed."""
        if not self._open_stdin:
            options = AttachOptions(
                stdout=options.stdout,
                stderr=options.stderr,
                multiplexed=options.multiplexed,
                stall_timeout=options.stall_timeout,
            )
        client = Client(self._loop, self, fd, options, terminal=self._terminal)
        self.clients.append(client)
        client.open()
        if self.finished:
            client.finish()

    def finish(self) -> None:
        """No more output: clients get what waits for them, and then the end."""
        self.finished = True
        self._close_input()
        for client in list(self.clients):
            client.finish()

    def input_room(self) -> int:
        if self._input < 0 or self._input_ends:
            return -1
        return max(0, INPUT_LIMIT - len(self._pending))

    def feed(self, data: bytes) -> None:
        if self._input < 0 or self._input_ends:
            return
        self._pending += data
        self._write_input()

    def input_ended(self, client: Client) -> None:
        if self._stdin_once and self._input >= 0:
            self._input_ends = True
            if not self._pending:
                self._close_input()

    def has_room(self, client: Client) -> None:
        self._resume_outputs()

    def resume(self) -> None:
        """The log has room again."""
        self._resume_outputs()

    def detached(self, client: Client) -> None:
        self._on_detached()

    def gone(self, client: Client) -> None:
        self._resume_outputs()

    def closed(self, client: Client) -> None:
        self.clients.remove(client)
        if not self.clients:
            self.on_idle()

    # -- input -------------------------------------------------------------------------------

    def _write_input(self) -> None:
        """As much of what waits as the process takes."""
        try:
            while self._pending:
                count = os.write(self._input, memoryview(self._pending)[:CHUNK])
                del self._pending[:count]
        except BlockingIOError:
            self._loop.watch(self._input, OUT, self._on_input_writable)
            return
        except OSError:
            # Nobody reads any more (EPIPE), or the terminal is gone (EIO).
            self._close_input()
            return
        self._loop.forget(self._input)
        if self._input_ends:
            self._close_input()

    def _on_input_writable(self, _events: int) -> None:
        self._write_input()
        for client in list(self.clients):
            client.resume_input()

    def _close_input(self) -> None:
        self._pending.clear()
        if self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1
            for client in list(self.clients):
                client.resume_input()

    # -- output ------------------------------------------------------------------------------

    def _watch(self, output: Output) -> None:
        self._loop.watch(output.fd, IN, lambda _events: self._on_output(output))

    def _on_output(self, output: Output) -> None:
        if self._blocked(output):
            # Forgotten, not watched for nothing: epoll tells a hang-up again and again.
            self._loop.forget(output.fd)
        elif self._read(output) is False:
            self._close_output(output)
            self._check_drained()

    def _read(self, output: Output) -> bool | None:
        """True: delivered something. None: nothing there. False: the end."""
        try:
            data = os.read(output.fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return False  # EIO: the last one who had the terminal open is gone
        if not data:
            return False
        if self._log is not None:
            self._log.write(_NAMES[output.stream], data)
        for client in list(self.clients):
            if client.wants(output.stream):
                client.push(output.stream, data)
        return True

    def _blocked(self, output: Output) -> bool:
        """Whether a client could not take another chunk with its header, or the log none."""
        if self._log is not None and not self._log.room:
            return True
        return any(
            client.wants(output.stream) and client.room < 2 * CHUNK for client in self.clients
        )

    def _resume_outputs(self) -> None:
        for output in self._outputs:
            if not self._loop.watching(output.fd) and not self._blocked(output):
                self._watch(output)

    def _close_output(self, output: Output) -> None:
        self._outputs.remove(output)
        self._loop.forget(output.fd)
        os.close(output.fd)
        if output.fd == self._console:
            self._console = -1

    # -- the end -----------------------------------------------------------------------------

    def drain(self, on_drained: Callable[[], None]) -> None:
        """The process has ended: read what it left, then call `on_drained`, once, within DRAIN.

        What is in the pipes now is read whether clients have room or not: it is the last.
        """
        self._on_drained = on_drained
        self._close_input()
        self._read_rest()
        if self._outputs:
            self._resume_outputs()
            self._loop.later(DRAIN, self._stop_draining)
        self._check_drained()

    def _read_rest(self) -> None:
        for output in list(self._outputs):
            for _ in range(LAST_LIMIT // CHUNK):
                result = self._read(output)
                if result is False:
                    self._close_output(output)
                if not result:
                    break

    def _stop_draining(self) -> None:
        if self._on_drained is None:
            return
        self._read_rest()
        for output in list(self._outputs):
            self._close_output(output)
        self._check_drained()

    def _check_drained(self) -> None:
        if self._outputs or self._on_drained is None:
            return
        on_drained, self._on_drained = self._on_drained, None
        on_drained()
