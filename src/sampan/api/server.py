"""The API's server: every noun's routes behind one edge, on listening sockets that the caller made."""

from __future__ import annotations

import socket

from aiohttp import web

from sampan.api import (
    absent,
    archive,
    changing,
    containers,
    exec,
    extensions,
    images,
    making,
    networks,
    registries,
    streams,
    system,
    volumes,
    watching,
)
from sampan.api.edge import Edge
from sampan.api.hijack import HEAD_DEADLINE, KEEP_ALIVE, Server
from sampan.api.routing import Router
from sampan.engine.services import Services

SHUTDOWN_DEADLINE = 1.0


def make_app(
    services: Services,
    *,
    version: str,
    head_deadline: float = HEAD_DEADLINE,
    keep_alive: float = KEEP_ALIVE,
) -> Server:
    """The protocol factory to listen with (`Listener`, or `loop.create_unix_server`). Call it in the loop.

    `version` is sampan's, for the Server header. Deadlines are seconds: for a request's whole head, and for
    an idle connection.
    """
    nouns = (
        *(system, containers, changing, archive, watching, streams, exec, images),
        *(extensions, registries, making, volumes, networks, absent),
    )
    router = Router([route for noun in nouns for route in noun.ROUTES])
    edge = Edge(services, router, version=version)
    return Server(edge, head_deadline=head_deadline, keep_alive=keep_alive)


class Listener:
    """`await listen(socket)` for each socket; `await close()` ends all, answers in flight have a second."""

    def __init__(self, app: Server) -> None:
        self._runner = web.ServerRunner(app, shutdown_timeout=SHUTDOWN_DEADLINE)

    async def listen(self, sock: socket.socket) -> None:
        """`sock` is bound; it is the server's from here on."""
        if self._runner.server is None:
            await self._runner.setup()
        await web.SockSite(self._runner, sock, backlog=1024).start()

    async def close(self) -> None:
        await self._runner.cleanup()
