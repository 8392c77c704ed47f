"""`docker cp`: look at a path in a container, take a tar of it, put one there; running or not.

What runs is entered by its process's root, what does not is put together by the worker (`store/view.py`). Putting
something into a container that does not run is a job of its actor: it cannot be started meanwhile, nor removed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sampan.engine import lookup, remap, user_namespaces, volumes
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import Conflict, Forbidden, InvalidParameter, NotFound, SampanError
from sampan.linux import process
from sampan.linux.channel import Message
from sampan.monitor.records import read_monitor_record
from sampan.store import jobs
from sampan.store.streams import PipeReader, PipeWriter, gather
from sampan.store.view import Attached, View

PIECE = 1 << 19  # bytes for the worker at once: each time it is woken costs
# What the path or the archive is at fault for.
_BAD_PATH = (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class PathStat:
    """`mode` is the kernel's st_mode; `link` where a link leads to in the end, inside the container."""

    name: str
    mode: int
    size: int
    mtime_ns: int
    link: str


@dataclass(frozen=True, slots=True)
class Download:
    stat: PathStat
    chunks: AsyncIterator[bytes]


async def stat_path(services: Services, ref: str, path: str) -> PathStat:
    """Raises NotFound (container, path), InvalidParameter."""
    actor = _find(services, ref, path)
    with _translated(ref, path):
        async with _root(services, actor.record) as (args, fds):
            answer = await jobs.run(services.spawn, "copy-stat", {**args, "path": path}, fds)
    return _stat(answer)


@asynccontextmanager
async def open_archive(services: Services, ref: str, path: str) -> AsyncIterator[Download]:
    """A tar of what is at the path. Raises as `stat_path`; later OSError, and the stream is not whole."""
    actor = _find(services, ref, path)
    pipe = PipeReader()
    try:
        async with (
            _root(services, actor.record) as (args, fds),
            jobs.Job(
                services.spawn, "copy-out", {**args, "path": path}, [pipe.write_fd, *fds]
            ) as job,
        ):
            pipe.close_writer()
            with _translated(ref, path):
                found = _stat(await job.result())
            _tell(services, actor.record, "archive-path")
            yield Download(found, _chunks(pipe, job))
    finally:
        pipe.close()


async def _chunks(pipe: PipeReader, job: jobs.Job) -> AsyncIterator[bytes]:
    async for piece in pipe.pieces():
        yield piece
    await job.result()


async def extract_archive(
    services: Services,
    ref: str,
    path: str,
    chunks: AsyncIterator[bytes],
    *,
    overwrite: bool = True,
    own: bool = False,
) -> None:
    """Unpack a tar of any compression into a folder. `overwrite`: a folder in place of a file, and the other way
    round; `own`: everything is to belong to the container's user.

    Raises NotFound, InvalidParameter (no folder, a bad archive), Forbidden (read-only), OSError.
    """
    actor = _find(services, ref, path)

    async def extract() -> None:
        record = actor.record
        if actor.gone or record.state in (State.REMOVING, State.DEAD):
            raise Conflict(f"container {record.id} is marked for removal")
        remapped = not record.state.alive and remap.applies(services.remap, record)
        with _translated(ref, path, record, remapped=remapped):
            async with _root(services, record) as (args, fds):
                owner = await _owner(services, record) if own else None
                wishes = {**args, "path": path, "overwrite": overwrite, "owner": owner}
                await _feed(services, wishes, fds, chunks)

    await (extract() if actor.record.state.alive else actor.do(extract))
    _tell(services, actor.record, "extract-to-dir")


async def _feed(
    services: Services, args: dict[str, Any], fds: list[int], chunks: AsyncIterator[bytes]
) -> None:
    pipe = PipeWriter()
    try:
        async with jobs.Job(services.spawn, "copy-in", args, [pipe.read_fd, *fds]) as job:
            pipe.close_reader()
            async for chunk in gather(chunks, PIECE):
                await pipe.pass_on(chunk)
                if pipe.broken:
                    break  # the worker has its reason, and says it below
            pipe.close()
            await job.result()
    finally:
        pipe.close()


def _find(services: Services, ref: str, path: str) -> Actor:
    actor = services.containers.actor(ref)
    if "\0" in path:
        raise InvalidParameter("invalid path: it contains a NUL byte")
    return actor


def _stat(answer: Message) -> PathStat:
    return PathStat(
        answer["name"], answer["mode"], answer["size"], answer["mtime_ns"], answer["link"]
    )


@asynccontextmanager
async def _root(
    services: Services, record: ContainerRecord
) -> AsyncIterator[tuple[dict[str, Any], list[int]]]:
    """Arguments and descriptors by which a worker finds the container's root."""
    fd = open_running_root(services, record) if record.state.alive else -1
    try:
        if fd >= 0:
            user = os.open(f"/proc/{record.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield {}, [fd, user]
            finally:
                os.close(user)
        else:
            await services.store.snapshots.unshare(record.id)
            view = _view(services, record)
            if any(mount.host_ids for mount in view.mounts):
                fd = await user_namespaces.make_for_mounts(services)
            yield {"view": view.to_message()}, [fd] if fd >= 0 else []
    finally:
        if fd >= 0:
            os.close(fd)


def open_running_root(services: Services, record: ContainerRecord) -> int:
    """The root of its first process; -1 when that has ended. Looked at twice: a pid may be used again."""
    known = read_monitor_record(services.paths.run(record.id))
    if known is None or known.init_pid != record.pid:
        return -1
    try:
        fd = lookup.open_process_root(record.pid)
    except (FileNotFoundError, ProcessLookupError):
        return -1
    if process.alive(known.init_pid, known.init_start_time):
        return fd
    os.close(fd)
    return -1


def _view(services: Services, record: ContainerRecord) -> View:
    root = services.store.snapshots.mounts(record.id)[0]
    overlay = root.type == "overlay"
    return View(
        layers=root.options if overlay else (),
        folder="" if overlay else root.source,
        mounts=tuple(_attached(services, record)),
        place=services.paths.running,
        read_only=record.host_config.readonly_rootfs,
    )


def _attached(services: Services, record: ContainerRecord) -> list[Attached]:
    """Outermost first. A tmpfs is there only while the container runs."""
    remapped = remap.applies(services.remap, record)
    plain = volumes.without_options(services) if remapped else frozenset()
    found = [
        Attached(
            point.source, point.destination, point.read_write, remapped and point.name not in plain
        )
        for point in record.mounts
        if point.type in ("bind", "volume") and point.source
    ]
    taken = {posixpath.normpath(each.destination) for each in found}
    for source, destination in (
        (record.resolv_conf_path, "/etc/resolv.conf"),
        (record.hostname_path, "/etc/hostname"),
        (record.hosts_path, "/etc/hosts"),
    ):
        if source and destination not in taken and os.path.exists(source):
            found.append(Attached(source, destination, read_write=True))
    return sorted(found, key=lambda each: posixpath.normpath(each.destination).count("/"))


async def _owner(services: Services, record: ContainerRecord) -> tuple[int, int] | None:
    """Whom the container runs as; nobody in particular when it says nothing."""
    if not record.config.user:
        return None
    mounts = services.store.snapshots.mounts(record.id)
    user = await asyncio.to_thread(lookup.look_up, services.kernel, mounts, record.config.user, ())
    return user.uid, user.gid


def _tell(services: Services, record: ContainerRecord, action: str) -> None:
    services.events.emit("container", action, record.id, attributes_of(record))


class _translated:
    """A worker's errors in Docker's words."""

    def __init__(
        self, ref: str, path: str, record: ContainerRecord | None = None, *, remapped: bool = False
    ) -> None:
        self._ref, self._path, self._record, self._remapped = ref, path, record, remapped

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno == errno.ENOENT:
            text = f"Could not find the file {self._path} in container {self._ref}"
            raise NotFound(text) from None
        if error.errno == errno.EROFS and self._record is not None:
            text = _read_only(self._record, self._path, remapped=self._remapped)
            raise Forbidden(text) from None
        if error.errno == errno.ENOTDIR and self._record is not None:
            raise InvalidParameter("extraction point is not a directory") from None
        reason = os.strerror(error.errno or 0).lower()
        kind_of_failure = InvalidParameter if error.errno in _BAD_PATH else SampanError
        raise kind_of_failure(f"{self._path}: {reason}") from None


def _read_only(record: ContainerRecord, path: str, *, remapped: bool) -> str:
    """`remapped`: its user namespace is what may keep a worker from writing (`store/view.py`)."""
    place = posixpath.normpath("/" + path)
    around = [
        point
        for point in record.mounts
        if f"{place}/".startswith(f"{posixpath.normpath(point.destination)}/")
    ]
    inside = not all(point.read_write for point in around)
    if remapped and not inside and any(point.source for point in around):
        return "mounted volume cannot be written to while the container does not run"
    if record.host_config.readonly_rootfs and not inside:
        return "container rootfs is marked read-only"
    return "mounted volume is marked read-only"
