"""What of Docker's API this engine does not have, refused in words that a user of the stock client understands.

The lists that clients ask for to show or to clean everything (`docker system prune`, `docker plugin ls`) are
empty: there is nothing of the kind.
"""

from __future__ import annotations

from aiohttp import web

from sampan.api.call import Call
from sampan.api.routing import Handler, Route
from sampan.errors import NotImplementedHere, Unavailable


def _not_here(what: str) -> Handler:
    async def refuse(_: Call) -> web.StreamResponse:
        raise NotImplementedHere(f"{what} not supported by this engine")

    return refuse


async def _no_swarm(_: Call) -> web.StreamResponse:
    raise Unavailable("This node is not a swarm manager: this engine has no swarm mode.")


async def _nothing(call: Call) -> web.StreamResponse:
    return call.answer([])


async def _nothing_pruned(call: Call) -> web.StreamResponse:
    return call.answer({"CachesDeleted": None, "SpaceReclaimed": 0})


_BUILD = _not_here("building images is")
_PLUGINS = _not_here("plugins are")
_CHECKPOINTS = _not_here("checkpoints are")

ROUTES = [
    Route("POST", "/build", _BUILD),
    Route("POST", "/build/cancel", _BUILD),
    Route("POST", "/build/prune", _nothing_pruned),
    Route("GET", "/plugins", _nothing),
    Route("GET", "/plugins/privileges", _PLUGINS),
    Route("POST", "/plugins/pull", _PLUGINS),
    Route("POST", "/plugins/create", _PLUGINS),
    Route("POST", "/containers/{name}/checkpoints", _CHECKPOINTS),
    Route("GET", "/containers/{name}/checkpoints", _CHECKPOINTS),
    Route("GET", "/swarm", _no_swarm),
    *(
        Route("POST", f"/swarm/{verb}", _not_here("swarm mode is"))
        for verb in ("init", "join", "leave", "update", "unlock")
    ),
    *(
        Route("GET", f"/{noun}", _no_swarm)
        for noun in ("nodes", "services", "tasks", "secrets", "configs")
    ),
    *(Route("POST", f"/{noun}/create", _no_swarm) for noun in ("services", "secrets", "configs")),
]
