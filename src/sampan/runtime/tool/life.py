"""`start`, `kill`, `delete`, `pause`, `resume`: what becomes of a container that exists."""

from __future__ import annotations

import os
import time

from sampan.linux import signals as signal
from sampan.linux.cgroup import Cgroup
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.create import listen_for
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.hooks import parse_hooks, run_hooks
from sampan.runtime.tool import gate
from sampan.runtime.tool.state import (
    CREATED,
    CREATING,
    DEFAULT_PARENT,
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

KILL_DEADLINE = 10.0


def start(kernel: Kernel, store: Store, container_id: str) -> None:
    record = store.read(container_id)
    status = status_of(store, record)
    if status != CREATED:
        if status == STOPPED:
            raise ToolError("cannot start a container that has stopped")
        raise ToolError(f"cannot start a container in the {status} state")
    channel = gate.connect(store.folder(container_id))
    if channel is None:
        raise ToolError("cannot start an already running container")
    try:
        sync.tell(channel, sync.START)
        listening = listen_for(kernel, record.config, oci_state(record, CREATED), record.pid)
        sync.expect_end(channel, listening)
    except Exception as error:
        raise RuntimeFailure.during("error starting the command", error) from None
    finally:
        channel.close()
    run_poststart(kernel, store, record)


def run_poststart(kernel: Kernel, store: Store, record: Record) -> None:
    """When one fails the container is ended, runtime.md, "Lifecycle" step 9."""
    hooks = parse_hooks(record.config).get("poststart", ())
    if not hooks:
        return
    try:
        run_hooks(kernel, "poststart", hooks, oci_state(record, RUNNING))
    except RuntimeFailure:
        kill_all(kernel, record)
        raise


def kill(kernel: Kernel, store: Store, container_id: str, number: int, *, everybody: bool) -> None:
    record = store.read(container_id)
    status = status_of(store, record)
    shared = "pid" not in _kinds(record)
    group = group_of(record)
    # Without a pid namespace of its own others may outlive the first process.
    if everybody or (shared and status == STOPPED and number == signal.SIGKILL):
        if group is None or not group.exists():
            raise ToolError("container not running")
        group.kill(number)
        return
    if status in (STOPPED, CREATING):
        raise ToolError("container not running")
    if number == signal.SIGKILL and shared and group is not None:
        group.kill(number)
    _signal(kernel, record, number)
    if number == signal.SIGKILL and status == PAUSED and group is not None:
        group.thaw()  # v1's frozen processes take it only then


def _kinds(record: Record) -> set[str]:
    return {entry["type"] for entry in (record.config.get("linux") or {}).get("namespaces") or []}


def _signal(kernel: Kernel, record: Record, number: int) -> None:
    """By a descriptor, then looked at again: the pid could have become another's."""
    try:
        pidfd = kernel.pidfd_open(record.pid)
    except ProcessLookupError:
        raise ToolError("container not running") from None
    try:
        if not alive(record):
            raise ToolError("container not running")
        kernel.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise ToolError("container not running") from None
    finally:
        kernel.close(pidfd)


def kill_all(kernel: Kernel, record: Record) -> None:
    """End every process of it; returns when its first one is gone."""
    group = group_of(record)
    if group is not None:
        group.kill(signal.SIGKILL)
    if not alive(record):
        return
    pidfd = kernel.pidfd_open(record.pid)
    try:
        if alive(record):
            kernel.pidfd_send_signal(pidfd, signal.SIGKILL)
            import select

            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            if not poller.poll(KILL_DEADLINE * 1000):
                raise ToolError(f"container init still running after {KILL_DEADLINE:.0f} s")
    finally:
        kernel.close(pidfd)


def delete(kernel: Kernel, store: Store, container_id: str, *, force: bool) -> list[str]:
    """Returns warnings."""
    try:
        record = store.read(container_id)
    except ToolError:
        # A folder without a record is what a creator left that was killed at once.
        if os.path.isdir(store.folder(container_id)):
            store.forget(container_id)
            return []
        if force:
            return []
        raise
    status = status_of(store, record)
    if status not in (STOPPED, CREATED) and not force:
        raise ToolError(f"cannot delete container {container_id} that is not stopped: {status}")
    if status == CREATING:
        _end_creator(kernel, store, record)
    return destroy(kernel, store, record)


def _end_creator(kernel: Kernel, store: Store, record: Record) -> None:
    """`delete --force` while `create` is at work: it loses, and its init ends with it."""
    try:
        os.kill(record.creator, signal.SIGKILL)
    except ProcessLookupError:
        pass
    until = time.monotonic() + KILL_DEADLINE
    while status_of(store, record) == CREATING and time.monotonic() < until:
        time.sleep(0.01)


def destroy(kernel: Kernel, store: Store, record: Record) -> list[str]:
    kill_all(kernel, record)
    group = group_of(record)
    # Without a process it was never started: a unit of this name is another's.
    if record.scope and record.pid:
        from sampan.linux.systemd import Scope, stop_scope

        stop_scope(Scope(*record.scope.split(" ")))
    if group is not None:
        group.remove()
        if record.cgroup.startswith(f"/{DEFAULT_PARENT}/"):
            Cgroup("/" + DEFAULT_PARENT, group.hierarchies).remove_unless_used()
    warnings = []
    for hook in parse_hooks(record.config).get("poststop", ()):
        # Each runs whatever became of the one before, runtime.md, "Lifecycle" step 13.
        try:
            run_hooks(kernel, "poststop", (hook,), oci_state(record, STOPPED))
        except RuntimeFailure as failure:
            warnings.append(failure.message)
    store.forget(record.id)
    return warnings


def pause(store: Store, container_id: str) -> None:
    record = store.read(container_id)
    if status_of(store, record) not in (RUNNING, CREATED):
        raise ToolError("container not running")
    group = group_of(record)
    if group is None:
        raise ToolError("cannot pause: the container has no cgroup")
    group.freeze()


def resume(store: Store, container_id: str) -> None:
    record = store.read(container_id)
    group = group_of(record)
    # A created container can be frozen too, and its status does not show it.
    if group is None or not alive(record) or not group.exists() or not group.frozen():
        raise ToolError("container not paused")
    group.thaw()


def signal_number(word: str) -> int:
    """A number, or a name with or without SIG. Raises ToolError."""
    if word.isdigit():
        return int(word)
    name = word.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    for prefix, base in (("SIGRTMIN", signal.SIGRTMIN), ("SIGRTMAX", signal.SIGRTMAX)):
        rest = name.removeprefix(prefix)
        if rest != name and (not rest or rest[1:].isdigit()):
            return int(base) + int(rest or 0)
    number = signal.number_of(name)
    if number is None:
        raise ToolError(f'unknown signal "{word}"')
    return number
