"""One container's monitor: it creates the container, serves it, and tells how it ended.

    creating ─▶ created ─▶ running ⇄ paused ─▶ exited ─▶ (delete) end
        │           └─ failed, delete, or nobody connected any more ─▶ undone, end
        └─ failed ─▶ undone, end

Order at the exit: reap → drain stdio → flush the log → exit.json → tell every connection → the clients'
end of output → wait for `delete`, for as long as it takes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from sampan.errors import ProtocolError
from sampan.linux.cgroup.stats import Totals
from sampan.linux.channel import Channel, Message
from sampan.monitor import records
from sampan.monitor.children import Children, exit_code
from sampan.monitor.connections import Connection, Server
from sampan.monitor.crash import describe_crash
from sampan.monitor.execs import Execs
from sampan.monitor.loop import IN, Loop, Timer
from sampan.monitor.messages import (
    VERSION,
    Arguments,
    AttachOptions,
    ExecOptions,
    WaitOptions,
    kind_of,
)
from sampan.monitor.records import ExitRecord, MonitorRecord
from sampan.monitor.runtime import Cgroup, Container, Plan, Process, Runtime
from sampan.monitor.sink import Sink
from sampan.monitor.stdio import Stdio
from sampan.monitor.waits import Waits
from sampan.runtime.failure import RuntimeFailure
from sampan.wire.jsonlog import format_time

OOM_LOOKS, OOM_PAUSE = 20, 0.1  # and seconds between them
EXPECTED_FOR = 5.0  # seconds that a helper is kept for an exec that was announced

Handler = Callable[["Connection", Message, list[int]], None]


class Monitor:
    def __init__(self, arguments: Arguments, runtime: Runtime) -> None:
        self.phase = "creating"
        self.loop = Loop(self._on_error)
        self._arguments = arguments
        self._runtime = runtime
        self._connections: list[Connection] = []
        self._streams: set[Stdio] = set()  # that still have clients, or may get some
        self._container: Container | None = None
        self._record: MonitorRecord | None = None
        self._exit: ExitRecord | None = None
        self._expecting: Timer | None = None
        self._status = 0  # waitpid's, of init
        self._finished_at = ""
        self._oom_kills = 0
        self._oom_killed = False
        self._totals = Totals(0, 0, 0, 0)  # what the container has used, once it has ended
        self._log: Sink | None = None
        self._stdio: Stdio | None = None
        self._server: Server | None = None
        self._deleted = False
        self._waits = Waits(self.loop)
        self._directory = os.open(arguments.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._children = Children(self.loop, self._on_child)
        self._execs = Execs(
            self.loop,
            arguments.directory,
            self._spawn_exec,
            self._announce,
            self._adopt,
            self._kill_below,
            self._remove_below,
        )
        self._handlers: dict[str, Handler] = {
            "attach": self._attach,
            "wait": self._wait,
            "start": lambda connection, _message, _fds: self._start(connection),
            "expect_exec": lambda _connection, _message, _fds: self._expect_exec(),
            "exec": self._exec,
            "kill": self._answering(self._kill),
            "pause": self._answering(self._pause),
            "resume": self._answering(self._resume),
            "resize": self._answering(self._resize),
            "update": self._answering(self._update),
            "state": self._state,
            "delete": lambda connection, _message, _fds: self._delete(connection),
        }

    def run(self, channel: Channel, namespaces: list[int]) -> None:
        """Create the container and serve it to its end. Takes the descriptors over."""
        control = self._connect(channel)
        try:
            created = self._create(control, namespaces)
        finally:
            for fd in namespaces:
                os.close(fd)
        if created:
            self.loop.run()
        self._children.held = False
        self._children.reap()
        self._children.close()

    # -- create and start --------------------------------------------------------------------

    def _create(self, control: Connection, namespaces: list[int]) -> bool:
        """False when it failed, and everything is undone."""
        try:
            self._server = Server(self.loop, self._directory, self._connect)
            self._stdio = self._make_stdio()
            container = self._make_container(dict(zip(self._arguments.namespaces, namespaces)))
        except (RuntimeFailure, OSError) as error:
            failure = RuntimeFailure.during("error preparing the monitor", error, init=False)
            self._fail(control, failure)
            return False
        self._container = container
        self._record = container.record
        self.phase = "created"
        self._children.held = True  # init may be waited for by its pid until it runs
        message: Message = {"type": "created", "pid": container.process.pid}
        message |= {"start_time": container.record.init_start_time}
        message["warnings"] = list(container.warnings)
        control.send(message, (container.process.pidfd,))
        return True

    def _make_stdio(self) -> Stdio:
        options = self._arguments.log
        if options.driver != "none" or options.remote is not None:
            self._log = Sink(self.loop, options, self._on_log_room)
        stdio = Stdio(
            self.loop,
            terminal=self._arguments.terminal,
            open_stdin=self._arguments.open_stdin,
            stdin_once=self._arguments.stdin_once,
            log=self._log,
            on_detached=lambda: self._announce({"type": "detached"}),
        )
        self._adopt(stdio)
        return stdio

    def _on_log_room(self) -> None:
        if self._stdio is not None:
            self._stdio.resume()

    def _make_container(self, namespaces: dict[str, int]) -> Container:
        assert self._stdio is not None
        plan = Plan(
            self._arguments.directory,
            self._stdio.child,
            self._arguments.terminal,
            self._arguments.console_size,
            self._arguments.seccomp,
            self._arguments.root,
            namespaces,
            runtime=self._arguments.runtime,
        )
        return self._runtime.create(plan, self._arguments.id)

    def _start(self, connection: Connection) -> None:
        container, stdio = self._container, self._stdio
        if self.phase != "created" or container is None or stdio is None:
            text = f"expected start of a created container, it is {self.phase}"
            self._refuse(connection, text, {"type": "start"})
            return
        try:
            container.start()
        except RuntimeFailure as failure:
            self._fail(connection, failure)
            return
        self.phase = "running"
        self._record = container.record
        stdio.started(container.process.console)
        if container.oom_fd >= 0:
            self.loop.watch(container.oom_fd, IN, lambda _events: self._on_oom(container))
        connection.send({"type": "started", "started_at": container.record.started_at})
        self._children.held = False
        self._children.reap()

    def _fail(self, connection: Connection, failure: RuntimeFailure) -> None:
        """After the runtime has undone its part. Ours goes before the message, so that all is clean
        when the daemon reads it."""
        self.phase = "failed"
        self._forget_container()
        if self._stdio is not None:
            self._stdio.abandon()
        connection.send({**failure.to_message(), "type": "failed"})
        self._end()

    def _abort(self) -> None:
        if self._container is not None:
            self._container.abort()
        self.phase = "failed"
        self._forget_container()
        if self._stdio is not None:
            self._stdio.abandon()
        self._end()

    def _forget_container(self) -> None:
        self._container = None
        if self._log is not None:
            self._log.close()
        self._remove_files()

    # -- what the daemon wants ---------------------------------------------------------------

    def _connect(self, channel: Channel) -> Connection:
        connection = Connection(self.loop, channel, self._on_message, self._on_closed)
        self._connections.append(connection)
        return connection

    def _on_closed(self, connection: Connection) -> None:
        self._connections.remove(connection)
        self._waits.lost(connection, last=not self._connections)
        if not self._connections and self.phase == "created":
            self._abort()  # who was to start it is gone

    def _on_message(self, connection: Connection, message: Message, fds: list[int]) -> None:
        try:
            handler = self._handlers[kind_of(message)]
            handler(connection, message, fds)
        except (ProtocolError, OSError, ValueError) as error:
            self._refuse(connection, str(error), message)
        finally:
            for fd in fds:
                os.close(fd)

    def _refuse(self, connection: Connection, text: str, message: Message) -> None:
        if isinstance(message.get("request"), int):
            answer: Message = {"type": "reply", "request": message["request"], "error": text}
        else:
            answer = {"type": "error", "message": text, "about": message.get("type")}
            answer["exec_id"] = message.get("exec_id")
        connection.send(answer)

    def _answering(self, action: Callable[[Message], Message | None]) -> Handler:
        """`action`'s failure, or what it returns, is the reply to the request."""

        def handler(connection: Connection, message: Message, _fds: list[int]) -> None:
            reply: Message = {"type": "reply", "request": message["request"]}
            try:
                reply |= action(message) or {}
            except OSError as error:
                reply |= {"error": error.strerror or str(error), "errno": error.errno or 0}
            except ValueError as error:
                reply |= {"error": str(error), "errno": 0}
            connection.send(reply)

        return handler

    def _alive(self) -> Container:
        if self._container is None or self.phase not in ("created", "running", "paused"):
            raise ProcessLookupError(3, f"container {self._arguments.id} is not running")
        return self._container

    def _cgroup(self) -> Cgroup:
        cgroup = self._alive().cgroup
        if cgroup is None:
            raise OSError(95, f"container {self._arguments.id} has no cgroup")
        return cgroup

    def _attach(self, _connection: Connection, message: Message, fds: list[int]) -> None:
        if len(fds) != 1 or self._stdio is None:
            raise ProtocolError(f"attach: expected one client, got {len(fds)}")
        exec_id = message.get("exec_id")
        stdio = self._execs.get(exec_id).stdio if exec_id else self._stdio
        stdio.attach(fds.pop(), AttachOptions.from_message(message))

    def _wait(self, connection: Connection, message: Message, fds: list[int]) -> None:
        if len(fds) != 1:
            raise ProtocolError(f"wait: expected one client, got {len(fds)}")
        self._waits.add(connection, fds.pop(), WaitOptions.from_message(message))

    def _exec(self, connection: Connection, message: Message, fds: list[int]) -> None:
        options = ExecOptions.from_message(message)
        if len(fds) > 1:
            raise ProtocolError(f"exec: expected at most one client, got {len(fds)}")
        connection.send(self._execs.start(options, fds.pop() if fds else None))
        self._children.reap()

    def _expect_exec(self) -> None:
        if self._container is not None and self.phase in ("running", "paused"):
            self._runtime.expect_exec(self._container)
            if self._expecting is not None:
                self._expecting.cancel()
            self._expecting = self.loop.later(EXPECTED_FOR, self._runtime.forget_exec)

    def _spawn_exec(self, plan: Plan) -> Process:
        if self._container is None or self.phase not in ("running", "paused"):
            text = f"Container {self._arguments.id} is not running"
            raise RuntimeFailure(text, step="exec")
        return self._runtime.execute(self._container, plan)

    def _kill(self, message: Message) -> None:
        number = message["signal"]
        if message.get("exec_id"):
            execution = self._execs.get(message["exec_id"])
            if message.get("all"):
                self._execs.kill(execution)
            else:
                signal.pidfd_send_signal(execution.process.pidfd, number)
        elif message.get("all"):
            self._cgroup().kill(number)
        else:
            signal.pidfd_send_signal(self._alive().process.pidfd, number)

    def _kill_below(self, name: str) -> bool:
        return self._cgroup().kill_below(name)

    def _remove_below(self, name: str) -> None:
        cgroup = self._container.cgroup if self._container is not None else None
        if cgroup is not None:  # else it goes with the container's
            self._quietly(lambda group: group.remove_below(name), cgroup)

    def _pause(self, _message: Message) -> None:
        self._cgroup().freeze()
        self.phase = "paused"

    def _resume(self, _message: Message) -> None:
        self._cgroup().thaw()
        self.phase = "running"

    def _resize(self, message: Message) -> None:
        size = (message["rows"], message["columns"])
        if message.get("exec_id"):
            self._execs.get(message["exec_id"]).stdio.resize(size)
            return
        self._alive()
        if self._stdio is not None:
            self._stdio.resize(size)

    def _update(self, message: Message) -> Message:
        return {"warnings": self._cgroup().apply(message["resources"])}

    def _state(self, connection: Connection, message: Message, _fds: list[int]) -> None:
        record, container = self._record, self._container
        state: Message = {"phase": self.phase, "version": VERSION, "execs": self._execs.states()}
        if record is not None:
            state |= {"pid": record.init_pid, "start_time": record.init_start_time}
            state["started_at"] = record.started_at
        if self._exit is not None:
            state["exit"] = self._exit_message()
        fds = (container.process.pidfd,) if container is not None else ()
        connection.send({"type": "reply", "request": message["request"], "state": state}, fds)

    def _announce(self, message: Message) -> None:
        for connection in list(self._connections):
            connection.send(message)

    # -- the end -----------------------------------------------------------------------------

    def _on_child(self, pid: int, status: int) -> None:
        if self._execs.reaped(pid, status):
            return
        if self._log is not None and self._log.reaped(pid, status):
            self._check_end()
            return
        if self._container is not None and pid == self._container.process.pid:
            self._on_exit(self._container, status)

    def _on_exit(self, container: Container, status: int) -> None:
        assert self._stdio is not None
        self.phase = "exited"
        self._runtime.forget_exec()
        self._finished_at = format_time(time.time_ns())
        self._status = status
        self._container = None
        os.close(container.process.pidfd)
        if container.oom_fd >= 0:
            self.loop.forget(container.oom_fd)
            os.close(container.oom_fd)
        if container.cgroup is not None:
            self._note_oom(container.cgroup)
            # Without a pid namespace of its own the container's other processes live on.
            self._quietly(lambda cgroup: cgroup.kill(signal.SIGKILL), container.cgroup)
            self._quietly(self._take_totals, container.cgroup)
        self._stdio.drain(lambda: self._on_drained(container.cgroup))

    def _on_drained(self, cgroup: Cgroup | None) -> None:
        assert self._record is not None
        assert self._stdio is not None
        if self._log is not None:
            self._log.close()
        if cgroup is not None:
            self._children.reap()
            self._quietly(lambda group: group.remove(), cgroup)
        signal_number = os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else 0
        self._exit = ExitRecord(
            exit_code=exit_code(self._status),
            signal=signal_number,
            oom_killed=self._oom_killed,
            finished_at=self._finished_at,
            container_id=self._arguments.id,
            pid=self._record.init_pid,
            started_at=self._record.started_at,
            log_dropped=self._log.dropped if self._log is not None else 0,
            oom_kills=self._oom_kills,
            peak_memory=self._totals.peak_memory,
            cpu_time=self._totals.cpu_time,
            io_read=self._totals.io_read,
            io_written=self._totals.io_written,
        )
        try:
            records.write_record(self._arguments.directory, self._exit)
        except OSError as error:
            self._on_error(error)  # whoever is connected is told all the same
        self._announce(self._exit_message())
        self._waits.exited(self._exit.exit_code, alone=not self._connections)
        self._stdio.finish()

    def _exit_message(self) -> Message:
        assert self._exit is not None
        return {"type": "exit", **records.as_message(self._exit)}

    def _take_totals(self, cgroup: Cgroup) -> None:
        self._totals = cgroup.totals()

    def _delete(self, connection: Connection) -> None:
        if self.phase == "created":
            self._abort()
        elif self._exit is None:
            text = f"expected delete after the exit, it is {self.phase}"
            self._refuse(connection, text, {"type": "delete"})
        else:
            self._remove_files()
            self._end()

    def _remove_files(self) -> None:
        if self._server is not None:
            self._server.close()
        try:
            os.unlink(records.MONITOR, dir_fd=self._directory)
        except FileNotFoundError:
            pass

    def _end(self) -> None:
        """Connections are closed; clients that still take the end of their output are waited for."""
        self._deleted = True
        self._waits.close()
        for connection in list(self._connections):
            connection.close()
        self._check_end()

    def _adopt(self, stdio: Stdio) -> None:
        self._streams.add(stdio)
        stdio.on_idle = self._check_end

    def _check_end(self) -> None:
        self._streams = {each for each in self._streams if each.clients or not each.finished}
        packing = self._log is not None and self._log.busy
        if self._deleted and not packing and not any(each.clients for each in self._streams):
            self.loop.stop()

    # -- out of memory -----------------------------------------------------------------------

    def _on_oom(self, container: Container) -> None:
        try:
            os.read(container.oom_fd, 4096)
        except BlockingIOError:
            pass
        self._look_for_oom_kill(container, OOM_LOOKS)

    def _look_for_oom_kill(self, container: Container, looks: int) -> None:
        """Again for a while: cgroup v1 tells of the want of memory an instant before the kill is counted."""
        if self._container is not container or container.cgroup is None:
            return
        before = self._oom_kills
        self._note_oom(container.cgroup)
        if self._oom_kills == before and looks:
            self.loop.later(OOM_PAUSE, lambda: self._look_for_oom_kill(container, looks - 1))

    def _note_oom(self, cgroup: Cgroup) -> None:
        try:
            kills = cgroup.oom_kills()
        except OSError:
            return
        if kills > self._oom_kills:
            self._oom_kills = kills
            self._oom_killed = True
            self._announce({"type": "oom"})

    # -- ourselves ---------------------------------------------------------------------------

    def _quietly(self, action: Callable[[Cgroup], None], cgroup: Cgroup) -> None:
        try:
            action(cgroup)
        except OSError as error:
            self._on_error(error)

    def _on_error(self, error: Exception) -> None:
        text = f"{format_time(time.time_ns())}\n{describe_crash(error)}"
        records.append_error(self._arguments.directory, text)
