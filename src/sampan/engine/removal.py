"""Taking a container away: the row first, then what it stands for. Jobs of the container's actor."""

from __future__ import annotations

import logging
import shutil

from sampan.engine import transitions
from sampan.engine import volumes as volume_use
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.network import plugs
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import SampanError

log = logging.getLogger(__name__)


async def remove(services: Services, actor: Actor, *, volumes: bool, by_hand: bool = False) -> None:
    """The container does not run; `by_hand`: somebody has asked for it.

    Raises SampanError, and then it is `dead` and can be removed again."""
    if actor.gone:
        return
    record = actor.record
    actor.save(transitions.removing(record), durable=False)
    last = _is_last(services, record)
    try:
        await plugs.release(services, record)
        # From here on it does not exist, whatever happens: the rest is swept by the next start at the latest.
        with services.store.metadata.transaction():
            services.store.metadata.containers.delete(record.id)
            services.store.snapshots.forget(record.id)
        services.store.snapshots.remove(record.id)
        services.receipts.keep(record, services.paths.home(record.id), by_hand=by_hand)
        shutil.rmtree(services.paths.run(record.id), ignore_errors=True)
    except Exception as error:
        text = f"container {record.id}: {error}"
        log.exception("cannot remove container %s", record.id[:12])
        actor.save(transitions.dead(actor.record, text), durable=False)
        raise SampanError(text) from error
    forget(services, actor)
    if last:
        services.store.collect()
    if volumes:
        await volume_use.remove_anonymous(services, record)
    services.events.emit("container", "destroy", record.id, attributes_of(record))
    actor.tell_removal()


def _is_last(services: Services, record: ContainerRecord) -> bool:
    """Whether layers may go with it: its image has been removed, or what it wrote has become a layer."""
    store = services.store
    return (
        store.images.get(record.image_id) is None or store.snapshots.shared(record.id) is not None
    )


def forget(services: Services, actor: Actor) -> None:
    """Nobody finds it any more; clients that waited for its start are let go."""
    actor.gone = True
    actor.cancel_restart()
    services.containers.forget(actor)
    services.execs.forget(actor.record.id)
    while actor.pending:
        actor.pending.pop().close()
