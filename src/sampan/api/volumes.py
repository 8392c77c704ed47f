"""Volumes: list, create, inspect, remove, prune. They are the store's; who uses one, the records say."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import Struct, field

from sampan.api.call import Call
from sampan.api.query import Filters
from sampan.api.routing import Route
from sampan.engine import filters as rules
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.store.volumes import Volume

_ACCEPTED = ("dangling", "driver", "label", "name")
_ACCEPTED_BY_PRUNE = ("all", "label", "label!")


class VolumeCreateRequest(Struct, kw_only=True):
    """Body of POST /volumes/create."""

    name: str = field(default="", name="Name")
    driver: str = field(default="", name="Driver")
    driver_opts: dict[str, str] | None = field(default=None, name="DriverOpts")
    labels: dict[str, str] | None = field(default=None, name="Labels")


def view(call: Call, volume: Volume) -> dict[str, Any]:
    return {
        "CreatedAt": volume.created_at,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": call.services.store.volumes.mountpoint(volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }


def users(call: Call) -> dict[str, list[str]]:
    """Ids of containers by the name of the volume that they were made with."""
    found: dict[str, list[str]] = {}
    for record in call.services.containers.all():
        for point in record.mounts:
            if point.type == "volume":
                found.setdefault(point.name, []).append(record.id)
    return found


async def list_volumes(call: Call) -> web.StreamResponse:
    filters = call.query.filters()
    rules.check_filters(filters, _ACCEPTED)
    dangling = rules.boolean(filters, "dangling")
    used = users(call)
    found = [
        view(call, volume)
        for volume in call.services.store.volumes.list()
        if _wanted(volume, filters) and (dangling is None or dangling != (volume.name in used))
    ]
    return call.answer({"Volumes": found, "Warnings": None})


def _wanted(volume: Volume, filters: Filters) -> bool:
    names = filters.get("name")
    return (
        (not names or any(name in volume.name for name in names))
        and rules.exact(filters, "driver", "local")
        and rules.labels_hold(filters, "label", volume.labels or {})
    )


async def create_volume(call: Call) -> web.StreamResponse:
    body = await call.json(VolumeCreateRequest)
    volumes, events = call.services.store.volumes, call.services.events
    known = bool(body.name) and volumes.find(body.name) is not None
    volume = volumes.create(
        body.name, driver=body.driver, labels=body.labels, options=body.driver_opts
    )
    if not known:
        events.emit("volume", "create", volume.name, {"driver": "local"})
    return call.answer(view(call, volume), status=201)


async def inspect_volume(call: Call) -> web.StreamResponse:
    return call.answer(view(call, call.services.store.volumes.get(call.name)))


async def remove_volume(call: Call) -> web.StreamResponse:
    ids = users(call).get(call.name)
    if ids:
        raise Conflict(f"remove {call.name}: volume is in use - [{', '.join(ids)}]")
    try:
        _remove(call, call.name)
    except NotFound:
        if not call.query.flag("force"):
            raise
    return call.empty()


def _remove(call: Call, name: str) -> None:
    call.services.store.volumes.remove(name)
    call.services.events.emit("volume", "destroy", name, {"driver": "local"})


async def prune_volumes(call: Call) -> web.StreamResponse:
    """Since 1.42 only anonymous ones, unless the filter `all` says otherwise."""
    filters = call.query.filters()
    for key in filters:
        if key not in _ACCEPTED_BY_PRUNE:
            raise InvalidParameter(f"invalid filter '{key}'")
    named_too = call.version < (1, 42) or bool(rules.boolean(filters, "all"))
    used = users(call)
    gone = [
        volume.name
        for volume in call.services.store.volumes.list()
        if volume.name not in used
        and (named_too or volume.anonymous)
        and rules.labels_hold(filters, "label", volume.labels or {})
        and not rules.label_exists(filters.get("label!", ()), volume.labels or {})
    ]
    for name in gone:
        _remove(call, name)
    return call.answer({"VolumesDeleted": gone, "SpaceReclaimed": 0})


ROUTES = [
    Route("GET", "/volumes", list_volumes),
    Route("POST", "/volumes/create", create_volume),
    Route("POST", "/volumes/prune", prune_volumes),
    Route("GET", "/volumes/{name}", inspect_volume),
    Route("DELETE", "/volumes/{name}", remove_volume),
]
