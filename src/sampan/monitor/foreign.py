"""Containers by another OCI runtime (runc, crun, …), by its command line: what `helper.py` does with our own otherwise.

    DIRECTORY/bundle/config.json      the container's, with its root and namespaces by path
    DIRECTORY/bundle/rootfs           the root is mounted here, in the helper's own mount namespace only
    DIRECTORY/runtime                 the runtime's `--root`

Its containers' first processes, and those it brings in, become the monitor's children because the monitor is their
subreaper. Their cgroup is named by us, so limits, pause and kill are ours as with our own runtime.
Source: runc's command line; runtime-spec config.md.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.linux import constants as c
from sampan.linux.cgroup import Cgroup, Hierarchies
from sampan.linux.filesystems import make_overlay
from sampan.linux.kernel import Kernel
from sampan.monitor.runtime import Plan
from sampan.runtime.failure import NOT_EXECUTABLE, NOT_FOUND, PREFIX, RuntimeFailure
from sampan.runtime.mounts import clone_tree
from sampan.runtime.options import parse_options
from sampan.runtime.request import Executed
from sampan.spec.mount import PART, Mount

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_CONSOLE_DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Foreign:
    """One container of a runtime; `command` is its program and what goes before all other arguments."""

    command: tuple[str, ...]
    directory: str
    container_id: str

    def call(
        self, name: str, *arguments: str, stdio: Sequence[int] | None = None, step: str = ""
    ) -> None:
        """Run it to its end. Raises RuntimeFailure with what it has logged."""
        log = os.path.join(self.directory, f"runtime.{name}.{os.getpid()}.log")
        argv = [
            *self.command,
            *("--root", os.path.join(self.directory, "runtime")),
            *("--log", log, "--log-format", "json"),
            *(name, *arguments),
        ]
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            fds = stdio or (null, null, null)
            actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)]
            pid = os.posix_spawn(
                argv[0],
                argv,
                _ENVIRONMENT,
                file_actions=actions,
                setsigmask=(),
                setsigdef=[signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM, signal.SIGINT],
            )
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status:
                raise failure_of(_last_error(log) or f"{argv[0]} {name}: exit {status}", step)
        except OSError as error:
            text = f"{argv[0]}: {error.strerror}"
            raise RuntimeFailure(text, step=step or name, path=argv[0]) from None
        finally:
            os.close(null)
            try:
                os.unlink(log)
            except FileNotFoundError:
                pass

    def delete(self) -> None:
        self.call("delete", "--force", self.container_id, step="delete")


def _last_error(log: str) -> str:
    """The message of the last line that is one of an error; "" without."""
    text = ""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            text = str(entry.get("msg") or "")
    return text


def failure_of(text: str, step: str) -> RuntimeFailure:
    """The runtime's words, less what is put before them again later."""
    message = text.partition(PREFIX)[2] or text
    lowered = message.lower()
    code = None
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        code = NOT_FOUND
    elif "permission denied" in lowered or "is a directory" in lowered:
        code = NOT_EXECUTABLE
    return RuntimeFailure(message, step=step, exit_code=code)


@dataclass(slots=True)
class Created:
    """As `runtime.create.Created`."""

    pid: int
    pidfd: int
    console: int | None
    cgroup: Cgroup | None
    warnings: list[str]
    _foreign: Foreign

    def start(self) -> None:
        try:
            self._foreign.call("start", self._foreign.container_id, step="start")
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        try:
            self._foreign.delete()
        finally:
            if self.cgroup is not None:
                self.cgroup.kill(signal.SIGKILL)
                self.cgroup.remove()


def create(
    kernel: Kernel, foreign: Foreign, plan: Plan, config: dict[str, Any], hierarchies: Hierarchies
) -> Created:
    """Raises RuntimeFailure; what was made is undone."""
    bundle = os.path.join(foreign.directory, "bundle")
    root = os.path.join(bundle, "rootfs")
    os.makedirs(root, 0o700, exist_ok=True)
    _mount_root(kernel, plan.root, root)
    with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as file:
        json.dump(foreign_config(config, root, plan), file)
    pid_file = os.path.join(foreign.directory, "pid")
    path = str((config.get("linux") or {}).get("cgroupsPath") or "")
    group = Cgroup("/" + path.lstrip("/"), hierarchies) if path else None
    words = ["--bundle", bundle, "--pid-file", pid_file]
    try:
        console = _call_with_console(foreign, "create", words, [foreign.container_id], plan)
        pid, pidfd = _read_pid(kernel, pid_file)
    except BaseException:
        _undo(foreign, group)
        raise
    return Created(pid, pidfd, console, group, [], foreign)


def _undo(foreign: Foreign, group: Cgroup | None) -> None:
    try:
        foreign.delete()
    except RuntimeFailure:
        pass  # it had undone it itself
    if group is not None:
        group.kill(signal.SIGKILL)
        group.remove()


def execute(kernel: Kernel, foreign: Foreign, plan: Plan) -> Executed:
    """Another process in it."""
    base = os.path.join(foreign.directory, f"exec.{os.getpid()}")
    process = {**(plan.process or {}), "terminal": plan.terminal}
    with open(f"{base}.json", "w", encoding="utf-8") as file:
        json.dump(process, file)
    words = ["--detach", "--process", f"{base}.json", "--pid-file", f"{base}.pid"]
    try:
        console = _call_with_console(foreign, "exec", words, [foreign.container_id], plan)
        pid, pidfd = _read_pid(kernel, f"{base}.pid")
    finally:
        for name in (f"{base}.json", f"{base}.pid"):
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass
    return Executed(pid, pidfd, console)


def _read_pid(kernel: Kernel, path: str) -> tuple[int, int]:
    with open(path, encoding="ascii") as file:
        pid = int(file.read())
    # One that has ended already is a zombie until the monitor, its parent by now, looks.
    return pid, kernel.pidfd_open(pid)


def _mount_root(kernel: Kernel, root: Sequence[Mount], place: str) -> None:
    """In a mount namespace that lives as long as this process: the host's table never shows it."""
    kernel.unshare(c.CLONE_NEWNS)
    kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
    for mount in root:
        options = parse_options(mount.options)
        if mount.type == "overlay":
            made = make_overlay(kernel, options.data, options.attr_set & ~c.MOUNT_ATTR_RDONLY)
        else:
            made = clone_tree(kernel, c.AT_FDCWD, mount.source, recursive=True)
        kernel.move_mount(made, "", c.AT_FDCWD, place, c.MOVE_MOUNT_F_EMPTY_PATH)
        kernel.close(made)


def foreign_config(config: Mapping[str, Any], root: str, plan: Plan) -> dict[str, Any]:
    """What another process can make of it: no descriptors, no options of our own. Raises ValueError."""
    linux = dict(config.get("linux") or {})
    kinds = {kind: f"/proc/{os.getpid()}/fd/{fd}" for kind, fd in plan.namespaces.items()}
    listed = [entry for entry in linux.get("namespaces") or [] if entry["type"] not in kinds]
    linux["namespaces"] = [*listed, *({"type": k, "path": path} for k, path in kinds.items())]
    linux["resources"] = _without_wildcards(linux.get("resources") or {})
    process = {**(config.get("process") or {}), "terminal": plan.terminal}
    if plan.console_size is not None:
        rows, columns = plan.console_size
        process["consoleSize"] = {"height": rows, "width": columns}
    for mount in config.get("mounts") or []:
        if any(str(word).startswith(PART) for word in mount.get("options") or ()):
            raise ValueError("a part of an image can be mounted only by the runtime sampan")
    made_root = {**(config.get("root") or {}), "path": root}
    return {**config, "root": made_root, "process": process, "linux": linux}


def _without_wildcards(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Every runtime lets a container make nodes; runc adds those rules last, and cannot refuse one after them."""
    rules = [
        rule
        for rule in resources.get("devices") or []
        if not (rule.get("allow") and rule.get("access") == "m" and "major" not in rule)
    ]
    return {**resources, "devices": rules}


def _call_with_console(
    foreign: Foreign, name: str, words: list[str], last: list[str], plan: Plan
) -> int | None:
    """The terminal's master, where it has one."""
    if not plan.terminal:
        foreign.call(name, *words, *last, stdio=plan.stdio, step=name)
        return None
    # Short, however long the directory's path: sun_path holds 108 bytes.
    folder = os.open(foreign.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"/proc/{os.getpid()}/fd/{folder}/console.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)
        listener.listen(1)
        foreign.call(name, *words, "--console-socket", path, *last, step=name)
        return _receive_console(listener)
    finally:
        listener.close()
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        os.close(folder)


def _receive_console(listener: socket.socket) -> int:
    """It was sent before the command ended, and waits in the socket."""
    listener.settimeout(_CONSOLE_DEADLINE)
    sock, _ = listener.accept()
    with sock:
        sock.settimeout(_CONSOLE_DEADLINE)
        _, ancillary, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if not fds:
        raise RuntimeFailure("the runtime sent no terminal", step="console")
    os.set_blocking(fds[0], False)
    return fds[0]
