"""What users are told of egress policies: an event for what a container was not allowed."""

from __future__ import annotations

from sampan.engine.create import attributes_of
from sampan.engine.services import Services
from sampan.errors import NotFound

REFUSED = "egress_refused"


def tell(services: Services, container_id: str, refusal: dict[str, str]) -> None:
    """`address`, `port` and `protocol`, or the `host` that it asked for."""
    try:
        record = services.containers.get(container_id)
    except NotFound:
        return  # it was removed meanwhile
    services.events.emit("container", REFUSED, record.id, {**attributes_of(record), **refusal})
