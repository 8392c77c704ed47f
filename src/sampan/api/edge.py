"""Where every request comes in: who may ask, which version, which route, and what a failure looks like."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from sampan.api import encode, versions
from sampan.api.call import Call
from sampan.api.query import Query
from sampan.api.routing import Router, split_path
from sampan.api.summaries import Summaries
from sampan.engine.services import Services
from sampan.errors import Forbidden, InvalidParameter, NotFound, SampanError

log = logging.getLogger(__name__)


class Edge:
    def __init__(self, services: Services, router: Router, *, version: str) -> None:
        self._services = services
        self._router = router
        self._summaries = Summaries()
        self._headers = {
            "Api-Version": str(versions.NEWEST),
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Server": f"Sampan/{version} (linux)",
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handle(request)
        except SampanError as error:
            return self._failure(request, error.status, str(error))
        except (RequestPayloadError, PayloadAccessError) as error:
            return self._failure(request, 400, f"malformed request body: {error}")
        except Exception as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                raise  # the client has gone; aiohttp knows what to do
            log.exception("%s %s failed", request.method, request.path)
            return self._failure(request, 500, "internal error: the daemon's log says more")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        _check_origin(request)
        segments = _segments(request.rel_url.raw_path)
        version = versions.of_segment(segments[0]) if len(segments) > 1 else None
        path = segments[1:] if version else segments
        if request.method == "OPTIONS":
            return web.Response(headers=self._headers)
        handler, names = self._router.find(request.method, path)
        if version is not None:
            versions.check(version)
        call = Call(
            services=self._services,
            http=request,
            version=version or versions.NEWEST,
            query=Query(request.rel_url.query),
            names=names,
            headers=dict(self._headers),
            summaries=self._summaries,
        )
        await _expect(request)
        return await handler(call)

    def _failure(self, request: web.BaseRequest, status: int, text: str) -> web.Response:
        if request.writer.output_size > 0:
            # A second head would look like part of the stream; a connection cut short is a clear sign.
            log.info("%s %s broke off: %s", request.method, request.path, text)
            request.protocol.force_close()
        if status == 304:
            return web.Response(status=304, headers=self._headers)
        return web.Response(
            status=status,
            body=encode.json({"message": text}),
            content_type="application/json",
            headers=self._headers,
        )


def _check_origin(request: web.BaseRequest) -> None:
    """A browser page must not drive the engine, not even through a proxy in front of the socket."""
    if "Origin" in request.headers:
        raise Forbidden("cross-origin requests are refused")


def _segments(raw_path: str) -> list[str]:
    try:
        segments = split_path(raw_path)
    except UnicodeDecodeError:
        raise InvalidParameter("invalid path") from None
    if not all(segments):
        raise NotFound("page not found")
    return segments


async def _expect(request: web.BaseRequest) -> None:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim answer is not the answer
