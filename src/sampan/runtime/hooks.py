"""Programs of the caller that run at set moments of a container's life. runtime-spec config.md, "POSIX-platform Hooks".

    prestart, createRuntime   in the parent, on the host       the namespaces are there, the root not yet entered
    createContainer           in init, before the root is      host's paths, container's namespaces
    startContainer            in init, at `start`              container's paths, rights of the command
    poststart, poststop       by the command (`tool`)          on the host

Each gets the container's state on its stdin. Out of scope: what they do.
"""

from __future__ import annotations

import os

from sampan.linux import signals as signal
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure
from sampan.spec import quickjson
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping, NoReturn, Sequence

KINDS = (
    *("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"),
)
PARENT_KINDS = ("prestart", "createRuntime")
_OUTPUT_LIMIT = 4096
_MAX_FD = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Hook:
    path: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    timeout: float | None  # seconds


Hooks = Mapping[str, tuple[Hook, ...]]


def parse_hooks(config: Mapping[str, Any]) -> Hooks:
    """Raises ValueError with the field's path."""
    hooks = config.get("hooks") or {}
    if any(hooks.values()):
        import select  # noqa: F401 - for `_wait`, which may run where nothing can be loaded any more
    return {
        kind: tuple(_parse(entry, f"hooks.{kind}[{at}]") for at, entry in enumerate(entries))
        for kind in KINDS
        if (entries := hooks.get(kind))
    }


def _parse(entry: Mapping[str, Any], place: str) -> Hook:
    path, timeout = entry.get("path") or "", entry.get("timeout")
    if not path.startswith("/"):
        raise ValueError(f"{place}.path: must be an absolute path, not {path!r}")
    if timeout is not None and timeout <= 0:
        raise ValueError(f"{place}.timeout: must be greater than zero")
    args = tuple(entry.get("args") or ()) or (path,)
    return Hook(path, args, tuple(entry.get("env") or ()), timeout)


def run_hooks(kernel: Kernel, kind: str, hooks: Sequence[Hook], state: Mapping[str, Any]) -> None:
    """In order; raises RuntimeFailure at the first that fails."""
    for number, hook in enumerate(hooks):
        problem = _run(kernel, hook, quickjson.dumps(state).encode("utf-8", "surrogateescape"))
        if problem is not None:
            raise RuntimeFailure(
                f"error running {kind} hook #{number}: {problem}",
                step=f"hook {kind}",
                path=hook.path,
            )


def _run(kernel: Kernel, hook: Hook, state: bytes) -> str | None:
    """What went wrong. In files, not pipes: however much either side writes, nobody waits for a reader."""
    fds = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("state", "output", "errors")]
    try:
        os.write(fds[0], state)
        os.lseek(fds[0], 0, os.SEEK_SET)
        pid, pidfd = kernel.fork()
        if pid == 0:
            _become(kernel, hook, fds)
        try:
            in_time = _wait(pidfd, hook.timeout)
            if not in_time:
                kernel.pidfd_send_signal(pidfd, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        finally:
            kernel.close(pidfd)
        if not in_time:
            return f"hook ran past specified timeout of {hook.timeout}s"
        if code == 0:
            return None
        how = f"signal: {-code}" if code < 0 else f"exit status {code}"
        output, errors = (
            os.pread(fd, _OUTPUT_LIMIT, 0).decode("utf-8", "replace") for fd in fds[1:]
        )
        return f"{how}, stdout: {output}, stderr: {errors}"
    finally:
        for fd in fds:
            os.close(fd)


def _wait(pidfd: int, timeout: float | None) -> bool:
    import select  # that most containers do without: 0.3 ms

    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(None if timeout is None else timeout * 1000))


def _become(kernel: Kernel, hook: Hook, fds: Sequence[int]) -> NoReturn:
    try:
        aside = [kernel.dup(fd) for fd in fds]
        for target, fd in enumerate(aside):
            kernel.dup2(fd, target)
        kernel.close_range(3, _MAX_FD, 0)
        kernel.reset_signals()
        kernel.execve(hook.path, list(hook.args), list(hook.env))
    except BaseException as error:
        os.write(2, f"{hook.path}: {error}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


@dataclass(frozen=True, slots=True)
class TellMounted(Operation):
    """Now the parent's hooks may run; `AwaitCgroup` waits for their end too."""

    def describe(self) -> str:
        return "error telling that the mounts are done"

    def execute(self, kernel: Kernel, context: Context) -> None:
        if context.channel is not None:
            sync.tell(context.channel, sync.MOUNTED)


@dataclass(frozen=True, slots=True)
class RunHooks(Operation):
    """In init. `state` lacks what only init knows: its pid as it sees it itself."""

    kind: str
    hooks: tuple[Hook, ...]
    state: Mapping[str, Any]

    def describe(self) -> str:
        return f"error running {self.kind} hooks"

    def execute(self, kernel: Kernel, context: Context) -> None:
        state = {**self.state, "pid": os.getpid()}
        run_hooks(kernel, self.kind, self.hooks, state)
