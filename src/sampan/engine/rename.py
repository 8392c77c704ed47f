"""`docker rename`."""

from __future__ import annotations

import msgspec

from sampan.engine.create import attributes_of
from sampan.engine.names import check_name
from sampan.engine.network import names
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, NotFound

_PREFIX = "Error when allocating new name: "


async def rename_container(services: Services, ref: str, *, name: str) -> None:
    """Raises NotFound, InvalidParameter, Conflict (name taken)."""
    if not name.strip("/"):
        raise InvalidParameter("Neither old nor new names may be empty")
    actor = services.containers.actor(ref)

    async def job() -> None:
        old = actor.record
        if actor.gone:  # removed while this waited: its name and row must not come back
            raise NotFound(f"No such container: {ref}")
        if name.removeprefix("/") == old.name:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        try:
            new = check_name(name)
            with services.containers.reserved(new, old.id):
                actor.save(msgspec.structs.replace(old, name=new))
                services.containers.rename(actor, old.name)
        except (InvalidParameter, Conflict) as error:
            raise type(error)(f"{_PREFIX}{error}") from None
        said = {**attributes_of(actor.record), "oldName": f"/{old.name}"}
        services.events.emit("container", "rename", old.id, said)
        await names.tell(services, actor.record)

    await actor.do(job)
