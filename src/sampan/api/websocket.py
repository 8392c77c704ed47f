"""Attach over a WebSocket: frames on the client's side, plain bytes on the monitor's, and a relay between them."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from sampan.api.call import Call
from sampan.api.hijack import give_away_websocket
from sampan.engine.attach import Attachment
from sampan.engine.streams import ClientStream
from sampan.errors import InvalidParameter, ProtocolError
from sampan.wire import websocket

PIECE = 1 << 16


async def serve(call: Call, attachment: Attachment) -> web.StreamResponse:
    """Until one side ends. Raises InvalidParameter when it is no handshake."""
    headers = call.http.headers
    if headers.get("Upgrade", "").lower() != "websocket":
        raise InvalidParameter("not websocket protocol")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise InvalidParameter("missing or bad WebSocket Version")
    try:
        key = websocket.accept(headers.get("Sec-WebSocket-Key", ""))
    except ProtocolError as error:
        raise InvalidParameter(str(error)) from None
    client = await give_away_websocket(call.http, key)
    try:
        await _relay(client, attachment)
    finally:
        client.close()
    return web.Response()  # never sent: the connection is not aiohttp's any more


async def _relay(client: ClientStream, attachment: Attachment) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    prefetched = client.prefetched
    try:
        await attachment.connect(ClientStream(theirs.detach()))
        inner, to_container = await asyncio.open_connection(sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    try:
        outer, to_client = await asyncio.open_connection(sock=socket.socket(fileno=client.take()))
        try:
            await _both_ways(outer, to_client, inner, to_container, prefetched)
        finally:
            to_client.close()
    finally:
        to_container.close()


async def _both_ways(
    outer: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    inner: asyncio.StreamReader,
    to_container: asyncio.StreamWriter,
    prefetched: bytes,
) -> None:
    sides = {
        asyncio.create_task(_from_client(outer, to_client, to_container, prefetched)),
        asyncio.create_task(_from_container(inner, to_client)),
    }
    try:
        done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except ConnectionError:
        pass  # the client has gone
    finally:
        for task in sides:
            task.cancel()
        await asyncio.gather(*sides, return_exceptions=True)


async def _from_client(
    outer: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    to_container: asyncio.StreamWriter,
    data: bytes,
) -> None:
    decoder = websocket.Decoder()
    try:
        while True:
            for opcode, payload in decoder.feed(data):
                if opcode == websocket.CLOSE:
                    to_client.write(websocket.frame(websocket.CLOSE, payload))
                    return
                if opcode == websocket.PING:
                    to_client.write(websocket.frame(websocket.PONG, payload))
                elif opcode in (websocket.TEXT, websocket.BINARY):
                    to_container.write(payload)
            await to_container.drain()
            data = await outer.read(PIECE)
            if not data:
                return
    except ProtocolError:
        to_client.write(websocket.close(websocket.PROTOCOL_ERROR))


async def _from_container(inner: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
    while data := await inner.read(PIECE):
        to_client.write(websocket.frame(websocket.BINARY, data))
        await to_client.drain()
    to_client.write(websocket.close(websocket.NORMAL))
