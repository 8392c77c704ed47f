"""_ping, version, info, events, system/df."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from sampan.api import encode, versions
from sampan.api.call import Call
from sampan.api.containers import ImageNames
from sampan.api.routing import Route
from sampan.api.views import events as view
from sampan.api.views.containers import summary
from sampan.engine import disk_usage as usage
from sampan.engine import fsck, system, times
from sampan.errors import SampanError

_NO_CACHE = {
    "Builder-Version": "1",  # the classic builder: clients then do not look for BuildKit's session
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}


async def ping(call: Call) -> web.StreamResponse:
    call.headers.update(_NO_CACHE)
    return call.text("" if call.http.method == "HEAD" else "OK")


async def version(call: Call) -> web.StreamResponse:
    body = system.version(call.services)
    body["ApiVersion"] = str(versions.NEWEST)
    body["MinAPIVersion"] = str(versions.OLDEST)
    for component in body.get("Components", ()):
        if component["Name"] == "Engine":
            component.setdefault("Details", {}).update(
                ApiVersion=str(versions.NEWEST), MinAPIVersion=str(versions.OLDEST)
            )
    return call.view("Version", body)


async def info(call: Call) -> web.StreamResponse:
    return call.view("Info", system.info(call.services))


async def disk_usage(call: Call) -> web.StreamResponse:
    kinds = call.query.texts("type") if call.version >= (1, 42) else []
    verbose = call.query.flag("verbose") or call.version < (1, 52)
    body = await usage.disk_usage(call.services, kinds, verbose=verbose)
    _show_containers(call, body.get("Containers", ()))
    return call.view("DiskUsage", body)


def _show_containers(call: Call, items: Iterable[dict[str, Any]]) -> None:
    """As a list of containers has them, with their sizes."""
    now, names = call.services.clock.now(), ImageNames(call)
    known = {record.id: record for record in call.services.containers.all()}
    for item in items:
        record = known.get(item["Id"])
        if record is not None:
            item.update(summary(record, now=now, image=names.shown(record)) | item)


async def prune_builds(call: Call) -> web.StreamResponse:
    """`docker system prune` asks for it last. Nothing is kept from builds here."""
    return call.answer({"CachesDeleted": None, "SpaceReclaimed": 0})


async def check_store(call: Call) -> web.StreamResponse:
    """Sampan's own: is everything in the store whole?"""
    report = await fsck.check_store(call.services, repair=call.query.flag("repair"))
    return call.answer(
        {
            "Blobs": report.blobs,
            "Layers": report.layers,
            "Images": report.images,
            "Problems": [
                {
                    "Kind": problem.kind,
                    "Object": problem.thing,
                    "Detail": problem.detail,
                    "Repaired": problem.repaired,
                }
                for problem in report.problems
            ],
        }
    )


# What a client may ask for by Accept since 1.52 and 1.53: how lines begin and end.
_EVENT_FORMATS = {
    "application/x-ndjson": (52, b"", b"\n"),
    "application/jsonl": (53, b"", b"\n"),
    "application/json-seq": (52, b"\x1e", b"\n"),
}


async def events(call: Call) -> web.StreamResponse:
    content_type, before, behind = _event_format(call)
    subscription = call.services.events.subscribe(
        since=times.from_parameter(call.query.text("since"), name="since"),
        until=times.from_parameter(call.query.text("until"), name="until"),
        filters=call.query.filters(),
    )
    try:
        with call.cancelled_when_gone():
            response = await call.stream(content_type)
            async for event in subscription:
                body = view.event(event)
                versions.fit("Event", body, call.version)
                await response.write(before + encode.json(body)[:-1] + behind)
    except SampanError as error:
        # Too slow a reader: the status is sent, so all that is left is to end with a reason.
        await response.write(encode.json({"message": str(error)}))
        response.force_close()
    finally:
        subscription.close()
    return response


def _event_format(call: Call) -> tuple[str, bytes, bytes]:
    for accepted in call.http.headers.get("Accept", "").split(","):
        kind = accepted.partition(";")[0].strip().lower()
        since, before, behind = _EVENT_FORMATS.get(kind, (1 << 30, b"", b""))
        if call.version.minor >= since:
            return kind, before, behind
    return "application/json", b"", b"\n"


ROUTES = [
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/events", events),
    Route("GET", "/system/df", disk_usage),
    Route("POST", "/system/fsck", check_store),
    Route("POST", "/build/prune", prune_builds),
]
