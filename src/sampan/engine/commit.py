"""`docker commit`: an image of what a container is now.

A container that does not run gives its folder away, as a job of its actor, so that nothing starts it meanwhile. A
running one is frozen while what it wrote is copied, unless the caller says otherwise; the rest is done without it.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sampan.engine import images, merge
from sampan.engine.actor import Actor, monitor_of
from sampan.engine.create import attributes_of
from sampan.engine.pause import mark_of
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import Conflict, NotFound, SampanError, Unavailable
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import Digest
from sampan.spec.dockerfile import apply_changes
from sampan.spec.reference import Reference
from sampan.store import commit
from sampan.store.commit import Written
from sampan.store.disk import disk_told
from sampan.store.import_rootfs import target_reference
from sampan.store.leases import Lease
from sampan.store.manifests import encode_child

LAYER_LIMIT = 500  # lower layers that overlayfs takes


async def commit_container(
    services: Services,
    ref: str,
    *,
    repo: str = "",
    tag: str = "",
    author: str = "",
    message: str = "",
    pause: bool = True,
    changes: Sequence[str] = (),
    config: ContainerConfig | None = None,
) -> Digest:
    """The new image's id. `config` replaces the container's, `changes` are Dockerfile lines on top.

    Raises NotFound, Conflict (it is being removed), InvalidParameter."""
    actor = services.containers.actor(ref)
    name = target_reference(repo, tag) if repo else None
    own = actor.record.config
    wanted = merge.merge(apply_changes(config or own, changes), own)
    check_present(actor.record, "commit")
    base = services.store.images.get(actor.record.image_id)
    if base is None and actor.record.image_id:
        raise NotFound(f"No such image: {actor.record.image_id}")
    if base is not None and len(base.chain) >= LAYER_LIMIT:
        raise SampanError("max depth exceeded")
    store = services.store
    with disk_told(), store.leases.open() as lease, store.unpacker.stage() as stage:
        written = await _take(services, actor, stage, lease, pause=pause)
        raw = encode_child(
            base.raw_config if base is not None else b"{}",
            wanted,
            written.diff,
            author=author,
            message=message,
            created_by=" ".join(actor.record.config.cmd or ()),
            created=_now(),
        )
        image = await commit.record(store, written, base, raw, lease, name=name)
    _tell(services, actor.record, image.id, message, name)
    return image.id


def check_present(record: ContainerRecord, verb: str) -> None:
    """Raises Conflict when the container is on its way out."""
    if record.state is State.DEAD:
        raise Conflict(f"You cannot {verb} container {record.id} which is Dead")
    if record.state is State.REMOVING:
        raise Conflict(f"You cannot {verb} container {record.id} which is being removed")


async def _take(
    services: Services, actor: Actor, stage: str, lease: Lease, *, pause: bool
) -> Written:
    store, key = services.store, actor.record.id

    async def job() -> Written | None:
        check_present(actor.record, "commit")
        if not actor.record.state.alive:
            return await commit.take(store, key, lease)
        if not pause:
            return None
        async with _frozen(services, actor):
            await store.snapshots.copy(key, stage, sync=False)
        return None

    written = await actor.do(job)
    if written is not None:
        return written
    if not pause:
        await store.snapshots.copy(key, stage, sync=False)
    return await commit.take_copy(store, key, stage, lease)


@asynccontextmanager
async def _frozen(services: Services, actor: Actor) -> AsyncIterator[None]:
    """The container stands still; one that is paused already stays so. Should the daemon die in here, the next one
    sees by the mark that it is to go on."""
    if actor.record.state is State.PAUSED:
        yield
        return
    attributes = attributes_of(actor.record)
    mark = mark_of(services, actor.record.id)
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        await monitor_of(actor).pause()
        services.events.emit("container", "pause", actor.record.id, attributes)
        try:
            yield
        finally:
            try:
                await monitor_of(actor).resume()
            except Unavailable:
                pass  # it was killed meanwhile
            services.events.emit("container", "unpause", actor.record.id, attributes)
    finally:
        try:
            os.unlink(mark)
        except FileNotFoundError:
            pass  # with all of its run folder


def _tell(
    services: Services,
    record: ContainerRecord,
    image_id: str,
    message: str,
    name: Reference | None,
) -> None:
    shown = name.familiar() if name is not None else ""
    if name is not None:
        images.tell(services, "tag", image_id, shown)
    attributes = {"comment": message, "imageID": image_id, "imageRef": shown}
    services.events.emit("container", "commit", record.id, attributes_of(record) | attributes)


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
