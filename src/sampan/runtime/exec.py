"""Bring a process into a running container; it is a direct child of the caller.

The child is born in the container's pid namespace (and, with cgroup v2, in its cgroup), and joins the
other namespaces by one setns on the pidfd of the container's init: all of them are that container's,
or none. Until it has its final rights nobody in there can look into it (PR_SET_DUMPABLE 0, R16).
"""

from __future__ import annotations

import errno
import os

from sampan.linux import capabilities
from sampan.linux import constants as c
from sampan.linux.cgroup import Cgroup
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.command import (
    STREAMS,
    Command,
    enter_directory,
    give_stdio,
    launch,
    parse_command,
    seal_interpreter,
    take_stdio,
)
from sampan.runtime.failure import NOT_EXECUTABLE, NOT_FOUND, RuntimeFailure, reason
from sampan.runtime.filters import HandOver, listener_of, seccomp_filter
from sampan.runtime.host import write_oom_score
from sampan.runtime.idmap import host_uid
from sampan.runtime.init import become_or_fail, report_failure
from sampan.runtime.lookup import find_command
from sampan.runtime.namespaces import FLAGS
from sampan.runtime.request import NO_STDIO, Executed, Target
from sampan.runtime.rlimits import fit_limits, parse_limits, read_nr_open
from sampan.runtime.spawn import clone_child, fill_standard_descriptors, keep_only
from sampan.runtime.terminal import Console, open_console
from sampan.runtime.undo import Undo, kill_and_reap
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping, NoReturn

_STEP = "exec"


@dataclass(frozen=True, slots=True)
class _Child:
    channel: Channel
    target: Target
    command: Command
    stdio: tuple[int, int, int]
    console_size: tuple[int, int] | None
    group: str
    joins_first: bool  # see `_joins_first`


def exec_process(
    kernel: Kernel,
    target: Target,
    process: Mapping[str, Any],
    *,
    stdio: tuple[int, int, int] = NO_STDIO,
    terminal: bool = False,
    console_size: tuple[int, int] | None = None,
    seccomp: bytes | None = None,
    die_with_parent: bool = False,
    preserve_fds: int = 0,
    state: Mapping[str, Any] | None = None,
    group: str = "",
) -> Executed:
    """Returns when execve was done. Raises RuntimeFailure, with everything undone.

    `process` is OCI's; `seccomp` a compiled filter, else the container's profile applies; `state` is the
    container's, for a profile that has a listener; `group` names a cgroup of its own below the container's.
    """
    undo = Undo()
    try:
        fill_standard_descriptors(kernel)
        command, warnings = _make_command(
            kernel, target, dict(process), terminal, seccomp, die_with_parent, preserve_fds
        )
        ours, theirs = Channel.pair()
        undo.add("close our end", ours.close)
        undo.add("close the other end", theirs.close)
        if not terminal and "user" in _kinds(target.config):
            give_stdio(kernel, host_uid(target.config, command.uid), stdio, kinds=STREAMS)
        between = _joins_first(target.config)
        child = _Child(theirs, target, command, stdio, console_size, group, between)
        pid, pidfd = _clone(kernel, child)
        undo.add("kill", lambda: kill_and_reap(kernel, pidfd))
        theirs.close()
        warnings += write_oom_score(kernel, pid, _oom_score(target, process))
        sync.tell(ours, sync.START)
        console = _await_console(ours) if terminal else None
        if console is not None:
            undo.add("close the terminal", lambda: kernel.close(console))
        sync.expect_end(ours, _listen(kernel, target, pid, state))
    except Exception as error:
        failure = RuntimeFailure.during(_STEP, error, init=False)
        undo.run(failure)
        raise failure from None
    ours.close()
    return Executed(pid, pidfd, console, warnings)


def rehearse(kernel: Kernel, target: Target) -> None:
    """As `create.rehearse`: plan the container's own process once more, and throw the plan away."""
    _make_command(kernel, target, dict(target.config.get("process") or {}), False, b"", False, 0)


def _make_command(
    kernel: Kernel,
    target: Target,
    process: dict[str, Any],
    terminal: bool,
    seccomp: bytes | None,
    die_with_parent: bool,
    preserve_fds: int,
) -> tuple[Command, list[str]]:
    held = capabilities.held_mask()
    if process.get("rlimits") is None:
        process["rlimits"] = (target.config.get("process") or {}).get("rlimits")
    limits, warnings = fit_limits(kernel, parse_limits(process), held=held, nr_open=read_nr_open())
    program, flags = seccomp_filter(target.config, seccomp)
    command = parse_command(
        process,
        held=capabilities.held_in(user_namespace="user" in _kinds(target.config)),
        limits=limits,
        seccomp=program,
        seccomp_flags=flags,
        terminal=terminal,
        die_with_parent=die_with_parent,
        preserve_fds=preserve_fds,
        linux=_inherited(target.config),
    )
    return command, warnings


def _listen(
    kernel: Kernel, target: Target, pid: int, state: Mapping[str, Any] | None
) -> HandOver | None:
    listener = listener_of((target.config.get("linux") or {}).get("seccomp"))
    if listener is None:
        return None
    return HandOver(kernel, listener, pid, state or {})


def _inherited(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of the container's configuration holds for processes that join it too."""
    linux = config.get("linux") or {}
    return {key: linux[key] for key in ("personality", "memoryPolicy") if linux.get(key)}


def _oom_score(target: Target, process: Mapping[str, Any]) -> int | None:
    own: int | None = process.get("oomScoreAdj")
    if own is None:
        own = (target.config.get("process") or {}).get("oomScoreAdj")
    return own


def _kinds(config: dict[str, Any]) -> set[str]:
    return {entry["type"] for entry in (config.get("linux") or {}).get("namespaces") or []}


def _clone(kernel: Kernel, child: _Child) -> tuple[int, int]:
    group = child.target.cgroup
    try:
        pid, pidfd = _clone_into(kernel, child, _group_fd(group, child.group))
    except OSError as error:
        if group is None or error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
            raise
        # With v2 the container may have divided its cgroup, which then takes no process itself.
        beside = group.clone_fd_beside(child.target.pid)
        pid, pidfd = _clone_into(kernel, child, beside)
    if pid == 0:
        _run_child(kernel, child)
    return pid, pidfd


def _group_fd(group: Cgroup | None, name: str) -> int | None:
    if group is None:
        return None
    if name:
        try:
            return group.clone_fd_below(name)
        except OSError:
            pass  # cgroup.max.descendants, or a container that goes this moment: the next call tells
    return group.clone_fd()


def _clone_into(kernel: Kernel, child: _Child, cgroup_fd: int | None) -> tuple[int, int]:
    target = child.target
    between = child.joins_first
    pid = -1
    try:
        pid, pidfd = clone_child(
            kernel,
            0,
            cgroup_fd=-1 if cgroup_fd is None else cgroup_fd,
            pid_namespace=target.pidfd if "pid" in _kinds(target.config) and not between else -1,
            through=(lambda keep: _enter(kernel, child, keep)) if between else None,
        )
        return pid, pidfd
    finally:
        # The child that was born after `_enter` has no descriptors but those it needs.
        if cgroup_fd is not None and not (between and pid == 0):
            os.close(cgroup_fd)


def _joins_first(config: Mapping[str, Any]) -> bool:
    """Whether the child must be born with all namespaces joined, which takes one process more.

    - The container may look into processes that hide (CAP_SYS_PTRACE): it must never see one whose root is the
      host's.
    - Without rights of our own we can join only by way of its user namespace.
    """
    sets = (config.get("process") or {}).get("capabilities") or {}
    kinds = _kinds(dict(config))
    traces = "CAP_SYS_PTRACE" in (sets.get("bounding") or ()) and "user" not in kinds
    return traces or ("user" in kinds and not capabilities.held_mask() & capabilities.CAP_SYS_ADMIN)


def _enter(kernel: Kernel, child: _Child, keep: int = -1) -> None:
    """By the host's paths first, then into the container for good."""
    target, command = child.target, child.command
    preserved = range(3, 3 + command.preserve_fds)
    keep_only(kernel, [child.channel.fileno(), target.pidfd, *child.stdio, *preserved, keep])
    if command.attributes.initial_cpus:
        kernel.sched_setaffinity(command.attributes.initial_cpus)
    if target.cgroup is not None and target.cgroup.hierarchies.mode != "v2":
        target.cgroup.enter()  # with v2 it was born in it
    seal_interpreter()
    _join(kernel, target, also_pid=child.joins_first)


def _await_console(channel: Channel) -> int:
    fds = sync.expect(channel, sync.READY)
    if not fds:
        raise RuntimeFailure("the process died", step=_STEP)
    return fds[0]


def _run_child(kernel: Kernel, child: _Child) -> NoReturn:
    try:
        _run(kernel, child)
    except BaseException as error:
        report_failure(child.channel, RuntimeFailure.during(_STEP, error, init=False))
    finally:
        os._exit(1)


def _run(kernel: Kernel, child: _Child) -> None:
    command = child.command
    if not child.joins_first:
        _enter(kernel, child)
    root = kernel.openat2(c.AT_FDCWD, "/", os.O_PATH | os.O_DIRECTORY)
    console = _open_console(kernel, child, root) if command.terminal else None
    enter_directory(kernel, root, command.cwd)
    stdio = (console.slave,) * 3 if console else child.stdio
    take_stdio(kernel, stdio, terminal=console is not None)
    become_or_fail(kernel, command, init=False)
    path = find_command(kernel, command.args[0], list(command.environment))
    if sync.expect(child.channel, sync.START) is None:
        return
    if console is not None:
        sync.tell(child.channel, sync.READY, (console.master,))
    try:
        launch(kernel, command, path, child.channel)
    except OSError as error:
        if error.filename is None:
            raise
        raise _refused(path, error.errno or 0) from None


def _join(kernel: Kernel, target: Target, *, also_pid: bool) -> None:
    kinds = _kinds(target.config)
    flags = 0
    for kind in kinds if also_pid else kinds - {"pid"}:
        flags |= FLAGS[kind]
    try:
        kernel.setns(target.pidfd, flags)
    except OSError as error:
        raise RuntimeFailure.during("error joining the namespaces", error, init=False) from None
    if "user" in kinds:
        kernel.setresgid(0, 0, 0)
        kernel.setresuid(0, 0, 0)


def _open_console(kernel: Kernel, child: _Child, root: int) -> Console:
    try:
        return open_console(kernel, root, "/dev/pts/ptmx", child.console_size)
    except OSError as error:
        raise RuntimeFailure.during("error creating the console", error, init=False) from None


def _refused(path: str, number: int) -> RuntimeFailure:
    return RuntimeFailure(
        f"exec {path}: {reason(number)}",
        step="execve",
        path=path,
        errno=number,
        exit_code=NOT_FOUND if number == 2 else NOT_EXECUTABLE,
    )
