"""`docker restart`: stop, then start, whatever it was doing."""

from __future__ import annotations

from sampan.engine import lifecycle, signals
from sampan.engine.create import attributes_of
from sampan.engine.services import Services
from sampan.engine.stop import stop
from sampan.errors import NotModified, SampanError


async def restart_container(
    services: Services, ref: str, *, signal: str = "", grace: int | None = None
) -> None:
    """Raises NotFound, InvalidParameter, and what start raises; an auto-removed one stays for this."""
    actor = services.containers.actor(ref)
    number = signals.parse(signal) if signal else 0
    actor.kept += 1  # its end is no reason to remove it
    try:
        if await stop(services, actor, number=number, grace=grace):
            services.events.emit("container", "stop", actor.record.id, attributes_of(actor.record))
        await actor.do(lambda: lifecycle.start(services, actor))
    except NotModified:
        pass  # somebody else has started it meanwhile, which is what was wanted
    except SampanError as error:
        text = f"Cannot restart container {ref}: {error}"
        raise type(error)(text) from error
    finally:
        actor.kept -= 1
    services.events.emit("container", "restart", actor.record.id, attributes_of(actor.record))
