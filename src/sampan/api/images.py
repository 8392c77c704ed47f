"""Images: list, inspect, history, import, load, save, tag, delete, prune."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sampan.api import registries, versions
from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.streaming import Batcher, Progress, send_archive
from sampan.api.views import images as view
from sampan.api.views.storage import graph_driver
from sampan.distribution.download import download
from sampan.engine import image_prune, images
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.store.images import Image


async def list_images(call: Call) -> web.StreamResponse:
    filters = call.query.filters()
    if call.version < (1, 41) and call.query.text("filter"):
        filters.setdefault("reference", []).append(call.query.text("filter"))
    found = images.list_images(call.services, everything=call.query.flag("all"), filters=filters)
    counted = call.version >= (1, 51)
    bodies = [
        view.summary(
            image,
            containers=images.count_containers(call.services, image.id) if counted else -1,
            old_names=call.version < (1, 43),
        )
        for image in found
    ]
    return call.view("ImageSummary", bodies)


async def inspect_image(call: Call) -> web.StreamResponse:
    image = images.inspect_image(call.services, call.name)
    body = view.inspect(image, graph_driver=_graph_driver(call, image))
    versions.fit("ImageInspect", body, call.version)
    if call.http.headers.get("User-Agent", "").startswith("docker-compose/1."):
        # It reads the image's volumes here in whatever version, and ends with a KeyError where the field is gone.
        body["ContainerConfig"] = body["Config"]
    return call.answer(body)


def _graph_driver(call: Call, image: Image) -> dict[str, Any]:
    name = "overlay2"
    try:
        return graph_driver(name, call.services.store.snapshots.read_only_mounts(image.top))
    except NotFound:
        return graph_driver(name, [])


async def history(call: Call) -> web.StreamResponse:
    image = images.inspect_image(call.services, call.name)
    return call.answer([view.history(entry) for entry in call.services.store.images.history(image)])


async def create_image(call: Call) -> web.StreamResponse:
    """`docker import` (fromSrc) and `docker pull` (fromImage)."""
    query = call.query
    if query.text("fromImage"):
        return await registries.pull_image(call)
    source = query.text("fromSrc")
    if not source:
        raise InvalidParameter("either fromImage or fromSrc has to be given")
    reference = query.text("repo")
    if reference and query.text("tag"):
        reference += f":{query.text('tag')}"
    async with Batcher(call, "application/json") as out:
        progress = Progress(out)
        chunks = call.body() if source == "-" else download(source, progress)
        try:
            image = await images.import_image(
                call.services,
                chunks,
                reference=reference,
                changes=query.texts("changes"),
                message=query.text("message"),
                platform=query.text("platform"),
            )
        except SampanError as error:
            if out.response is None and not out.pending:
                raise
            progress.failed(error)
        else:
            progress({"status": image.id})
    return _sent(out)


def _sent(out: Batcher) -> web.StreamResponse:
    assert out.response is not None, "every end writes something"
    return out.response


async def load(call: Call) -> web.StreamResponse:
    async with Batcher(call, "application/json") as out:
        progress = Progress(out)
        try:
            await images.load_images(
                call.services,
                call.body(),
                quiet=call.query.flag("quiet"),
                platforms=[registries.platform_of(text) for text in _platform_texts(call)],
                progress=progress,
            )
        except SampanError as error:
            if out.response is None and not out.pending:
                raise
            progress.failed(error)
        if out.response is None:
            await out.open()
    return _sent(out)


async def save(call: Call) -> web.StreamResponse:
    """Of one image, or of all that are named in the query."""
    names = [call.name] if "name" in call.names else call.query.texts("names")
    wanted = [registries.platform_of(text) for text in _platform_texts(call)]
    return await send_archive(call, images.save_images(call.services, names, platforms=wanted))


def _platform_texts(call: Call) -> list[str]:
    return call.query.texts("platform") if call.version >= (1, 48) else []


async def prune(call: Call) -> web.StreamResponse:
    done, freed = await image_prune.prune_images(call.services, call.query.filters())
    return call.answer({"ImagesDeleted": done or None, "SpaceReclaimed": freed})


async def tag(call: Call) -> web.StreamResponse:
    await images.tag_image(
        call.services, call.name, repo=call.query.text("repo"), tag=call.query.text("tag")
    )
    return call.empty(201)


async def delete(call: Call) -> web.StreamResponse:
    done = await images.delete_image(
        call.services,
        call.name,
        force=call.query.flag("force"),
        prune=not call.query.flag("noprune"),
    )
    return call.answer(done.records)


ROUTES = [
    Route("GET", "/images/json", list_images),
    Route("POST", "/images/create", create_image),
    Route("POST", "/images/load", load),
    Route("POST", "/images/prune", prune),
    Route("GET", "/images/get", save),
    Route("GET", "/images/{name*}/get", save),
    Route("GET", "/images/{name*}/json", inspect_image),
    Route("GET", "/images/{name*}/history", history),
    Route("POST", "/images/{name*}/tag", tag),
    Route("DELETE", "/images/{name*}", delete),
]
