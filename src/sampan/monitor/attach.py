"""One attached client: its socket, what waits to be sent to it, and what it types.

Lossless: nothing is dropped while the client lives; the owner stops reading the container when `room` is
gone. A client that half-closes its sending side still gets all output; one that is gone (hang-up, reset)
lets go of what waited for it at once.

    push ──▶ queue ──▶ socket        finish: queue empty → shutdown → peer's EOF or LINGER → close
    socket ──▶ detach keys ──▶ owner.feed
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Protocol

from sampan.monitor.loop import ERR, HUP, IN, OUT, RDHUP, Loop, Timer
from sampan.monitor.messages import AttachOptions
from sampan.wire import detach
from sampan.wire.stdcopy import header

LIMIT = 1024 * 1024  # bytes waiting for one client
CHUNK = 64 * 1024
LINGER = 5.0  # seconds for the client to take the end of its output
_VECTOR = 64
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Owner(Protocol):
    """What a client needs of the stdio that it is attached to."""

    def input_room(self) -> int:
        """How many bytes may be fed now; 0 while the container does not read, -1 when it never will."""
        ...

    def feed(self, data: bytes) -> None: ...
    def input_ended(self, client: Client) -> None:
        """The client's side of stdin is over. Once."""
        ...

    def has_room(self, client: Client) -> None:
        """Again, after it had none."""
        ...

    def detached(self, client: Client) -> None: ...
    def gone(self, client: Client) -> None:
        """It takes no output any more. Once."""
        ...

    def closed(self, client: Client) -> None:
        """Its socket is closed. Once, and last."""
        ...


class Client:
    """Takes `fd`, a stream socket, over."""

    def __init__(
        self, loop: Loop, owner: Owner, fd: int, options: AttachOptions, *, terminal: bool
    ) -> None:
        self.options = options
        self._sock = socket.socket(fileno=fd)
        self._fd = fd
        self._loop = loop
        self._owner = owner
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._was_full = False
        self._sending = True  # more output may be queued or sent
        self._finishing = False  # no more output comes
        self._receiving = options.stdin
        self._hung_up = False
        self._lingering = False
        self._closed = False
        self._linger_timer: Timer | None = None
        self._stall_timer: Timer | None = None
        keys = detach.parse(options.detach_keys or detach.DEFAULT) if terminal else b""
        self._matcher = detach.Matcher(keys)

    def open(self) -> None:
        """Begin; the prefetched bytes are the first of its input."""
        if self._receiving and self.options.prefetched:
            self._typed(self.options.prefetched)
        self._update()

    # -- output ------------------------------------------------------------------------------

    def wants(self, stream: int) -> bool:
        wanted = self.options.stdout if stream == 1 else self.options.stderr
        return wanted and self._sending and not self._finishing

    @property
    def room(self) -> int:
        return LIMIT - self._queued

    def push(self, stream: int, data: bytes) -> None:
        """Queue and send what goes at once. The owner looks at `room` before it reads more."""
        if self.options.multiplexed:
            self._enqueue(header(stream, len(data)))
        self._enqueue(data)
        self._flush()
        self._was_full = self._was_full or self.room < CHUNK * 2
        self._update()

    def finish(self) -> None:
        """No more output comes: send what waits, say so, and close."""
        if self._finishing or self._closed:
            return
        self._finishing = True
        self._owner.has_room(self)
        if not self._sending or not self._queue:
            self._end_output()

    def close(self) -> None:
        if self._closed:
            return
        self._stop_output()
        self._closed = True
        self._receiving = False
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._loop.forget(self._fd)
        self._sock.close()
        self._owner.closed(self)

    def _enqueue(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued += len(data)

    def _flush(self) -> None:
        try:
            while self._queue:
                batch = [self._queue[at] for at in range(min(len(self._queue), _VECTOR))]
                self._sent(self._sock.sendmsg(batch, (), _FLAGS))
        except BlockingIOError:
            pass
        except OSError:
            # Reset, or gone. What it typed before may still be there to be read.
            self._stop_output()
        self._watch_stall()

    def _sent(self, count: int) -> None:
        self._queued -= count
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        while count:
            first = self._queue.popleft()
            if len(first) > count:
                self._queue.appendleft(first[count:])
                return
            count -= len(first)

    def _watch_stall(self) -> None:
        if self._queue and self.options.stall_timeout and self._stall_timer is None:
            self._stall_timer = self._loop.later(self.options.stall_timeout, self.close)

    def _stop_output(self) -> None:
        """The client takes no output any more."""
        self._queue.clear()
        self._queued = 0
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if self._sending:
            self._sending = False
            self._owner.gone(self)

    def _end_output(self) -> None:
        """All is sent. Closing now would reset the connection if the client has sent something that
        nobody read, and the end of the output with it: so wait a little for its own end."""
        self._stop_output()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        if self._hung_up:
            self.close()
            return
        self._receiving = False
        self._lingering = True
        self._linger_timer = self._loop.later(LINGER, self.close)
        self._update()

    # -- input -------------------------------------------------------------------------------

    def resume_input(self) -> None:
        """The container reads again, or never will."""
        if self._closed:
            return
        if self._hung_up:
            self._pull()
            self._close_if_done()
        self._update()

    def _close_if_done(self) -> None:
        if self._hung_up and not self._receiving:
            self.close()

    def _pull(self) -> None:
        """Read what the container has room for."""
        while self._receiving:
            size = min(CHUNK, self._owner.input_room())
            if size < 0:
                self._receiving = False
            if size <= 0:
                return
            try:
                data = self._sock.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._input_ended()
                return
            self._typed(data)
            if len(data) < size and not self._hung_up:
                return

    def _typed(self, data: bytes) -> None:
        passed, detached = self._matcher.feed(data)
        if passed:
            self._owner.feed(passed)
        if detached:
            self._receiving = False
            self._owner.detached(self)
            self.finish()

    def _input_ended(self) -> None:
        self._receiving = False
        held = self._matcher.finish()
        if held:
            self._owner.feed(held)
        self._owner.input_ended(self)
        self._close_if_done()

    # -- events ------------------------------------------------------------------------------

    def _update(self) -> None:
        if self._closed or self._hung_up:
            return
        events = OUT if self._queue else 0
        if self._lingering or (self._receiving and self._owner.input_room() > 0):
            events |= IN | RDHUP
        # Without any, a hang-up is still told.
        self._loop.watch(self._fd, events, self._on_event)

    def _on_event(self, events: int) -> None:
        if events & OUT:
            self._flush()
            self._on_flushed()
        if events & (IN | RDHUP) and not self._closed:
            if self._lingering:
                self._discard()
            else:
                self._pull()
        if events & (HUP | ERR) and not self._closed:
            self._on_hang_up()
        self._update()

    def _on_flushed(self) -> None:
        if self._was_full and self.room >= LIMIT // 2:
            self._was_full = False
            self._owner.has_room(self)
        if self._finishing and self._sending and not self._queue:
            self._end_output()

    def _on_hang_up(self) -> None:
        """Both directions are closed. What it sent before may wait to be read by the container."""
        self._hung_up = True
        self._loop.forget(self._fd)
        self._stop_output()
        self._pull()
        self._close_if_done()

    def _discard(self) -> None:
        try:
            data = self._sock.recv(CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
