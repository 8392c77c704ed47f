"""What is known of containers between two commands: a folder each below `--root`.

    ROOT/ID/            0700
      state.json        written before anything of the container exists, and again with its process
      start.sock        the gate, see `gate.py`

Nothing in it is believed about whether a container runs: its first process is known by pid and start time,
so that another process with the same pid is not taken for it.
"""

from __future__ import annotations

import errno
import os

from sampan.linux import process
from sampan.linux.cgroup import Cgroup, Hierarchies, detect
from sampan.runtime.tool import gate
from sampan.spec import quickjson
from sampan.spec.record import asdict, dataclass, field, fields
from sampan.spec.typing import Any, Iterator

STATE = "state.json"
DEFAULT_PARENT = "sampan-runtime"  # of the cgroups of containers whose configuration names none
OCI_VERSION = "1.2.1"
CREATING, CREATED, RUNNING, PAUSED, STOPPED = "creating", "created", "running", "paused", "stopped"
_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")
_MAX_ID = 1024


class ToolError(Exception):
    """What a command says; runc's words where it has some."""


@dataclass(frozen=True, slots=True)
class Record:
    id: str
    bundle: str
    created: str  # RFC 3339
    owner: str
    config: dict[str, Any]
    cgroup: str  # path below every hierarchy, "" without one
    creator: int = 0  # who makes it, while `pid` is 0
    creator_start: int = 0
    pid: int = 0
    pid_start: int = 0
    boot_id: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    scope: str = ""  # systemd's unit and slice, where it has made the cgroup: "NAME SLICE"


def check_id(container_id: str) -> None:
    if (
        not container_id
        or not _ID.issuperset(container_id)
        or container_id in (".", "..")
        or len(container_id) > _MAX_ID
    ):
        raise ToolError("invalid container ID format")


class Store:
    """`root` need not exist."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def folder(self, container_id: str) -> str:
        check_id(container_id)
        return os.path.join(self.root, container_id)

    def reserve(self, container_id: str) -> str:
        """Make the folder, which is what says that the id is taken."""
        folder = self.folder(container_id)
        os.makedirs(self.root, 0o711, exist_ok=True)
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            raise ToolError("container with given ID already exists") from None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise ToolError("invalid container ID format") from None
            raise
        return folder

    def write(self, record: Record) -> None:
        path = os.path.join(self.folder(record.id), STATE)
        staged = f"{path}.{os.getpid()}"
        # Renamed, and not flushed: it need not outlive the machine.
        with open(staged, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(quickjson.dumps(asdict(record)))
        os.rename(staged, path)

    def read(self, container_id: str) -> Record:
        path = os.path.join(self.folder(container_id), STATE)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                content = quickjson.loads(file.read())
        except (FileNotFoundError, NotADirectoryError):
            raise ToolError("container does not exist") from None
        except ValueError as error:
            raise ToolError(f"unreadable state of {container_id}: {error}") from None
        known = {each.name for each in fields(Record)}
        return Record(**{key: value for key, value in content.items() if key in known})

    def all(self) -> Iterator[Record]:
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return
        for name in names:
            try:
                yield self.read(name)
            except ToolError:
                continue  # half made, half gone, or nobody's

    def forget(self, container_id: str) -> None:
        folder = self.folder(container_id)
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return
        # The record last: without it nobody would know what else there is.
        for name in sorted(names, key=lambda name: name == STATE):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)


def alive(record: Record) -> bool:
    if not record.pid or (record.boot_id and record.boot_id != process.boot_id()):
        return False
    return process.alive(record.pid, record.pid_start)


def find_hierarchies() -> Hierarchies | None:
    """None where no cgroup file system is mounted."""
    try:
        return detect()
    except FileNotFoundError:
        return None


def group_of(record: Record, hierarchies: Hierarchies | None = None) -> Cgroup | None:
    """`hierarchies` where they are known already."""
    if not record.cgroup:
        return None
    found = hierarchies or find_hierarchies()
    return None if found is None else Cgroup(record.cgroup, found)


def status_of(store: Store, record: Record) -> str:
    if not record.pid:
        making = process.alive(record.creator, record.creator_start)
        return CREATING if making else STOPPED
    if not alive(record):
        return STOPPED
    if gate.waits(store.folder(record.id)):
        return CREATED
    group = group_of(record)
    if group is not None and group.exists() and group.frozen():
        return PAUSED
    return RUNNING


def oci_state(record: Record, status: str, pid: int | None = None) -> dict[str, Any]:
    """The document of runtime.md, "State", which hooks get too."""
    stopped = status == STOPPED
    state = {
        "ociVersion": str(record.config.get("ociVersion") or OCI_VERSION),
        "id": record.id,
        "status": status,
        "pid": pid if pid is not None else 0 if stopped else record.pid,
        "bundle": record.bundle,
    }
    if record.annotations:
        state["annotations"] = record.annotations
    return state


def view(record: Record, status: str) -> dict[str, Any]:
    """What `state` and `list` show: runc's form of it."""
    state = oci_state(record, status)
    annotations = state.pop("annotations", None)
    state = {key: state[key] for key in ("ociVersion", "id", "pid", "status", "bundle")}
    state["rootfs"] = str((record.config.get("root") or {}).get("path") or "")
    state["created"] = record.created
    if annotations:
        state["annotations"] = annotations
    state["owner"] = record.owner
    return state
