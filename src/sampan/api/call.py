"""One call of the API: the request, what its path and query say, and the ways to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import HttpVersion11, web

from sampan.api import decode, encode, versions
from sampan.api.hijack import connection_of, duplicate, hijack
from sampan.api.query import Query
from sampan.api.summaries import Summaries
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.errors import InvalidParameter, TooLarge

JSON_LIMIT = 4 << 20
BODY_DEADLINE = 60.0
CHUNK = 256 * 1024


@dataclass(slots=True)
class Call:
    services: Services
    http: web.BaseRequest
    version: versions.Version
    query: Query
    names: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # of every answer
    summaries: Summaries = field(default_factory=Summaries)  # the server's

    @property
    def name(self) -> str:
        return self.names["name"]

    # In

    async def json(self, shape: type[decode.T], *, required: bool = False) -> decode.T:
        """The body as a `shape`; without a body all fields are zero, unless it is `required`.

        Raises InvalidParameter, TooLarge."""
        decode.check_content_type(self.http.headers.get("Content-Type", ""), self._has_body())
        body = await self._read_json()
        if not body and not required:
            return shape()
        return decode.decode(body, shape)

    def _has_body(self) -> bool:
        return "Transfer-Encoding" in self.http.headers or bool(self.content_length)

    @property
    def content_length(self) -> int:
        return int(self.http.headers.get("Content-Length", "0"))

    @property
    def body_expected(self) -> int | None:
        """Bytes of the body; None when it is chunked."""
        return None if "Transfer-Encoding" in self.http.headers else self.content_length

    async def _read_json(self) -> bytes:
        if self.content_length > JSON_LIMIT:
            raise TooLarge("request body too large")
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_DEADLINE):
                async for piece in self.body():
                    pieces.append(piece)
                    size += len(piece)
                    if size > JSON_LIMIT:
                        raise TooLarge("request body too large")
        except TimeoutError:
            raise InvalidParameter("the request's body took too long") from None
        return b"".join(pieces)

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it comes; the client is held back while nobody reads."""
        while True:
            piece = await self.http.content.readany()
            if not piece:
                return
            yield piece

    # Out

    def empty(self, status: int = 204) -> web.Response:
        return web.Response(status=status, headers=self.headers)

    def text(self, text: str) -> web.Response:
        return web.Response(text=text, headers=self.headers)

    def view(self, kind: str, body: Any, *, status: int = 200) -> web.Response:
        """`body` as JSON, without what this version of the API does not have (`versions.FIELDS[kind]`)."""
        versions.fit(kind, body, self.version)
        return self.answer(body, status=status)

    def answer(self, body: Any, *, status: int = 200) -> web.Response:
        return web.Response(
            status=status,
            body=encode.json(body),
            content_type="application/json",
            headers=self.headers,
        )

    async def stream(self, content_type: str) -> web.StreamResponse:
        """Status and headers are sent now; then `write` and return it."""
        response = web.StreamResponse(headers=self.headers)
        response.content_type = content_type
        await response.prepare(self.http)
        return response

    async def hand_over(
        self, connect: Callable[[ClientStream], Awaitable[None]], *, multiplexed: bool
    ) -> web.Response:
        """Answer the upgrade and give the connection to `connect`."""
        kind = versions.stream_type(self.version, multiplexed=multiplexed)
        client = await hijack(self.http, content_type=kind, headers=self.headers)
        try:
            await connect(client)
        except BaseException:
            client.close()
            raise
        return web.Response()  # never sent: the connection is not aiohttp's any more

    @property
    def chunked(self) -> bool:
        """Whether what `stream` gives is sent in chunks; else it ends with the connection (HTTP/1.0)."""
        return self.http.version >= HttpVersion11

    def duplicate(self) -> ClientStream | None:
        """The connection once more, to be answered by somebody else should we die; None where that cannot be."""
        fd = duplicate(self.http)
        return None if fd is None else ClientStream(fd)

    @contextmanager
    def cancelled_when_gone(self) -> Iterator[None]:
        """A wait inside ends with CancelledError when the client has gone."""
        task = asyncio.current_task()
        assert task is not None
        with connection_of(self.http).when_gone(task.cancel):
            yield
