"""Looking at containers from outside: their processes, what they use, what they changed."""

from __future__ import annotations

from aiohttp import web

from sampan.api import encode
from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.views import stats as view
from sampan.engine import query, stats, top
from sampan.errors import NotFound


async def list_processes(call: Call) -> web.StreamResponse:
    found = await top.list_processes(call.services, call.name, call.query.text("ps_args"))
    return call.answer({"Processes": found.rows, "Titles": found.titles})


async def list_changes(call: Call) -> web.StreamResponse:
    found = await query.list_changes(call.services, call.name)
    bodies = [{"Path": "/" + path.decode("utf-8", "replace"), "Kind": kind} for kind, path in found]
    return call.answer(bodies or None)


async def container_stats(call: Call) -> web.StreamResponse:
    """`one-shot` (since 1.41) is the current sample alone, for clients that keep the one before themselves."""
    sampling = stats.open_sampling(call.services, call.name)
    if not call.query.flag("stream", default=True):
        if call.query.flag("one-shot") and call.version >= (1, 41):
            sample = await sampling.now()
            return call.answer(view.stats(sampling.nothing(), sample))
        with call.cancelled_when_gone():
            return call.answer(view.stats(*await sampling.pair()))
    with call.cancelled_when_gone():
        response = await call.stream("application/json")
        try:
            async for before, sample in sampling.stream():
                await response.write(encode.json(view.stats(before, sample)))
        except NotFound:
            pass  # removed meanwhile, which is the end of the stream
    return response


ROUTES = [
    Route("GET", "/containers/{name}/top", list_processes),
    Route("GET", "/containers/{name}/changes", list_changes),
    Route("GET", "/containers/{name}/stats", container_stats),
]
