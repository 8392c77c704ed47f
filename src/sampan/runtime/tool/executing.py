"""`exec`: another process in a running container."""

from __future__ import annotations

import os

from sampan.linux import signals as signal
from sampan.linux.cgroup import Cgroup
from sampan.linux.kernel import Kernel
from sampan.runtime.console import own_size
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Executed, Target
from sampan.runtime.tool.arguments import Options, UsageError
from sampan.runtime.tool.bundle import load_process
from sampan.runtime.tool.creating import open_descriptors
from sampan.runtime.tool.state import (
    PAUSED,
    RUNNING,
    STOPPED,
    Record,
    Store,
    ToolError,
    alive,
    group_of,
    oci_state,
    status_of,
)
from sampan.runtime.tool.terminals import check_terminal, hand_over
from sampan.spec.typing import Any

_MAX_ID = (1 << 31) - 1


def execute(kernel: Kernel, store: Store, options: Options) -> Executed:
    """The process, which is this one's child."""
    record = store.read(options.words[0])
    status = status_of(store, record)
    if status == STOPPED:
        raise ToolError("cannot exec in a stopped container")
    if status == PAUSED and not options.switch("ignore-paused"):
        raise ToolError("cannot exec in a paused container (use --ignore-paused to override)")
    process = _process(record, options)
    terminal = bool(process.get("terminal"))
    detached = options.switch("detach")
    check_terminal(
        terminal=terminal, detached=detached, console_socket=options.text("console-socket")
    )
    preserved = open_descriptors({"process": process}, options.number("preserve-fds"))
    target = _target(kernel, record, options.listed("cgroup"))
    size = process.get("consoleSize") or {}
    try:
        executed = exec_process(
            kernel,
            target,
            process,
            terminal=terminal,
            console_size=(size["height"], size["width"]) if size else own_size(),
            preserve_fds=preserved,
            state=oci_state(record, RUNNING),
        )
    finally:
        kernel.close(target.pidfd)
    try:
        hand_over(options, executed)
    except BaseException:
        kernel.pidfd_send_signal(executed.pidfd, signal.SIGKILL)
        raise
    return executed


def _target(kernel: Kernel, record: Record, cgroups: list[str]) -> Target:
    try:
        pidfd = kernel.pidfd_open(record.pid)
    except ProcessLookupError:
        raise ToolError("cannot exec in a stopped container") from None
    if not alive(record):
        kernel.close(pidfd)
        raise ToolError("cannot exec in a stopped container")
    group = group_of(record)
    if cgroups:
        group = _subgroup(group, cgroups)
    return Target(record.pid, pidfd, record.config, group)


def _subgroup(group: Cgroup | None, wanted: list[str]) -> Cgroup:
    """`--cgroup PATH`: one that the container has made below its own."""
    if group is None or len(wanted) > 1 or ":" in wanted[0]:
        raise ToolError("--cgroup takes one path below the container's cgroup, for all controllers")
    parts = [part for part in wanted[0].split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ToolError(f"--cgroup: {wanted[0]} is not below the container's cgroup")
    below = Cgroup("/".join([group.path, *parts]), group.hierarchies)
    if not below.exists():
        raise ToolError(f"--cgroup: {wanted[0]} does not exist in the container's cgroup")
    return below


def _process(record: Record, options: Options) -> dict[str, Any]:
    if options.text("process"):
        return load_process(options.text("process"))
    args = options.words[1:]
    if not args:
        raise UsageError("exec args cannot be empty")
    process = dict(record.config.get("process") or {})
    process.pop("terminal", None)
    process["args"] = args
    process["terminal"] = options.switch("tty")
    process["env"] = [*(process.get("env") or []), *options.listed("env")]
    if options.text("cwd"):
        process["cwd"] = options.text("cwd")
    if options.given("no-new-privs"):
        process["noNewPrivileges"] = options.switch("no-new-privs")
    for flag, key in (("process-label", "selinuxLabel"), ("apparmor", "apparmorProfile")):
        if options.text(flag):
            raise ToolError(f"--{flag}: {key} is not supported")
    _add_user(process, options)
    _add_capabilities(process, options.listed("cap"))
    return process


def _add_user(process: dict[str, Any], options: Options) -> None:
    user = dict(process.get("user") or {})
    if options.text("user"):
        uid, colon, gid = options.text("user").partition(":")
        user["uid"] = _id(uid, "uid")
        if colon:
            user["gid"] = _id(gid, "gid")
    more = [_id(gid, "gid") for gid in options.listed("additional-gids")]
    if more:
        user["additionalGids"] = [*(user.get("additionalGids") or []), *more]
    process["user"] = user


def _id(word: str, what: str) -> int:
    if not (word.isascii() and word.isdigit()) or int(word) > _MAX_ID:
        raise ToolError(f"parsing {word!r} as {what} failed")
    return int(word)


def _add_capabilities(process: dict[str, Any], names: list[str]) -> None:
    if not names:
        return
    sets = {key: list(value) for key, value in (process.get("capabilities") or {}).items()}
    for key in ("bounding", "effective", "permitted"):
        sets[key] = [*sets.get(key, []), *(n for n in names if n not in sets.get(key, []))]
    process["capabilities"] = sets


def leave_running(executed: Executed) -> None:
    """Its descriptors close; whoever is our parent, or a subreaper, gets it."""
    os.close(executed.pidfd)
    if executed.console is not None:
        os.close(executed.console)
