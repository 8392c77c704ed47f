"""Changing what containers may use, and clearing them away together."""

from __future__ import annotations

from aiohttp import web

from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.engine import prune, update
from sampan.spec.container import HostConfig


async def update_container(call: Call) -> web.StreamResponse:
    wanted = await call.json(HostConfig, required=True)
    if call.version < (1, 40):
        wanted.pids_limit = None  # zero, from clients that did not know the field
    warnings = await update.update_container(call.services, call.name, wanted)
    return call.answer({"Warnings": warnings or None})


async def prune_containers(call: Call) -> web.StreamResponse:
    pruned = await prune.prune_containers(call.services, call.query.filters())
    return call.answer(
        {"ContainersDeleted": pruned.ids or None, "SpaceReclaimed": pruned.reclaimed}
    )


ROUTES = [
    Route("POST", "/containers/prune", prune_containers),
    Route("POST", "/containers/{name}/update", update_container),
]
