"""`create` and `run`: from a bundle to a container that waits, with its record on disk before it exists."""

from __future__ import annotations

import os
import time

from sampan.linux import process
from sampan.linux.cgroup import Hierarchies
from sampan.linux.kernel import Kernel
from sampan.runtime.create import Created, create
from sampan.runtime.request import Request
from sampan.runtime.tool import gate, rootless
from sampan.runtime.tool.arguments import Options
from sampan.runtime.tool.bundle import load_bundle
from sampan.runtime.tool.state import (
    OCI_VERSION,
    Record,
    Store,
    ToolError,
    find_hierarchies,
    group_of,
)
from sampan.runtime.tool.terminals import check_terminal, hand_over
from sampan.spec.record import dataclass, replace
from sampan.spec.typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.linux.systemd import Scope


@dataclass(slots=True)
class Made:
    record: Record
    created: Created


def make(
    kernel: Kernel, store: Store, options: Options, *, detached: bool, systemd: bool
) -> tuple[Made, list[str]]:
    """The container, and warnings. With `detached` init waits at the gate once its creator leaves.

    With `systemd` that makes its cgroup.
    """
    container_id = options.words[0]
    store.folder(container_id)  # the id is checked first of all
    bundle = os.path.abspath(options.text("bundle", "."))
    config, scope = load_bundle(bundle, container_id, systemd=systemd)
    check_terminal(
        terminal=bool(config["process"].get("terminal")),
        detached=detached,
        console_socket=options.text("console-socket"),
    )
    preserved = open_descriptors(config, options.number("preserve-fds"))
    hierarchies = find_hierarchies()
    warnings = rootless.adapt(config, hierarchies)
    record = _first_record(container_id, bundle, config, scope)
    folder = store.reserve(container_id)
    try:
        store.write(record)
        _require_unused(record, hierarchies)
        request = _request(record, hierarchies, options, preserved, scope)
        made = _create(kernel, store, folder, record, options, request, detached=detached)
    except BaseException:
        store.forget(container_id)
        raise
    return made, warnings + made.created.warnings


def _create(
    kernel: Kernel,
    store: Store,
    folder: str,
    record: Record,
    options: Options,
    request: Request,
    *,
    detached: bool,
) -> Made:
    door = gate.listen(folder) if detached else None
    size = None if detached or not request.terminal else _own_size()
    created = create(kernel, replace(request, console_size=size, gate=door))
    try:
        if door is not None:
            door.close()
        record = replace(record, pid=created.pid, pid_start=process.start_time(created.pid))
        store.write(record)
        hand_over(options, created)
        if detached:
            created.leave()
    except BaseException:
        created.abort()
        raise
    return Made(record, created)


def _request(
    record: Record,
    hierarchies: Hierarchies | None,
    options: Options,
    preserved: int,
    scope: Scope | None,
) -> Request:
    return Request(
        record.config,
        terminal=bool((record.config.get("process") or {}).get("terminal")),
        hierarchies=hierarchies,
        state=hook_state(record),
        preserve_fds=preserved,
        new_keyring=not options.switch("no-new-keyring"),
        pivot=not options.switch("no-pivot"),
        scope=scope,
    )


def _own_size() -> tuple[int, int] | None:
    from sampan.runtime.console import own_size

    return own_size()


def hook_state(record: Record) -> dict[str, Any]:
    state: dict[str, Any] = {
        "ociVersion": str(record.config.get("ociVersion") or OCI_VERSION),
        "id": record.id,
        "bundle": record.bundle,
    }
    if record.annotations:
        state["annotations"] = record.annotations
    return state


def _first_record(
    container_id: str, bundle: str, config: dict[str, Any], scope: Scope | None
) -> Record:
    now = time.time_ns()
    created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
    return Record(
        id=container_id,
        bundle=bundle,
        created=f"{created}.{now % 1_000_000_000:09d}Z",
        owner="root" if os.geteuid() == 0 else str(os.geteuid()),
        config=config,
        cgroup=str(config["linux"].get("cgroupsPath") or ""),
        creator=os.getpid(),
        creator_start=process.start_time(os.getpid()),
        boot_id=process.boot_id(),
        annotations=dict(config.get("annotations") or {}),
        scope="" if scope is None else f"{scope.name} {scope.slice}",
    )


def _require_unused(record: Record, hierarchies: Hierarchies | None) -> None:
    """Processes of others in the cgroup would be limited, frozen and killed along with the container."""
    group = group_of(record, hierarchies)
    if group is not None and (count := len(group.processes())):
        raise ToolError(f"container's cgroup is not empty: {count} process(es) found")


def open_descriptors(config: dict[str, Any], wanted: int) -> int:
    """How many descriptors from 3 on the command gets: systemd's (sd_listen_fds(3)) and `wanted` more."""
    if wanted < 0:
        raise ToolError(f"preserve-fds: {wanted} is negative")
    listen = os.environ.get("LISTEN_FDS", "")
    mine = os.environ.get("LISTEN_PID", "") in ("", str(os.getpid()))
    count = int(listen) if listen.isdigit() and mine else 0
    for fd in range(3, 3 + count + wanted):
        try:
            os.fstat(fd)
        except OSError:
            raise ToolError(
                f"file descriptor {fd} is to be preserved, but it is not open"
            ) from None
        os.set_inheritable(fd, True)
    if count:
        environment = config["process"].setdefault("env", [])
        environment += [f"LISTEN_FDS={count}", "LISTEN_PID=1"]
        if names := os.environ.get("LISTEN_FDNAMES"):
            environment.append(f"LISTEN_FDNAMES={names}")
    return count + wanted
