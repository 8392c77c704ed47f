"""A container's output and input: logs and attach."""

from __future__ import annotations

from aiohttp import web

from sampan.api import versions, websocket
from sampan.api.call import Call
from sampan.api.query import atoi
from sampan.api.routing import Route
from sampan.api.streaming import send_frames
from sampan.engine import attach, logs, times
from sampan.engine.attach import AttachOptions
from sampan.engine.logs import LogOptions
from sampan.errors import InvalidParameter


async def read_logs(call: Call) -> web.StreamResponse:
    query = call.query
    if not (query.flag("stdout") or query.flag("stderr")):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    stream = await logs.read_logs(
        call.services,
        call.name,
        LogOptions(
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            since=times.from_parameter(query.text("since"), name="since"),
            until=times.from_parameter(query.text("until"), name="until"),
            timestamps=query.flag("timestamps"),
            follow=query.flag("follow"),
            tail=_tail(query.text("tail")),
            details=query.flag("details"),
        ),
    )
    kind = versions.stream_type(call.version, multiplexed=stream.multiplexed)
    return await send_frames(call, stream.chunks, multiplexed=stream.multiplexed, content_type=kind)


def _tail(text: str) -> int:
    """dockerd takes whatever is no number ("all") for everything."""
    try:
        return max(atoi(text), -1)
    except InvalidParameter:
        return -1


def _attachment(call: Call, *, plain: bool) -> attach.Attachment:
    query = call.query
    return attach.attach_container(
        call.services,
        call.name,
        AttachOptions(
            stdin=query.flag("stdin"),
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            stream=query.flag("stream"),
            logs=query.flag("logs"),
            detach_keys=query.text("detachKeys") or None,
            plain=plain,
        ),
    )


async def attach_websocket(call: Call) -> web.StreamResponse:
    return await websocket.serve(call, _attachment(call, plain=True))


async def attach_container(call: Call) -> web.StreamResponse:
    attachment = _attachment(call, plain=False)
    return await call.hand_over(attachment.connect, multiplexed=attachment.multiplexed)


ROUTES = [
    Route("GET", "/containers/{name}/logs", read_logs),
    Route("POST", "/containers/{name}/attach", attach_container),
    Route("GET", "/containers/{name}/attach/ws", attach_websocket),
]
