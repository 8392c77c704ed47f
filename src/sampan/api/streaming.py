"""Sending a stream whose pieces come when they come: few writes when there is much, at once when there is little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from sampan.api import encode
from sampan.api.call import Call
from sampan.errors import SampanError

HIGH_WATER = 256 * 1024


class Batcher:
    """Collects pieces; a task of its own writes what is there. Whoever `put`s waits while too much is unsent.

    The response is prepared with the first piece (or `open`), so that a failure before it has a status.
    """

    def __init__(self, call: Call, content_type: str) -> None:
        self._call = call
        self._content_type = content_type
        self._pending = bytearray()
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._finished = False
        self._error: BaseException | None = None
        self.response: web.StreamResponse | None = None

    async def __aenter__(self) -> Batcher:
        self._task = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._finished = True
        self._wake.set()
        if error is not None and self.response is None:
            self._task.cancel()
        await asyncio.wait([self._task])
        if error is None and self._error is not None:
            raise self._error

    async def open(self) -> web.StreamResponse:
        if self.response is None:
            self.response = await self._call.stream(self._content_type)
        return self.response

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken."""
        return len(self._pending)

    def add(self, data: bytes) -> None:
        self._pending += data
        self._wake.set()

    async def put(self, data: bytes) -> None:
        self.add(data)
        while len(self._pending) > HIGH_WATER and self._error is None:
            self._drained.clear()
            await self._drained.wait()
        if self._error is not None:
            raise self._error

    async def _write_all(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pending:
                    # Swapped before the first await: from here on, pieces gather in the new buffer.
                    data, self._pending = bytes(self._pending), bytearray()
                    response = await self.open()
                    await response.write(data)
                    self._drained.set()
                if self._finished:
                    return
        except BaseException as error:
            self._error = error
            self._drained.set()
            if isinstance(error, asyncio.CancelledError):
                raise


async def send_frames(
    call: Call, chunks: AsyncIterator[tuple[int, bytes]], *, multiplexed: bool, content_type: str
) -> web.StreamResponse:
    """Chunks of a container's output, with Docker's 8-byte frames or raw; headers are sent at once."""
    with call.cancelled_when_gone():
        async with Batcher(call, content_type) as out:
            response = await out.open()
            async with aclosing(_closable(chunks)) as pieces:
                async for stream, data in pieces:
                    if multiplexed:
                        data = bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data
                    await out.put(data)
    return response


async def _closable(
    chunks: AsyncIterator[tuple[int, bytes]],
) -> AsyncGenerator[tuple[int, bytes], None]:
    """`chunks` may be any iterator; closing this closes it, if it can be closed."""
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def send_archive(call: Call, chunks: AsyncGenerator[bytes, None]) -> web.StreamResponse:
    """A tar whose first piece decides the status; a failure later cuts the connection, so that nobody takes what was
    sent for an archive."""
    with call.cancelled_when_gone():
        async with aclosing(chunks) as pieces:
            first = await anext(pieces, b"")
            response = await call.stream("application/x-tar")
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
    return response


class Progress:
    """JSON messages, one a line, as `docker load` and `docker pull` read them."""

    def __init__(self, out: Batcher) -> None:
        self._out = out

    def __call__(self, message: dict[str, Any]) -> None:
        if self._out.backlog > HIGH_WATER and message.get("progressDetail"):
            return  # to a client that does not read, an amount is of no use: there will be a later one
        self._out.add(encode.json(message)[:-1] + b"\r\n")

    def failed(self, error: SampanError) -> None:
        text = str(error)
        self({"errorDetail": {"message": text}, "error": text})
