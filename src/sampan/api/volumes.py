"""Volumes: list, create, inspect, remove, prune."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct, field

from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.views.storage import volume_view
from sampan.engine import volumes


class VolumeCreateRequest(Struct, kw_only=True):
    """Body of POST /volumes/create."""

    name: str = field(default="", name="Name")
    driver: str = field(default="", name="Driver")
    driver_opts: dict[str, str] | None = field(default=None, name="DriverOpts")
    labels: dict[str, str] | None = field(default=None, name="Labels")


async def list_volumes(call: Call) -> web.StreamResponse:
    found = volumes.list_volumes(call.services, call.query.filters())
    views = [volume_view(call.services.store.volumes, volume) for volume in found]
    return call.answer({"Volumes": views, "Warnings": None})


async def create_volume(call: Call) -> web.StreamResponse:
    body = await call.json(VolumeCreateRequest)
    volume = volumes.create_volume(
        call.services, body.name, driver=body.driver, labels=body.labels, options=body.driver_opts
    )
    return call.answer(volume_view(call.services.store.volumes, volume), status=201)


async def inspect_volume(call: Call) -> web.StreamResponse:
    volume = volumes.inspect_volume(call.services, call.name)
    return call.answer(volume_view(call.services.store.volumes, volume))


async def remove_volume(call: Call) -> web.StreamResponse:
    await volumes.remove_volume(call.services, call.name, force=call.query.flag("force"))
    return call.empty()


async def prune_volumes(call: Call) -> web.StreamResponse:
    """Before 1.42 named ones too."""
    pruned = await volumes.prune_volumes(
        call.services, call.query.filters(), named=call.version < (1, 42)
    )
    return call.answer({"VolumesDeleted": pruned.names, "SpaceReclaimed": pruned.reclaimed})


ROUTES = [
    Route("GET", "/volumes", list_volumes),
    Route("POST", "/volumes/create", create_volume),
    Route("POST", "/volumes/prune", prune_volumes),
    Route("GET", "/volumes/{name}", inspect_volume),
    Route("DELETE", "/volumes/{name}", remove_volume),
]
