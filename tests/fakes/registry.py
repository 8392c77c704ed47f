"""A registry in memory that does what a test wants it to do wrong.

    async with Registry() as registry:
        registry.add("x", "latest", image)                       # registry.authority is 127.0.0.1:PORT
        registry.fault("GET", "/v2/x/blobs/", cut(1000), times=1)  # the next such request, before anything else
        …
        registry.seen                                             # every request, in order

A fault is `async (registry, request) -> response`; those below are cuts, lies, delays, floods. Uploads work, too
(`POST`, `PATCH`, `GET`, `PUT`), with mounts. `users` makes it ask for a password; `tokens` for a token of a
`TokenServer`. Everything is plain HTTP on loopback, unless an SSL context is given.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from sampan.spec.digest import Digest, digest_of
from tests.fakes.images import Document
from tests.fakes.tokens import TokenServer

Fault = Callable[["Registry", web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    method: str
    path: str  # with query
    headers: dict[str, str]
    status: int

    @property
    def authorization(self) -> str:
        return self.headers.get("Authorization", "")

    @property
    def range(self) -> str:
        return self.headers.get("Range", "")


class _Planned:
    def __init__(self, method: str, path: str, fault: Fault, times: int) -> None:
        self.method, self.path, self.fault, self.left = method, path, fault, times

    def fits(self, request: web.Request) -> bool:
        return self.left != 0 and request.method == self.method and self.path in request.raw_path


class Registry:
    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        tokens: TokenServer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.users, self.tokens, self.tls = users, tokens, tls
        self.blobs: dict[str, dict[str, bytes]] = {}  # repository → digest → bytes
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}  # repository → tag or digest
        self.uploads: dict[str, bytearray] = {}
        self.seen: list[Seen] = []
        self.served: dict[str, int] = {}  # bytes of blobs, by digest
        self.headers: dict[str, str] = {}  # on every answer
        self._faults: list[_Planned] = []
        self._number = 0
        self.authority = ""

    async def __aenter__(self) -> Registry:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        self.authority = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    def add(self, repository: str, tag: str, document: Document) -> None:
        """Under a tag and under its digest, with all that it needs."""
        manifests = self.manifests.setdefault(repository, {})
        manifests[document.digest] = (document.media_type, document.raw)
        if tag:
            manifests[tag] = (document.media_type, document.raw)
        self.blobs.setdefault(repository, {}).update(document.blobs)
        for child in document.children:
            self.add(repository, "", child)

    def fault(self, method: str, path: str, fault: Fault, *, times: int = -1) -> None:
        """For requests whose path (with query) contains `path`; -1 is for ever."""
        self._faults.append(_Planned(method, path, fault, times))

    def clear(self) -> None:
        """No more faults."""
        self._faults.clear()

    def call(self, function: Callable[[], Any]) -> None:
        """In the registry's loop, from another thread."""
        self._loop.call_soon_threadsafe(function)

    def requests(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and path in seen.path]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = dict(request.headers)
        place = len(self.seen)
        self.seen.append(Seen(request.method, request.raw_path, headers, 0))
        response = await self._answer(request)
        self.seen[place] = self.seen[place]._replace(status=response.status)
        if not response.prepared:
            response.headers.update(self.headers)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        for planned in self._faults:
            if planned.fits(request):
                planned.left -= 1
                return await planned.fault(self, request)
        return self.refuse(request) or await self.normal(request)

    def refuse(self, request: web.Request) -> web.Response | None:
        """The answer to whoever may not do this."""
        given = request.headers.get("Authorization", "")
        if self.users is not None:
            user, _, password = _basic(given).partition(":")
            if self.users.get(user) != password:
                return error(401, "UNAUTHORIZED", 'Basic realm="test"')
        if self.tokens is not None:
            scope = _scope(request)
            if not self.tokens.allows(given.removeprefix("Bearer "), scope):
                return error(401, "UNAUTHORIZED", self.tokens.challenge(scope, bool(given)))
        return None

    async def normal(self, request: web.Request) -> web.StreamResponse:
        path = unquote(request.path)
        if path == "/v2/":
            return web.json_response({})
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags|blobs/uploads)/([^/]*)", path)
        if match is None:
            return web.Response(status=404)
        repository, what, name = match.groups()
        if what == "manifests":
            return await self._manifest(request, repository, name)
        if what == "tags":
            tags = [tag for tag in self.manifests.get(repository, {}) if ":" not in tag]
            return web.json_response({"name": repository, "tags": tags})
        if what == "blobs/uploads":
            return await self._upload(request, repository, name)
        return self._blob(request, repository, name)

    async def _manifest(self, request: web.Request, repository: str, name: str) -> web.Response:
        if request.method == "PUT":
            raw = await request.read()
            kind = request.headers["Content-Type"]
            for key in (name, digest_of(raw)):
                self.manifests.setdefault(repository, {})[key] = (kind, raw)
            return web.Response(status=201, headers={"Docker-Content-Digest": digest_of(raw)})
        found = self.manifests.get(repository, {}).get(name)
        if found is None:
            return error(404, "MANIFEST_UNKNOWN")
        headers = {"Content-Type": found[0], "Docker-Content-Digest": digest_of(found[1])}
        return web.Response(body=found[1], headers=headers)

    def _blob(self, request: web.Request, repository: str, digest: str) -> web.Response:
        data = self.blobs.get(repository, {}).get(digest)
        if data is None:
            return error(404, "BLOB_UNKNOWN")
        headers = {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes"}
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(match[1]) if match else 0
        if match is not None:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if request.method == "GET":
            self.served[digest] = self.served.get(digest, 0) + len(data) - start
        return web.Response(body=data[start:], status=206 if match else 200, headers=headers)

    async def _upload(self, request: web.Request, repository: str, name: str) -> web.Response:
        blobs = self.blobs.setdefault(repository, {})
        if request.method == "POST":
            mount, source = request.query.get("mount", ""), request.query.get("from", "")
            if mount in self.blobs.get(source, {}):
                blobs[mount] = self.blobs[source][mount]
                return web.Response(status=201, headers={"Docker-Content-Digest": mount})
            self._number += 1
            name = f"upload{self._number}"
            self.uploads[name] = bytearray()
            return self._accepted(repository, name)
        if name not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        upload = self.uploads[name]
        if request.method == "GET":
            return self._accepted(repository, name, status=204)
        async for piece in request.content.iter_any():
            upload += piece
        if request.method == "PATCH":
            return self._accepted(repository, name)
        data = bytes(self.uploads.pop(name))
        if digest_of(data) != request.query["digest"]:
            return error(400, "DIGEST_INVALID")
        blobs[digest_of(data)] = data
        return web.Response(status=201, headers={"Docker-Content-Digest": digest_of(data)})

    def _accepted(self, repository: str, name: str, *, status: int = 202) -> web.Response:
        size = len(self.uploads[name])
        headers = {
            "Location": f"/v2/{repository}/blobs/uploads/{name}?state=a%3Db",
            "Range": f"0-{max(size - 1, 0)}",
        }
        return web.Response(status=status, headers=headers)


def error(status: int, code: str, challenge: str = "", **headers: str) -> web.Response:
    """Distribution's form of an error."""
    messages = {
        "UNAUTHORIZED": "authentication required",
        "MANIFEST_UNKNOWN": "manifest unknown",
        "BLOB_UNKNOWN": "blob unknown to registry",
    }
    body = {"errors": [{"code": code, "message": messages.get(code, code.lower())}]}
    if challenge:
        headers["WWW-Authenticate"] = challenge
    return web.json_response(body, status=status, headers=headers)


def _basic(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return base64.b64decode(value).decode() if scheme == "Basic" else ""


def _scope(request: web.Request) -> str:
    match = re.match(r"/v2/(.+)/(manifests|blobs|tags)/", request.path)
    action = "pull" if request.method in ("GET", "HEAD") else "push"
    return f"repository:{match[1]}:{action}" if match else ""


# Faults.


def cut(after: int) -> Fault:
    """The connection breaks so many bytes into the body."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        answer = registry.refuse(request) or await registry.normal(request)
        assert isinstance(answer, web.Response)
        body = bytes(answer.body or b"")  # type: ignore[arg-type]
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[:after])
        transport = request.transport
        assert transport is not None
        await _flushed(transport)
        transport.abort()
        return response

    return fault


async def _flushed(transport: asyncio.Transport) -> None:
    """What has been written is with the kernel; abort() drops what is not."""
    while transport.get_write_buffer_size():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def drop(after: int) -> Fault:
    """Of an upload: so many bytes are taken, then the connection breaks."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        data = await request.content.readexactly(after)
        registry.uploads[name] += data
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)

    return fault


def answer(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Always the same; `_` in the names of headers is `-`."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return fault


def altered(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """The right answer, with another body."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        right = await registry.normal(request)
        assert isinstance(right, web.Response)
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        body = change(bytes(right.body or b""))  # type: ignore[arg-type]
        kept = {k: v for k, v in right.headers.items() if k.lower() != "content-length"}
        return web.Response(status=right.status, body=body, headers={**kept, **named})

    return fault


def redirected(origin: str, status: int = 307) -> Fault:
    """To the same path on another host."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": f"{origin}{request.raw_path}"})

    return fault


def streamed(pieces: Callable[[], Any], **headers: str) -> Fault:
    """Pieces of an async generator, without a length."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        response = web.StreamResponse(headers=named)
        await response.prepare(request)
        try:
            async for piece in pieces():
                await response.write(piece)
        except ConnectionError:
            pass  # the client has had enough
        return response

    return fault


def held(go_on: asyncio.Event, reached: asyncio.Event | None = None, before: int = 0) -> Fault:
    """The body stops after so many bytes until `go_on`."""

    async def fault(registry: Registry, request: web.Request) -> web.StreamResponse:
        right = await registry.normal(request)
        assert isinstance(right, web.Response)
        body = bytes(right.body or b"")  # type: ignore[arg-type]
        response = web.StreamResponse(status=right.status, headers=right.headers)
        response.content_length = len(body)
        await response.prepare(request)
        try:
            await response.write(body[:before])
            if reached is not None:
                reached.set()
            await go_on.wait()
            await response.write(body[before:])
        except ConnectionError:
            pass
        return response

    return fault


def deaf(registry: Registry, request: web.Request) -> Awaitable[web.StreamResponse]:
    """Not a byte of the body is read, and nothing is answered."""
    return asyncio.get_running_loop().create_future()


def digests(registry: Registry, repository: str) -> set[Digest]:
    return {Digest(digest) for digest in registry.blobs.get(repository, {})}
