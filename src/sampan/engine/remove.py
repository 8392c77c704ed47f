"""`docker rm`: refuse or kill what runs, then take the container away (`removal.py`)."""

from __future__ import annotations

from sampan.engine import removal, transitions
from sampan.engine.actor import Actor
from sampan.engine.ending import end_for_good
from sampan.engine.kill import kill_and_wait
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, SampanError


async def remove_container(
    services: Services,
    ref: str,
    *,
    force: bool = False,
    volumes: bool = False,
    link: bool = False,
) -> None:
    """`volumes`: its anonymous volumes too. Raises NotFound, Conflict (it runs, or is being removed)."""
    if link:
        raise InvalidParameter("Conflict, cannot remove the default link name of the container")
    actor = services.containers.actor(ref)
    transitions.check_remove(actor.record, force=force)
    if force:
        await _end(services, actor)

    async def job() -> None:
        if not actor.gone:
            transitions.check_remove(actor.record, force=False)
            await removal.remove(services, actor, volumes=volumes, by_hand=True)

    await actor.do(job)


async def _end(services: Services, actor: Actor) -> None:
    async def end() -> None:
        try:
            await kill_and_wait(services, actor)
        except Conflict:
            raise  # it ended by itself
        except SampanError as error:
            raise SampanError(
                f'cannot remove container "/{actor.record.name}": could not kill container: {error}'
            ) from error

    await end_for_good(actor, end)
