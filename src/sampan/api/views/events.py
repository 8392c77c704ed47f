"""Events as the API shows them; `status`, `id` and `from` are the form before API 1.22, which lived on to 1.51."""

from __future__ import annotations

from typing import Any

from sampan.engine.events import Event


def event(value: Event) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if value.type in ("container", "image"):
        body |= {"status": value.action, "id": value.actor}
        if value.type == "container" and value.attributes.get("image"):
            body["from"] = value.attributes["image"]
    return body | {
        "Type": value.type,
        "Action": value.action,
        "Actor": {"ID": value.actor, "Attributes": dict(value.attributes)},
        "scope": value.scope,
        "time": value.time // 1_000_000_000,
        "timeNano": value.time,
    }
