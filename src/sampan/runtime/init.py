"""The container's first process between clone3 and execve. It never returns.

No logging, no imports, no locks, no look-up by path outside descriptors; whatever goes wrong travels
to the parent as a RuntimeFailure.
"""

from __future__ import annotations

import _socket
import os

from sampan.linux import constants as c
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.command import (
    Command,
    become,
    enter_directory,
    launch,
    seal_interpreter,
    take_stdio,
)
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure, reason
from sampan.runtime.hooks import Hook, run_hooks
from sampan.runtime.lookup import find_command
from sampan.runtime.spawn import keep_only
from sampan.spec.record import dataclass, field
from sampan.spec.typing import Any, Mapping, NoReturn, Sequence


@dataclass(frozen=True, slots=True)
class SealInterpreter(Operation):
    """The last step before the root changes."""

    def describe(self) -> str:
        return "error sealing the interpreter"

    def execute(self, kernel: Kernel, context: Context) -> None:
        seal_interpreter()


@dataclass(slots=True)
class Init:
    """All that init needs. `channel` is its own end, later that of who starts it."""

    channel: Channel
    context: Context
    operations: Sequence[Operation]
    command: Command
    stdio: tuple[int, int, int]
    user_namespace: bool
    new_user_namespace: bool = False
    prepare_inside: bool = False  # the parent had not the right to
    gate: _socket.socket | None = None
    start_hooks: tuple[Hook, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)


def run_init(kernel: Kernel, init: Init) -> NoReturn:
    try:
        _run(kernel, init)
    except BaseException as error:
        report_failure(init.channel, RuntimeFailure.during("init", error))
    finally:
        os._exit(1)


def report_failure(channel: Channel, failure: RuntimeFailure) -> None:
    try:
        sync.tell_failure(channel, failure)
    except OSError:
        pass  # the parent is gone, and nobody else wants to know


def _run(kernel: Kernel, init: Init) -> None:
    context, command = init.context, init.command
    kernel.umask(0)
    keep_only(kernel, _needed_descriptors(init))
    if init.new_user_namespace:
        sync.expect_alive(init.channel, sync.MAPPED)
        kernel.prctl(c.PR_SET_DUMPABLE, 0)
    if init.user_namespace:
        kernel.setresgid(0, 0, 0)
        kernel.setresuid(0, 0, 0)
    if init.prepare_inside:
        prepare_all(kernel, context, init.operations)
    execute_all(kernel, context, init.operations)
    enter_directory(kernel, context.root_fd, command.cwd, fd=context.cwd_fd)
    console = context.console
    stdio = (console.slave,) * 3 if console else init.stdio
    take_stdio(kernel, stdio, terminal=console is not None)
    become_or_fail(kernel, command)
    path = find_command(kernel, command.args[0], list(command.environment))
    sync.tell(init.channel, sync.READY, (console.master,) if console else ())
    if not _await_start(init):
        return
    if init.start_hooks:
        state = {**init.state, "status": "created", "pid": os.getpid()}
        run_hooks(kernel, "startContainer", init.start_hooks, state)
    try:
        launch(kernel, command, path, init.channel)
    except OSError as error:
        if error.filename is None:
            raise
        # As with runc: the container has started, and its command says what became of it.
        text = f"exec {path}: {reason(error.errno or 0)}\n"
        os.write(2, text.encode("utf-8", "replace"))


def _await_start(init: Init) -> bool:
    """False when there is nobody any more who could start it."""
    if init.gate is None:
        return sync.expect(init.channel, sync.START) is not None
    if sync.expect(init.channel, sync.LEAVE) is None:
        return False
    init.channel.close()
    while True:
        fd, _ = init.gate._accept()  # type: ignore[attr-defined]
        init.channel = Channel.adopt(fd)
        # Who only wanted to know whether somebody waits here says nothing.
        if sync.expect(init.channel, sync.START) is not None:
            return True
        init.channel.close()


def prepare_all(kernel: Kernel, context: Context, operations: Sequence[Operation]) -> None:
    for operation in operations:
        try:
            operation.prepare(kernel, context)
        except Exception as error:
            raise RuntimeFailure.during(operation.describe(), error) from None


def execute_all(kernel: Kernel, context: Context, operations: Sequence[Operation]) -> None:
    for operation in operations:
        try:
            operation.execute(kernel, context)
        except Exception as error:
            raise RuntimeFailure.during(operation.describe(), error) from None


def become_or_fail(kernel: Kernel, command: Command, *, init: bool = True) -> None:
    try:
        become(kernel, command)
    except Exception as error:
        raise RuntimeFailure.during("error taking the identity", error, init=init) from None


def _needed_descriptors(init: Init) -> list[int]:
    context = init.context
    return [
        init.channel.fileno(),
        *init.stdio,
        *range(3, 3 + init.command.preserve_fds),
        *([init.gate.fileno()] if init.gate is not None else []),
        *context.prepared.values(),
        *context.namespaces.values(),
        *([context.root_fd] if context.root_fd >= 0 else []),
    ]
