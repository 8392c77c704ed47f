"""What talks to registries: pull, push, search, login, and a look at what a name means there."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from sampan.api import decode
from sampan.api.call import Call
from sampan.api.routing import Route
from sampan.api.shapes import AuthConfig, PlatformRequest
from sampan.api.streaming import Batcher, Progress
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.engine import login, pull, push, registries, search
from sampan.errors import InvalidParameter, SampanError
from sampan.spec.platform import Platform

_HEADER_LIMIT = 32 << 10


async def pull_image(call: Call) -> web.StreamResponse:
    """`POST /images/create?fromImage=`"""
    query = call.query

    async def work(progress: Progress) -> None:
        await pull.pull_image(
            call.services,
            query.text("fromImage"),
            tag=query.text("tag"),
            platform=query.text("platform") if call.version >= (1, 32) else "",
            credentials=credentials_of(call),
            progress=progress,
        )

    return await _with_progress(call, work)


async def push_image(call: Call) -> web.StreamResponse:
    platform = None
    if call.query.text("platform") and call.version >= (1, 46):
        platform = platform_of(call.query.text("platform"))

    async def work(progress: Progress) -> None:
        await push.push_image(
            call.services,
            call.name,
            tag=call.query.text("tag"),
            platform=platform,
            credentials=credentials_of(call),
            progress=progress,
        )

    return await _with_progress(call, work)


def platform_of(text: str) -> Platform:
    """A platform as JSON, as newer parts of the API have it. Raises InvalidParameter."""
    body = decode.decode(text.encode(), PlatformRequest)
    return Platform(body.os, body.architecture, body.variant)


async def _with_progress(
    call: Call, work: Callable[[Progress], Awaitable[None]]
) -> web.StreamResponse:
    """A failure has a status until the first message was written, and is one itself from then on. A client that
    goes away ends the work."""
    with call.cancelled_when_gone():
        async with Batcher(call, "application/json") as out:
            progress = Progress(out)
            try:
                await work(progress)
            except SampanError as error:
                if out.response is None and not out.pending:
                    raise
                progress.failed(error)
            return await out.open()


async def search_images(call: Call) -> web.StreamResponse:
    found = await search.search_images(
        call.services,
        call.query.text("term"),
        limit=call.query.integer("limit") or 0,
        filters=call.query.filters(),
        credentials=credentials_of(call),
    )
    return call.answer(found)


async def inspect_distribution(call: Call) -> web.StreamResponse:
    found = await call.services.distribution.inspect(
        registries.reference_of(call.name), credentials_of(call)
    )
    platforms = [
        {"architecture": architecture, "os": os, **({"variant": variant} if variant else {})}
        for os, architecture, variant in found.platforms
    ]
    descriptor = {
        "mediaType": found.descriptor.media_type,
        "digest": found.descriptor.digest,
        "size": found.descriptor.size,
    }
    return call.answer({"Descriptor": descriptor, "Platforms": platforms})


async def log_in(call: Call) -> web.StreamResponse:
    body = await call.json(AuthConfig, required=True)
    done = await login.log_in(call.services, Credentials.of(_fields(body)))
    return call.answer({"Status": done.status, "IdentityToken": done.identity_token})


def credentials_of(call: Call) -> Credentials:
    """X-Registry-Auth: base64url of an AuthConfig. As in dockerd, what cannot be read is nobody's."""
    text = call.http.headers.get("X-Registry-Auth", "")
    if not text or len(text) > _HEADER_LIMIT:
        return NOBODY
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        return Credentials.of(_fields(decode.decode(data, AuthConfig)))
    except (binascii.Error, InvalidParameter):
        return NOBODY


def _fields(body: AuthConfig) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(body)
    return fields


ROUTES = [
    Route("POST", "/images/{name*}/push", push_image),
    Route("GET", "/images/search", search_images),
    Route("GET", "/distribution/{name*}/json", inspect_distribution),
    Route("POST", "/auth", log_in),
]
