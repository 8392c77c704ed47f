"""Containers: create, list, inspect, and everything that changes their state. Streams are in `streams`."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from sampan.api import encode, versions
from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.shapes import CreateRequest
from sampan.api.views import containers as view
from sampan.api.views.storage import graph_driver
from sampan.engine import (
    create,
    images,
    kill,
    pause,
    query,
    remove,
    rename,
    resize,
    restart,
    start,
    stop,
    wait,
)
from sampan.engine.records import ContainerRecord
from sampan.errors import InvalidParameter, NotFound, SampanError


async def create_container(call: Call) -> web.StreamResponse:
    request = await call.json(CreateRequest, required=True)
    versions.adapt_create(request, call.version, unified=call.services.host.unified_cgroups)
    created = await create.create_container(
        call.services,
        name=call.query.text("name"),
        config=request.config(),
        host_config=request.host_config,
        networking=request.networking_config,
        platform=call.query.text("platform") if call.version >= (1, 41) else "",
    )
    return call.answer({"Id": created.container_id, "Warnings": created.warnings}, status=201)


async def list_containers(call: Call) -> web.StreamResponse:
    filters = call.query.filters()
    for name in ("since", "before"):
        if call.query.text(name):
            filters.setdefault(name, []).append(call.query.text(name))
    records = query.list_containers(
        call.services,
        everything=call.query.flag("all"),
        limit=call.query.integer("limit") or 0,
        filters=filters,
    )
    now = call.services.clock.now()
    names = ImageNames(call)
    if call.query.flag("size"):
        bodies = []
        for record in records:
            sizes = await query.container_sizes(call.services, record)
            bodies.append(view.summary(record, now=now, image=names.shown(record), sizes=sizes))
        return call.view("ContainerSummary", bodies)
    every = call.services.containers
    call.summaries.forget_gone(every.is_gone, len(every))
    return call.answer([_summary(call, record, now, names) for record in records])


def _summary(call: Call, record: ContainerRecord, now: int, names: ImageNames) -> msgspec.Raw:
    image = names.shown(record)

    def make() -> dict[str, Any]:
        body = view.summary(record, now=now, image=image)
        versions.fit("ContainerSummary", body, call.version)
        return body

    shown = (call.version, image, view.status(record, now=now))
    return call.summaries.encoded(record, shown, make)


class ImageNames:
    """What a list shows as a container's image: the name it was made from, while that still means the image."""

    def __init__(self, call: Call) -> None:
        self._services = call.services
        self._ids: dict[str, str] = {}

    def shown(self, record: ContainerRecord) -> str:
        name = record.image_name
        if name not in self._ids:
            try:
                self._ids[name] = images.inspect_image(self._services, name).id
            except SampanError:
                self._ids[name] = ""
        return name if self._ids[name] == record.image_id else record.image_id


async def _sizes(call: Call, record: ContainerRecord) -> query.Sizes | None:
    return await query.container_sizes(call.services, record) if call.query.flag("size") else None


async def inspect_container(call: Call) -> web.StreamResponse:
    record = query.inspect_container(call.services, call.name)
    body = view.inspect(
        record,
        graph_driver=_graph_driver(call, record),
        exec_ids=[item.id for item in call.services.execs.of(record.id) if item.running],
        sizes=await _sizes(call, record),
    )
    return call.view("ContainerInspect", body)


def _graph_driver(call: Call, record: ContainerRecord) -> dict[str, Any]:
    try:
        mounts = call.services.store.snapshots.mounts(record.id)
    except NotFound:  # its removal is under way
        mounts = []
    return graph_driver(record.driver, mounts, pid=record.pid if record.state.alive else 0)


async def start_container(call: Call) -> web.StreamResponse:
    # A JSON object with anything in it is longer.
    if call.body_expected is None or call.body_expected > 7:
        raise InvalidParameter(
            "starting container with non-empty request body was deprecated since API v1.22 "
            "and removed in v1.24"
        )
    await start.start_container(call.services, call.name)
    return call.empty()


def _stop_options(call: Call) -> dict[str, Any]:
    return {
        "signal": call.query.text("signal") if call.version >= (1, 42) else "",
        "grace": call.query.integer("t"),
    }


async def stop_container(call: Call) -> web.StreamResponse:
    await stop.stop_container(call.services, call.name, **_stop_options(call))
    return call.empty()


async def restart_container(call: Call) -> web.StreamResponse:
    await restart.restart_container(call.services, call.name, **_stop_options(call))
    return call.empty()


async def kill_container(call: Call) -> web.StreamResponse:
    await kill.kill_container(call.services, call.name, signal=call.query.text("signal"))
    return call.empty()


async def pause_container(call: Call) -> web.StreamResponse:
    await pause.pause_container(call.services, call.name)
    return call.empty()


async def unpause_container(call: Call) -> web.StreamResponse:
    await pause.unpause_container(call.services, call.name)
    return call.empty()


async def rename_container(call: Call) -> web.StreamResponse:
    await rename.rename_container(call.services, call.name, name=call.query.text("name"))
    return call.empty()


async def resize_container(call: Call) -> web.StreamResponse:
    height, width = terminal_size(call)
    await resize.resize_container(call.services, call.name, height=height, width=width)
    return call.empty(200)


def terminal_size(call: Call) -> tuple[int, int]:
    """Rows and columns of a resize. Raises InvalidParameter."""
    found = []
    for key, name in (("h", "height"), ("w", "width")):
        try:
            found.append(call.query.unsigned(key))
        except InvalidParameter as error:
            shown = call.query.text(key)[:64]
            raise InvalidParameter(f'invalid resize {name} "{shown}": {error}') from None
    return found[0], found[1]


async def remove_container(call: Call) -> web.StreamResponse:
    await remove.remove_container(
        call.services,
        call.name,
        force=call.query.flag("force"),
        volumes=call.query.flag("v"),
        link=call.query.flag("link"),
    )
    return call.empty()


_CONDITIONS = ("", "not-running", "next-exit", "removed")


async def wait_container(call: Call) -> web.StreamResponse:
    """From 1.30 on the headers go out before the result: a client then knows that it may start the container."""
    early = call.version >= (1, 30)
    condition = call.query.text("condition") if early else ""
    if condition not in _CONDITIONS:
        raise InvalidParameter(f'invalid condition: "{condition[:64]}"')
    waiter = wait.wait_container(call.services, call.name, condition=condition or "not-running")
    response: web.StreamResponse | None = None
    try:
        with call.cancelled_when_gone():
            if early:
                response = await call.stream("application/json")
                client = call.duplicate()
                if client is not None:
                    await waiter.outlive_daemon(client, chunked=call.chunked)
            result = await waiter.result()
    finally:
        waiter.close()
    body: dict[str, Any] = {"StatusCode": result.exit_code}
    if result.error:
        body["Error"] = {"Message": result.error}
    if response is None:
        return call.answer(body)
    await response.write(encode.json(body))
    return response


ROUTES = [
    Route("POST", "/containers/create", create_container),
    Route("GET", "/containers/json", list_containers),
    Route("GET", "/containers/{name}/json", inspect_container),
    Route("POST", "/containers/{name}/start", start_container),
    Route("POST", "/containers/{name}/stop", stop_container),
    Route("POST", "/containers/{name}/restart", restart_container),
    Route("POST", "/containers/{name}/kill", kill_container),
    Route("POST", "/containers/{name}/pause", pause_container),
    Route("POST", "/containers/{name}/unpause", unpause_container),
    Route("POST", "/containers/{name}/rename", rename_container),
    Route("POST", "/containers/{name}/resize", resize_container),
    Route("POST", "/containers/{name}/wait", wait_container),
    Route("DELETE", "/containers/{name}", remove_container),
]
