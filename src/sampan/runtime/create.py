"""Create a container: everything up to the moment its command could run, and back again when a step fails.

    created = create(LinuxKernel(), Request(config, …))
    created.start()          # returns when execve was done
    wait_exit(kernel, created.pidfd); created.cgroup.remove()

For single-threaded processes. Out of scope: stdio, logs, waiting (`monitor`), networks (handed over).
"""

from __future__ import annotations

import os

from sampan.linux import capabilities
from sampan.linux import constants as c
from sampan.linux.cgroup import Cgroup, Hierarchies, detect
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.runtime import plan, sync
from sampan.runtime.command import STREAMS, Command, give_stdio, parse_command
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.filters import HandOver, listener_of, seccomp_filter
from sampan.runtime.hooks import PARENT_KINDS, Hooks, parse_hooks, run_hooks
from sampan.runtime.host import write_id_maps, write_oom_score
from sampan.runtime.idmap import host_uid
from sampan.runtime.init import Init, prepare_all, run_init
from sampan.runtime.namespaces import Namespaces, open_namespaces, parse_namespaces
from sampan.runtime.netdevices import move_devices
from sampan.runtime.request import Request
from sampan.runtime.rlimits import fit_limits, parse_limits, read_nr_open
from sampan.runtime.spawn import clone_child, fill_standard_descriptors
from sampan.runtime.undo import Undo, kill_and_reap
from sampan.spec.record import dataclass, field
from sampan.spec.typing import Any, Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.linux.systemd import Scope

READY_DEADLINE = 120.0
_CAP_SYS_ADMIN = capabilities.CAP_SYS_ADMIN


@dataclass(slots=True)
class Created:
    """Init has done all its operations and waits. The descriptors are the caller's to close."""

    pid: int
    pidfd: int
    console: int | None
    cgroup: Cgroup | None
    warnings: list[str]
    _kernel: Kernel
    _channel: Channel
    _undo: Undo = field(default_factory=Undo)
    _listening: HandOver | None = None

    def start(self) -> None:
        """Let the command run. Returns when execve was done.

        Raises RuntimeFailure; the container is undone then. Where execve itself is refused the
        container has started and ended: init wrote why to its stderr and left with 1, as with runc.
        """
        try:
            sync.tell(self._channel, sync.START)
            sync.expect_end(self._channel, self._listening)
        except Exception as error:
            failure = RuntimeFailure.during("error starting the command", error)
            self._undo.run(failure)
            raise failure from None
        self._undo.settle()
        self._channel.close()

    def leave(self) -> None:
        """Let init wait at its gate for whoever starts it; it no longer depends on this process."""
        sync.tell(self._channel, sync.LEAVE)
        self._undo.settle()
        self._channel.close()

    def abort(self) -> None:
        """Kill it and undo everything."""
        self._undo.run()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What follows from the request alone."""

    namespaces: Namespaces
    operations: list[Operation]
    command: Command
    warnings: list[str]
    cgroup_path: str | None
    hierarchies: Hierarchies
    hooks: Hooks


def create(kernel: Kernel, request: Request) -> Created:
    """Raises RuntimeFailure, with everything undone."""
    undo = Undo()
    try:
        return _create(kernel, request, undo)
    except Exception as error:
        failure = RuntimeFailure.during("error creating the container", error, init=False)
        undo.run(failure)
        if failure is error:
            raise
        raise failure from error
    except BaseException as error:
        undo.run(error)
        raise


def _create(kernel: Kernel, request: Request, undo: Undo) -> Created:
    fill_standard_descriptors(kernel)
    made = _make_plan(kernel, request)
    context = Context()
    undo.add("close descriptors", lambda: context.close(kernel))
    context.namespaces = open_namespaces(
        kernel, made.namespaces, request.namespaces, context.own_fds
    )
    if made.cgroup_path is not None:
        context.cgroup = Cgroup(made.cgroup_path, made.hierarchies)
        undo.add("remove the cgroup", context.cgroup.remove)
        if request.scope is None:
            context.cgroup.begin()
    # Who may mount nothing here may do so in a user namespace of his own, where init is root.
    inside = "user" in made.namespaces.new and not capabilities.held_mask() & _CAP_SYS_ADMIN
    if not inside:
        prepare_all(kernel, context, made.operations)
    ours, theirs = Channel.pair()
    context.channel = theirs
    undo.add("close our end", ours.close)
    undo.add("close the other end", theirs.close)
    init = Init(
        channel=theirs,
        context=context,
        operations=made.operations,
        command=made.command,
        stdio=request.stdio,
        new_user_namespace="user" in made.namespaces.new,
        user_namespace="user" in made.namespaces.own,
        prepare_inside=inside,
        gate=request.gate,
        start_hooks=made.hooks.get("startContainer", ()),
        state=request.state or {},
    )
    if init.user_namespace and not request.terminal:
        # In there nobody can give away what belongs to the host.
        uid = host_uid(request.config, made.command.uid)
        give_stdio(kernel, uid, request.stdio, kinds=STREAMS)
    pid, pidfd = _clone(kernel, made.namespaces, context, init, request.scope, hidden=not inside)
    undo.add("kill", lambda: kill_and_reap(kernel, pidfd))
    theirs.close()
    context.close(kernel)
    try:
        warnings = made.warnings + _set_up_from_outside(
            kernel, request, context, init, ours, pid, undo
        )
        _run_own_hooks(kernel, made.hooks, request.state or {}, ours, pid)
    except Exception:
        # Of an init that has ended nothing can be set any more: what it says is the reason.
        if (failure := sync.last_words(ours)) is not None:
            raise failure from None
        raise
    sync.tell(ours, sync.LIMITED)
    console = _await_ready(ours)
    if console is not None:
        undo.add("close the terminal", lambda: kernel.close(console))
    listening = listen_for(kernel, request.config, request.state, pid)
    return Created(pid, pidfd, console, context.cgroup, warnings, kernel, ours, undo, listening)


def listen_for(
    kernel: Kernel, config: dict[str, Any], state: Mapping[str, Any] | None, pid: int
) -> HandOver | None:
    """What is done with the descriptor of a seccomp listener, when the profile has one."""
    listener = listener_of((config.get("linux") or {}).get("seccomp"))
    if listener is None:
        return None
    return HandOver(kernel, listener, pid, {**(state or {}), "status": "created", "pid": pid})


def rehearse(kernel: Kernel, request: Request) -> None:
    """Do all that has no effect outside this process: the memory that it needs is this process's own then."""
    _make_plan(kernel, request)


def _make_plan(kernel: Kernel, request: Request) -> _Plan:
    config = request.config
    process = config.get("process") or {}
    linux = config.get("linux") or {}
    held = capabilities.held_mask()
    namespaces = parse_namespaces(config, request.namespaces)
    limits, warnings = fit_limits(kernel, parse_limits(process), held=held, nr_open=read_nr_open())
    program, flags = seccomp_filter(config, request.seccomp)
    command = parse_command(
        # execCPUAffinity is for those that are brought in later.
        {key: value for key, value in process.items() if key != "execCPUAffinity"},
        held=capabilities.held_in(user_namespace="user" in namespaces.own),
        limits=limits,
        seccomp=program,
        seccomp_flags=flags,
        terminal=request.terminal,
        die_with_parent=request.die_with_parent and request.gate is None,
        preserve_fds=request.preserve_fds,
        new_keyring=request.new_keyring,
        linux=linux,
    )
    cgroup_path = linux.get("cgroupsPath")
    if cgroup_path and not cgroup_path.startswith("/"):
        cgroup_path = "/" + cgroup_path
    hierarchies = request.hierarchies or detect()
    hooks = parse_hooks(config)
    if hooks and request.state is None:
        raise ValueError("hooks: they need the container's state")
    operations = plan.build(
        config,
        root=request.root,
        own=namespaces,
        cgroup_mode=hierarchies.mode,
        terminal_size=request.console_size or _console_size(process),
        with_terminal=request.terminal,
        hooks=hooks,
        state={**request.state, "status": "creating"} if request.state else None,
        pivot=request.pivot,
    )
    return _Plan(namespaces, operations, command, warnings, cgroup_path or None, hierarchies, hooks)


def _console_size(process: dict[str, Any]) -> tuple[int, int] | None:
    size = process.get("consoleSize")
    return (size["height"], size["width"]) if size else None


def _clone(
    kernel: Kernel,
    namespaces: Namespaces,
    context: Context,
    init: Init,
    scope: Scope | None,
    *,
    hidden: bool,
) -> tuple[int, int]:
    own = context.cgroup if scope is None else None  # a scope begins with a process that is there
    cgroup_fd = own.clone_fd() if own is not None else None
    through = _joining(kernel, context.namespaces)
    try:
        pid, pidfd = clone_child(
            kernel,
            namespaces.clone_flags,
            cgroup_fd=-1 if cgroup_fd is None else cgroup_fd,
            pid_namespace=-1 if through else context.namespaces.get("pid", -1),
            through=through,
            time_offsets=namespaces.time_offsets,
            hidden=hidden,  # else its maps could be written by root only
        )
    except OSError as error:
        raise RuntimeFailure.during("error creating namespaces", error, init=False) from None
    finally:
        if cgroup_fd is not None:
            os.close(cgroup_fd)
    if pid == 0:
        run_init(kernel, init)
    return pid, pidfd


def _joining(kernel: Kernel, joined: Mapping[str, int]) -> Callable[[int], None] | None:
    """The new namespaces shall belong to the joined user namespace."""
    if "user" not in joined:
        return None

    def join(_keep: int) -> None:
        # Here, and not by us: the process between would know its child by its number in there.
        if "pid" in joined:
            kernel.setns(joined["pid"], c.CLONE_NEWPID)
        kernel.setns(joined["user"], c.CLONE_NEWUSER)

    return join


def _set_up_from_outside(
    kernel: Kernel,
    request: Request,
    context: Context,
    init: Init,
    channel: Channel,
    pid: int,
    undo: Undo,
) -> list[str]:
    """What only the host can do, while init mounts; returns warnings."""
    config, scope = request.config, request.scope
    linux = config.get("linux") or {}
    if init.new_user_namespace:
        write_id_maps(kernel, pid, linux)
        sync.tell(channel, sync.MAPPED)
    if linux.get("netDevices"):
        own_network = "network" in {entry["type"] for entry in linux.get("namespaces") or []}
        move_devices(kernel, pid, linux["netDevices"], undo, own_network=own_network)
    warnings = write_oom_score(kernel, pid, (config.get("process") or {}).get("oomScoreAdj"))
    if context.cgroup is not None:
        try:
            if scope is not None:
                _start_scope(scope, pid, request)
                # Not before: names are the whole host's, and until it has started another's may have this one.
                undo.add("stop the scope", lambda: _stop_scope(scope))
            context.cgroup.finish()
            warnings += context.cgroup.apply(linux.get("resources") or {})
            if init.user_namespace:
                context.cgroup.add(pid)  # init cannot write the host's files any more
        except (OSError, ValueError) as error:
            raise RuntimeFailure.during("error setting cgroup limits", error, init=False) from None
    return warnings


def _stop_scope(scope: Scope) -> None:
    from sampan.linux import systemd

    systemd.stop_scope(scope)


def _start_scope(scope: Scope, pid: int, request: Request) -> None:
    # For the few whose cgroups systemd makes; this is still the host.
    from sampan.linux import systemd

    name = (request.state or {}).get("id", "")
    resources = (request.config.get("linux") or {}).get("resources") or {}
    systemd.start_scope(scope, pid, f"container {name}".strip(), resources)


def _run_own_hooks(
    kernel: Kernel, hooks: Hooks, state: dict[str, Any], channel: Channel, pid: int
) -> None:
    """Those that run on the host, when init has done its mounts and not yet entered them."""
    kinds = [kind for kind in PARENT_KINDS if hooks.get(kind)]
    if kinds and sync.expect(channel, sync.MOUNTED) is None:
        raise RuntimeFailure("error during container init: init died", step="wait for the mounts")
    for kind in kinds:
        run_hooks(kernel, kind, hooks[kind], {**state, "status": "creating", "pid": pid})


def _await_ready(channel: Channel) -> int | None:
    """The terminal's master, when init made one."""
    channel.sock.settimeout(READY_DEADLINE)
    try:
        fds = sync.expect(channel, sync.READY)
    except TimeoutError:
        text = f"error during container init: not ready after {READY_DEADLINE:.0f} s"
        raise RuntimeFailure(text, step="wait for init") from None
    finally:
        channel.sock.settimeout(None)
    if fds is None:
        raise RuntimeFailure("error during container init: init died", step="wait for init")
    return fds[0] if fds else None
