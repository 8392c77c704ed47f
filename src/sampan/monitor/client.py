"""The daemon's side of spawner and monitors, on asyncio. Not imported before the spawner is launched.

    process = launch(roles)                       # monitor/spawner.py, first of all in the daemon
    spawner = Spawner(process)
    monitors = Monitors(spawner)
    monitor = await monitors.launch(Arguments(…), namespace_fds)
    monitor.on_event, monitor.on_lost = …, …
    await monitor.created(); await monitor.start()

Every await has a deadline. Failures of the container raise RuntimeFailure, those of the processes in
between SampanError. Descriptors that are passed in stay the caller's.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sampan.errors import ProtocolError, SampanError, Unavailable
from sampan.linux.channel import Channel, Message
from sampan.monitor.connections import socket_path
from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, WaitOptions
from sampan.monitor.records import read_exit_record, read_monitor_record
from sampan.monitor.spawner import SpawnerProcess, new_spawner
from sampan.runtime.failure import RuntimeFailure

__all__ = [
    "Monitor",
    "MonitorLost",
    "Monitors",
    "RequestFailed",
    "SpawnFailed",
    "Spawned",
    "Spawner",
    "SpawnerDied",
    "read_exit_record",
    "read_monitor_record",
]

SPAWN_DEADLINE = 10.0
REQUEST_DEADLINE = 10.0
CREATE_DEADLINE = 130.0  # longer than the runtime's own
EVENTS = ("exit", "exec_exit", "detached", "oom")


class SpawnerDied(Unavailable):
    """The spawner died while it had this request; whether it was done is not known."""


class SpawnFailed(SampanError):
    """The spawner could not fork, or does not know the role."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class MonitorLost(Unavailable):
    """The monitor died, or ended, while something was expected of it."""


class RequestFailed(SampanError):
    """The monitor could not do it; `errno` ESRCH: what it was for runs no more."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class Wire:
    """A channel on the event loop: messages out in order, without blocking; messages in to a callback."""

    def __init__(
        self,
        channel: Channel,
        on_message: Callable[[Message, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._on_message = on_message
        self._on_end = on_end
        self._outbox: deque[tuple[Message, list[int]]] = deque()
        self.open = True
        channel.sock.setblocking(False)
        self._loop.add_reader(channel.fileno(), self._on_readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Raises BrokenPipeError when the peer is known to be gone."""
        if not self.open:
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")
        if not self._outbox:
            try:
                self._channel.send(message, list(fds))
                return
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._flush)
            except OSError as error:
                raise BrokenPipeError(errno.EPIPE, str(error)) from error
        self._outbox.append((message, [os.dup(fd) for fd in fds]))

    def close(self) -> None:
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        while self._outbox:
            self._drop_first()

    def _flush(self) -> None:
        try:
            while self._outbox:
                self._channel.send(*self._outbox[0])
                self._drop_first()
        except BlockingIOError:
            return
        except OSError:
            pass  # the end is told to the reader
        self._loop.remove_writer(self._channel.fileno())

    def _drop_first(self) -> None:
        for fd in self._outbox.popleft()[1]:
            os.close(fd)

    def _on_readable(self) -> None:
        while self.open:
            try:
                received = self._channel.receive()
            except BlockingIOError:
                return
            except (OSError, ProtocolError):
                received = None  # a peer that does not speak our language is none
            if received is None:
                self.close()
                self._on_end()
                return
            self._on_message(*received)


class Spawned(NamedTuple):
    """`pidfd` is the caller's to close; it turns readable when the process ends."""

    pid: int
    pidfd: int


class Spawner:
    """Restarts the spawner when it has died: its keeper forks another, and it another keeper.

    `anew` makes both when both have died; without it that is the end.
    """

    def __init__(
        self, process: SpawnerProcess, anew: Callable[[], SpawnerProcess] | None = None
    ) -> None:
        self._anew = anew
        self._waiting: deque[asyncio.Future[Spawned]] = deque()
        self._idle: Channel = process.keeper  # blocking: asked only to make the other one anew
        self._wire = self._wire_up(process.channel)
        self._closed = False

    async def spawn(self, role: str, args: dict[str, Any], fds: Sequence[int]) -> Spawned:
        """Run `role(args, fds)` in a child; `fds[0]` is its end of its control channel.

        Raises SpawnerDied, SpawnFailed.
        """
        future: asyncio.Future[Spawned] = asyncio.get_running_loop().create_future()
        self._send({"role": role, "args": args}, fds)
        self._waiting.append(future)
        future.add_done_callback(_close_unwanted)
        try:
            async with asyncio.timeout(SPAWN_DEADLINE):
                return await future
        except TimeoutError:
            raise SpawnerDied("the spawner does not answer") from None

    def close(self) -> None:
        self._closed = True
        self._wire.close()
        self._idle.close()
        self._fail_all("the spawner was closed")

    def _send(self, message: Message, fds: Sequence[int]) -> None:
        try:
            self._wire.send(message, fds)
        except BrokenPipeError:
            # Nothing of it was received: asking the next one cannot do it twice.
            self._restart()
            try:
                self._wire.send(message, fds)
            except BrokenPipeError:
                raise SpawnerDied("the spawner died and could not be restarted") from None

    def _wire_up(self, channel: Channel) -> Wire:
        return Wire(channel, self._on_message, self._on_end)

    def _on_message(self, message: Message, fds: list[int]) -> None:
        future = self._waiting.popleft() if self._waiting else None
        if future is None or future.done():
            _close_all(fds)
        elif "pid" in message and len(fds) == 1:
            future.set_result(Spawned(int(message["pid"]), fds[0]))
        else:
            _close_all(fds)
            future.set_exception(
                SpawnFailed(str(message.get("error")), int(message.get("errno") or 0))
            )

    def _on_end(self) -> None:
        self._fail_all("the spawner died")
        if not self._closed:
            try:
                self._restart()
            except SpawnerDied:
                pass  # told to the next one who asks

    def _fail_all(self, text: str) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(SpawnerDied(text))

    def _restart(self) -> None:
        """The sleeping one takes over, after it has forked its successor as sleeper (a millisecond)."""
        if self._closed:
            raise SpawnerDied("the spawner was closed")
        self._wire.close()
        self._fail_all("the spawner died")
        working = self._idle
        working.sock.settimeout(SPAWN_DEADLINE)
        try:
            self._idle = new_spawner(working)
        except OSError as error:
            if self._anew is None:
                raise SpawnerDied(f"the spawner died and could not be restarted: {error}") from None
            working = self._both_anew()
        self._wire = self._wire_up(working)

    def _both_anew(self) -> Channel:
        assert self._anew is not None
        self._idle.close()
        try:
            process = self._anew()
        except OSError as error:
            raise SpawnerDied(f"the spawner could not be launched anew: {error}") from None
        self._idle = process.keeper
        return process.channel


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _close_unwanted(future: asyncio.Future[Spawned]) -> None:
    if not future.cancelled():
        future.exception()  # looked at, so that asyncio does not complain of one nobody awaits


class Monitors:
    """Makes monitors, and finds those that a former daemon made."""

    def __init__(self, spawner: Spawner) -> None:
        self._spawner = spawner

    async def launch(self, arguments: Arguments, fds: Sequence[int]) -> Monitor:
        """Fork a monitor, which begins to create the container. `fds`: as `arguments.namespaces`."""
        ours, theirs = Channel.pair()
        try:
            spawned = await self._spawner.spawn(
                "monitor", arguments.to_message(), [theirs.fileno(), *fds]
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Monitor(ours, spawned)

    async def connect(self, path: str) -> Monitor:
        """The monitor that listens at `path`. Raises OSError when none does."""
        return Monitor(_connect(path))


def _connect(path: str) -> Channel:
    folder, _ = os.path.split(path)
    directory = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.connect(socket_path(directory))
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(directory)
    return Channel(sock)


class Monitor:
    """One container's monitor, over a connection of its own.

    `on_event` gets `exit exec_exit detached oom`, those that came before it was set included; `on_lost`
    is called at EOF that nobody asked for. `pid` and `pidfd` are the monitor's own (0, -1: connected),
    `init_pidfd` is the container's (-1: not known); `close` closes them.
    """

    def __init__(self, channel: Channel, spawned: Spawned = Spawned(0, -1)) -> None:  # noqa: B008
        self.pid, self.pidfd = spawned
        self.init_pidfd = -1
        self.on_lost: Callable[[], None] = lambda: None
        self._on_event: Callable[[Message], None] | None = None
        self._early: list[Message] = []
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._requests = 0
        self._ending = False
        self._gone = asyncio.get_running_loop().create_future()
        self._created: asyncio.Future[Message] = self._expect("created")
        self._wire = Wire(channel, self._on_message, self._on_end)

    @property
    def on_event(self) -> Callable[[Message], None] | None:
        return self._on_event

    @on_event.setter
    def on_event(self, callback: Callable[[Message], None]) -> None:
        self._on_event = callback
        early, self._early = self._early, []
        for message in early:
            callback(message)

    # -- what it can do ----------------------------------------------------------------------

    async def created(self) -> Message:
        """{pid, start_time, warnings}: init has done everything and waits. Raises RuntimeFailure."""
        return await self._answer(self._created, CREATE_DEADLINE)

    async def start(self) -> Message:
        """{started_at}: the command runs. Raises RuntimeFailure."""
        future = self._expect("started")
        self._send({"type": "start"})
        return await self._answer(future, CREATE_DEADLINE)

    async def attach(self, options: AttachOptions, client_fd: int, *, exec_id: str = "") -> None:
        """Hand a client over. Returns when it is on its way; there is no answer."""
        message = {"type": "attach", **options.to_message()}
        if exec_id:
            message["exec_id"] = exec_id
        self._send(message, [client_fd])

    async def wait(self, options: WaitOptions, client_fd: int) -> None:
        """Have a client answered who waits for the end, should we not live to do it. There is no answer."""
        self._send({"type": "wait", **options.to_message()}, [client_fd])

    async def expect_exec(self) -> None:
        """An exec is likely to follow soon. There is no answer."""
        self._send({"type": "expect_exec"})

    async def exec(self, options: ExecOptions, client_fd: int | None = None) -> Message:
        """{pid}: the process runs. Raises RuntimeFailure; the client is untouched then."""
        future = self._expect(f"exec {options.exec_id}")
        self._send(options.to_message(), [] if client_fd is None else [client_fd])
        return await self._answer(future, CREATE_DEADLINE)

    async def kill(self, signal: int, *, exec_id: str = "", all: bool = False) -> None:
        """Raises RequestFailed (ESRCH: it has ended)."""
        message: Message = {"type": "kill", "signal": signal, "all": all}
        if exec_id:
            message["exec_id"] = exec_id
        await self._request(message)

    async def pause(self) -> None:
        await self._request({"type": "pause"})

    async def resume(self) -> None:
        await self._request({"type": "resume"})

    async def resize(self, rows: int, columns: int, *, exec_id: str = "") -> None:
        message: Message = {"type": "resize", "rows": rows, "columns": columns}
        if exec_id:
            message["exec_id"] = exec_id
        await self._request(message)

    async def update(self, resources: dict[str, Any]) -> list[str]:
        """Warnings for limits that this host lacks. `resources` is OCI's `linux.resources`."""
        reply = await self._request({"type": "update", "resources": resources})
        return [str(warning) for warning in reply.get("warnings") or []]

    async def state(self) -> Message:
        """{phase, pid, start_time, started_at, exit?, execs}."""
        state = (await self._request({"type": "state"}))["state"]
        assert isinstance(state, dict)
        return state

    async def delete(self) -> None:
        """After the exit: it removes its socket and ends. Returns when it has let go."""
        await self._finish()

    async def abort(self) -> None:
        """Before `start`: everything is undone. Returns when it is."""
        await self._finish()

    def close(self) -> None:
        """Let go of it; it goes on."""
        self._ending = True
        self._wire.close()
        self._fail_all(MonitorLost("the connection to the monitor was closed"))
        for fd in (self.pidfd, self.init_pidfd):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.init_pidfd = -1

    # -- how ---------------------------------------------------------------------------------

    async def _finish(self) -> None:
        if not self._wire.open:
            return
        self._ending = True
        refused = self._expect("delete")
        self._send({"type": "delete"})
        async with _deadline(REQUEST_DEADLINE, "the monitor does not end"):
            await asyncio.wait((self._gone, refused), return_when=asyncio.FIRST_COMPLETED)
        self._waiting.pop("delete", None)
        if not self._gone.done():
            self._ending = False
            refused.result()

    async def _request(self, message: Message) -> Message:
        self._requests += 1
        message["request"] = self._requests
        future = self._expect(f"request {self._requests}")
        self._send(message)
        return await self._answer(future, REQUEST_DEADLINE)

    def _send(self, message: Message, fds: Sequence[int] = ()) -> None:
        try:
            self._wire.send(message, fds)
        except BrokenPipeError:
            raise MonitorLost("the monitor is gone") from None

    def _expect(self, what: str) -> asyncio.Future[Message]:
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at)
        self._waiting[what] = future
        return future

    async def _answer(self, future: asyncio.Future[Message], seconds: float) -> Message:
        async with _deadline(seconds, "the monitor does not answer"):
            # Shielded: `created` may be asked for again after somebody gave up waiting.
            return await asyncio.shield(future)

    def _settle(self, what: str, result: Message | Exception) -> None:
        future = self._waiting.pop(what, None)
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _fail_all(self, error: Exception) -> None:
        for what in list(self._waiting):
            self._settle(what, error)

    def _on_end(self) -> None:
        self._fail_all(MonitorLost("the monitor died"))
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._ending:
            self.on_lost()

    def _on_message(self, message: Message, fds: list[int]) -> None:
        self._keep_pidfd(fds)
        kind = message.get("type")
        if kind in EVENTS:
            if self._on_event is None:
                self._early.append(message)
            else:
                self._on_event(message)
        elif kind in ("created", "started"):
            self._settle(str(kind), message)
        elif kind == "failed":
            self._ending = True  # it ends by itself, and that is no loss
            self._fail_all(RuntimeFailure.from_message(message))
        elif kind == "exec_started":
            self._settle(f"exec {message.get('exec_id')}", message)
        elif kind == "exec_failed":
            failure = RuntimeFailure.from_message(message)
            self._settle(f"exec {message.get('exec_id')}", failure)
        elif kind == "reply":
            self._on_reply(message)
        elif kind == "error":
            self._on_error(message)

    def _on_reply(self, message: Message) -> None:
        what = f"request {message.get('request')}"
        if "error" in message:
            number = int(message.get("errno") or 0)
            self._settle(what, RequestFailed(str(message["error"]), number))
        else:
            self._settle(what, message)

    def _on_error(self, message: Message) -> None:
        """Something that it did not understand or cannot do now: whoever waits for that is told."""
        error = RequestFailed(str(message.get("message")), 0)
        what = str(message.get("about") or "")
        names = {"start": "started", "exec": f"exec {message.get('exec_id')}"}
        self._settle(names.get(what, what), error)

    def _keep_pidfd(self, fds: list[int]) -> None:
        """Of the container's init, which comes with `created` and with a state."""
        for fd in fds:
            if self.init_pidfd < 0:
                self.init_pidfd = fd
            else:
                os.close(fd)


def _look_at(future: asyncio.Future[Message]) -> None:
    if not future.cancelled():
        future.exception()


class _deadline:
    """`asyncio.timeout` that raises Unavailable with a text."""

    def __init__(self, seconds: float, text: str) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._text = text

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise Unavailable(self._text) from None
