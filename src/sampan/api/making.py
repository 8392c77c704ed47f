"""What is made of a container: an image (commit), and an archive of its file system (export)."""

from __future__ import annotations

from aiohttp import web

from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.streaming import send_archive
from sampan.engine import commit, export
from sampan.spec.container import ContainerConfig


async def commit_container(call: Call) -> web.StreamResponse:
    """The body replaces the container's configuration; usually there is none, or nothing in it."""
    query = call.query
    config = await call.json(ContainerConfig)
    image_id = await commit.commit_container(
        call.services,
        query.text("container"),
        repo=query.text("repo"),
        tag=query.text("tag"),
        author=query.text("author"),
        message=query.text("comment"),
        pause=query.flag("pause") or not query.text("pause"),
        changes=query.texts("changes"),
        config=None if config == ContainerConfig() else config,
    )
    return call.answer({"Id": image_id}, status=201)


async def export_container(call: Call) -> web.StreamResponse:
    return await send_archive(call, export.export_container(call.services, call.name))


ROUTES = [
    Route("POST", "/commit", commit_container),
    Route("GET", "/containers/{name}/export", export_container),
]
