"""A monitor's helper: a short-lived child that does the runtime's work, so that the monitor stays small.

CPython copies every page whose objects it so much as looks at. The runtime looks at a lot: done in the
monitor itself it would cost each container 4 MB for as long as it lives. So a child does it, whose memory
goes when it ends, and what it makes are the monitor's own children (CLONE_PARENT).

    monitor                                  helper
      │ ── fork ───────────────────────────▶ │  reads config.json, writes monitor.json, create()
      │ ◀── made {pid, …} + [pidfd, …] ───── │  or failed, and ends
      │ ── start ──────────────────────────▶ │  start(), monitor.json again
      │ ◀───────────── started {started_at}  │  or failed; and ends
      │    (EOF instead of `start`: abort)   │

For an exec'd process it ends after `made`; where one is expected, it is forked ahead and gets the plan by
message. The daemon's and clients' sockets are closed in it: their ends must be seen when the monitor dies.
"""

from __future__ import annotations

import gc
import json
import os
import select
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, NoReturn

from sampan.linux import cgroup
from sampan.linux import constants as c
from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.linux.process import boot_id, start_time
from sampan.monitor import foreign as others
from sampan.monitor import records
from sampan.monitor.foreign import Foreign
from sampan.monitor.foreign import create as create_foreign
from sampan.monitor.foreign import execute as execute_foreign
from sampan.monitor.messages import VERSION
from sampan.monitor.records import MonitorRecord
from sampan.monitor.rehearsal import rehearse
from sampan.monitor.runtime import Cgroup as CgroupDoor
from sampan.monitor.runtime import Container as ContainerDoor
from sampan.monitor.runtime import Plan, Process
from sampan.runtime.create import Created, create
from sampan.runtime.exec import exec_process
from sampan.runtime.exec import rehearse as rehearse_exec
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Executed, Request, Target
from sampan.runtime.spawn import keep_only
from sampan.wire.jsonlog import format_time

AnyCreated = Created | others.Created
WARM_UP = 20  # runs; the last of its counters is filled by then


class SiblingKernel(LinuxKernel):
    """Its children are born as children of the caller's parent."""

    def clone3(self, flags: int, *, cgroup: int = -1) -> tuple[int, int]:
        return super().clone3(flags | c.CLONE_PARENT, cgroup=cgroup)

    def waitid(self, pidfd: int, options: int) -> int | None:
        """Waits, but leaves the reaping to the parent, who alone may; the status is not known."""
        has_ended(pidfd, wait=True)
        return 0


def has_ended(pidfd: int, *, wait: bool = False) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(None if wait else 0))


class Helper:
    """The monitor's side: a forked child that runs `work(channel)`."""

    def __init__(
        self, kernel: Kernel, fds: tuple[int, ...], work: Callable[[Channel], None]
    ) -> None:
        ours, theirs = Channel.pair()
        self._channel = ours
        try:
            self._pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            raise RuntimeFailure.during("fork", error, init=False) from None
        if self._pid == 0:
            _run(kernel, theirs, fds, work)
        theirs.close()

    def tell(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        try:
            self._channel.send(message, fds)
        except OSError:
            pass  # it is dead: its answer will say so

    def answer(self) -> tuple[Message, list[int]]:
        """Its next message. Raises RuntimeFailure for its failure; then it has ended."""
        received = self._channel.receive()
        if received is None:
            self.end()
            raise RuntimeFailure("the helper of the monitor died", step="helper")
        message, fds = received
        if message["type"] == "failed":
            self.end()
            raise RuntimeFailure.from_message(message)
        return message, fds

    def release(self) -> None:
        """It has done its work and ends by itself; the monitor reaps it with all its children."""
        self._channel.close()

    def end(self) -> None:
        """Nothing more is wanted of it. Returns when it has done what that means, and is gone."""
        self._channel.close()
        os.waitpid(self._pid, 0)


def _run(
    kernel: Kernel, channel: Channel, fds: tuple[int, ...], work: Callable[[Channel], None]
) -> NoReturn:
    try:
        gc.disable()
        keep_only(kernel, [channel.fileno(), *fds])
        work(channel)
    except BaseException as error:
        failure = RuntimeFailure.during("helper of the monitor", error, init=False)
        try:
            channel.send({**failure.to_message(), "type": "failed"})
        except OSError:
            pass  # the monitor is gone
    finally:
        os._exit(0)


class ForeignCgroup:
    """`monitor.runtime.Cgroup`: when it goes, the runtime that made it forgets the container too."""

    def __init__(self, group: cgroup.Cgroup, foreign: Foreign) -> None:
        self._foreign = foreign
        self._group = group
        self.apply, self.kill = group.apply, group.kill
        self.freeze, self.thaw, self.oom_kills = group.freeze, group.thaw, group.oom_kills
        self.totals = group.totals
        self.kill_below, self.remove_below = group.kill_below, group.remove_below

    def remove(self) -> None:
        try:
            self._foreign.delete()
        finally:
            self._group.remove()


@dataclass(slots=True)
class Container:
    """What the monitor knows of its container."""

    process: Process
    record: MonitorRecord
    warnings: list[str]
    oom_fd: int
    directory: str
    hierarchies: cgroup.Hierarchies
    helper: Helper
    foreign: Foreign | None = None
    _cgroup: CgroupDoor | None = field(default=None)

    @property
    def cgroup(self) -> CgroupDoor | None:
        if self._cgroup is None and self.record.cgroup:
            group = cgroup.Cgroup(self.record.cgroup, self.hierarchies)
            self._cgroup = group if self.foreign is None else ForeignCgroup(group, self.foreign)
        return self._cgroup

    def start(self) -> None:
        self.helper.tell({"type": "start"})
        try:
            message, _ = self.helper.answer()
        except RuntimeFailure:
            self._close()
            raise
        self.record = replace(self.record, started_at=str(message["started_at"]))
        self.helper.release()

    def abort(self) -> None:
        self.helper.end()
        self._close()

    def _close(self) -> None:
        """Init was killed by the helper, or died by itself: it is our child to reap."""
        try:
            os.waitpid(self.process.pid, 0)
        except ChildProcessError:
            pass
        fds = (self.process.pidfd, self.process.console, self.oom_fd)
        for fd in fds:
            if fd is not None and fd >= 0:
                os.close(fd)


class Runtime:
    """`monitor.runtime.Runtime`. Made once, in the spawner.

    `prepare` forks the helper of the first `create` ahead; it is told by message then what else it would
    have found in its memory: create {plan, container_id} + [descriptors].
    """

    def __init__(self) -> None:
        self._kernel = SiblingKernel()
        self._hierarchies = cgroup.detect()
        self._ready: Helper | None = None
        self._ready_to_exec: Helper | None = None

    def warm(self) -> None:
        """In the spawner: the interpreter specializes code that has run some times (PEP 659), in its own memory.

        Every child begins with that, instead of writing the same into a copy of each page."""
        for _ in range(WARM_UP):
            rehearse(self._kernel, self._hierarchies)

    def prepare(self) -> None:
        self._ready = Helper(self._kernel, (), self._await_create)

    def create(self, plan: Plan, container_id: str) -> Container:
        fds = (*plan.stdio, *plan.namespaces.values())
        helper, self._ready = self._ready, None
        if helper is not None:
            helper.tell({**plan.to_message(), "type": "create", "container_id": container_id}, fds)
        else:
            helper = Helper(
                self._kernel, fds, lambda channel: self._create(channel, plan, container_id)
            )
        message, received = helper.answer()
        by_name = dict(zip(message["fds"], received, strict=True))
        record = MonitorRecord(**message["record"])
        process = Process(record.init_pid, by_name["pidfd"], by_name.get("console"))
        oom_fd = by_name.get("oom", -1)
        return Container(
            process,
            record,
            message["warnings"],
            oom_fd,
            plan.directory,
            self._hierarchies,
            helper,
            _foreign_of(plan, container_id),
        )

    def execute(self, container: ContainerDoor, plan: Plan) -> Process:
        foreign = _foreign(container)
        helper, self._ready_to_exec = self._ready_to_exec, None
        if foreign is not None:
            work = partial(self._execute_foreign, plan=plan, foreign=foreign)
            helper = Helper(self._kernel, plan.stdio, work)
        elif helper is not None:
            helper.tell({**plan.to_message(), "type": "execute"}, plan.stdio)
        else:
            helper = Helper(
                self._kernel,
                (*plan.stdio, container.process.pidfd),
                lambda channel: self._execute(channel, plan, self._target(container)),
            )
        message, received = helper.answer()
        helper.release()
        by_name = dict(zip(message["fds"], received, strict=True))
        return Process(int(message["pid"]), by_name["pidfd"], by_name.get("console"))

    def expect_exec(self, container: ContainerDoor) -> None:
        if self._ready_to_exec is not None or _foreign(container) is not None:
            return
        try:
            self._ready_to_exec = Helper(
                self._kernel,
                (container.process.pidfd,),
                lambda channel: self._await_execute(channel, container),
            )
        except RuntimeFailure:
            pass  # the one that is forked for it will tell

    def forget_exec(self) -> None:
        helper, self._ready_to_exec = self._ready_to_exec, None
        if helper is not None:
            helper.release()

    # -- in the helper -----------------------------------------------------------------------

    def _await_create(self, channel: Channel) -> None:
        rehearse(self._kernel, self._hierarchies)
        received = channel.receive()
        if received is not None:
            message, fds = received
            self._create(channel, Plan.from_message(message, fds), str(message["container_id"]))

    def _create(self, channel: Channel, plan: Plan, container_id: str) -> None:
        config = read_config(plan.directory)
        record = _first_record(config, container_id)
        records.write_record(plan.directory, record)
        created = self._make(plan, config, container_id)
        try:
            record = replace(record, init_pid=created.pid, init_start_time=start_time(created.pid))
            records.write_record(plan.directory, record)
            self._tell_created(channel, created, record)
        except BaseException:
            created.abort()
            raise
        received = channel.receive()
        if received is None:
            created.abort()
            return
        if has_ended(created.pidfd):
            # The runtime would take its end for the execve.
            created.abort()
            text = "error during container init: init died before the start"
            raise RuntimeFailure(text, step="start")
        created.start()
        record = replace(record, started_at=format_time(time.time_ns()))
        records.write_record(plan.directory, record)
        channel.send({"type": "started", "started_at": record.started_at})

    def _make(self, plan: Plan, config: dict[str, Any], container_id: str) -> AnyCreated:
        foreign = _foreign_of(plan, container_id)
        if foreign is not None:
            return create_foreign(self._kernel, foreign, plan, config, self._hierarchies)
        request = Request(
            config,
            root=plan.root,
            namespaces=plan.namespaces,
            stdio=plan.stdio,
            terminal=plan.terminal,
            console_size=plan.console_size,
            seccomp=plan.seccomp,
            hierarchies=self._hierarchies,
        )
        return create(self._kernel, request)

    def _tell_created(self, channel: Channel, created: AnyCreated, record: MonitorRecord) -> None:
        fds = {"pidfd": created.pidfd}
        if created.console is not None:
            fds["console"] = created.console
        oom_fd = created.cgroup.oom_events_fd() if created.cgroup is not None else None
        if oom_fd is not None:
            fds["oom"] = oom_fd
        message = {"type": "made", "record": asdict(record), "warnings": created.warnings}
        channel.send({**message, "fds": list(fds)}, list(fds.values()))

    def _await_execute(self, channel: Channel, container: ContainerDoor) -> None:
        target = self._target(container)
        rehearse_exec(self._kernel, target)
        received = channel.receive()
        if received is not None:
            message, fds = received
            self._execute(channel, Plan.from_message(message, fds), target)

    def _target(self, container: ContainerDoor) -> Target:
        init, record = container.process, container.record
        group = cgroup.Cgroup(record.cgroup, self._hierarchies) if record.cgroup else None
        return Target(init.pid, init.pidfd, read_config(container.directory), group)

    def _execute_foreign(self, channel: Channel, *, plan: Plan, foreign: Foreign) -> None:
        self._tell_executed(channel, execute_foreign(self._kernel, foreign, plan))

    def _tell_executed(self, channel: Channel, executed: Executed) -> None:
        fds = {"pidfd": executed.pidfd}
        if executed.console is not None:
            fds["console"] = executed.console
        message = {"type": "made", "pid": executed.pid, "fds": list(fds)}
        channel.send(message, list(fds.values()))

    def _execute(self, channel: Channel, plan: Plan, target: Target) -> None:
        executed = exec_process(
            self._kernel,
            target,
            plan.process or {},
            stdio=plan.stdio,
            terminal=plan.terminal,
            console_size=plan.console_size,
            seccomp=plan.seccomp,
            group=plan.group,
        )
        self._tell_executed(channel, executed)


def _foreign(container: ContainerDoor) -> Foreign | None:
    return container.foreign if isinstance(container, Container) else None


def _foreign_of(plan: Plan, container_id: str) -> Foreign | None:
    return Foreign(plan.runtime, plan.directory, container_id) if plan.runtime else None


def read_config(directory: str) -> dict[str, Any]:
    """Raises ValueError, OSError."""
    path = os.path.join(directory, records.CONFIG)
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        config = json.load(file)
    if not isinstance(config, dict):
        raise ValueError(f"expected an object in {path}")
    return config


def _first_record(config: dict[str, Any], container_id: str) -> MonitorRecord:
    """Before anything exists: with the cgroup, so that it is found when all is killed half-way."""
    path = str((config.get("linux") or {}).get("cgroupsPath") or "")
    monitor = os.getppid()
    return MonitorRecord(
        version=VERSION,
        pid=monitor,
        start_time=start_time(monitor),
        boot_id=boot_id(),
        container_id=container_id,
        cgroup="/" + path.lstrip("/") if path else "",
    )
