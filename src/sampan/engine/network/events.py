"""What the events of networks say."""

from __future__ import annotations

from sampan.engine.network.records import NetworkRecord
from sampan.engine.services import Services


def tell(services: Services, record: NetworkRecord, action: str, container_id: str = "") -> None:
    details = {"name": record.name, "type": record.driver}
    if container_id:
        details = {"container": container_id, **details}
    services.events.emit("network", action, record.id, details)
