"""Blobs into a registry: asked for first, mounted from another repository if it can be, else uploaded and resumed.

    POST  …/blobs/uploads/[?mount=&from=]    201: mounted, nothing to send · 202: a Location to send to
    PATCH Location                           the bytes, or the rest of them after a cut
    GET   Location                           after a cut: how much has arrived
    PUT   Location?digest=                   done; a small blob comes with it

A Location is followed to wherever it points, but credentials go to the registry only (CVE-2026-50151). Sources:
OCI distribution-spec v1.1 ("Pushing blobs"), distribution's API documentation.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol
from urllib.parse import urlencode, urljoin

import aiohttp

from sampan.distribution import failures
from sampan.distribution.client import Request, same_origin
from sampan.distribution.failures import AuthFailed, Cut, RegistryError
from sampan.distribution.hosts import Host
from sampan.distribution.options import Options
from sampan.distribution.progress import Meter, Progress, status
from sampan.distribution.remote import Remote, with_query
from sampan.distribution.retry import Retry
from sampan.distribution.session import failure_of
from sampan.errors import InvalidParameter, SampanError
from sampan.spec.digest import PREFIX, Digest
from sampan.store.compress import gzipped
from sampan.store.content import Blob, Content
from sampan.store.streams import read_blob

log = logging.getLogger(__name__)

SMALL = 1 << 20  # bytes that go with the PUT
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")


class Payload(Protocol):
    """What is uploaded; may be read several times."""

    @property
    def size(self) -> int | None:
        """Of what is sent, when that is known before."""

    @property
    def total(self) -> int:
        """Of what progress is measured by."""

    def read(self, offset: int, meter: Meter) -> AsyncGenerator[bytes, None]:
        """The bytes to send, from `offset` on."""

    @property
    def blob(self) -> Blob:
        """What has been sent, once it has been read to its end."""


class Stored:
    """A blob of the store as it is."""

    def __init__(self, content: Content, blob: Blob) -> None:
        self._content = content
        self.blob = blob
        self.size: int | None = blob.size
        self.total = blob.size

    async def read(self, offset: int, meter: Meter) -> AsyncGenerator[bytes, None]:
        done = offset
        async with aclosing(read_blob(self._content.open(self.blob.digest), offset)) as pieces:
            async for piece in pieces:
                yield piece
                done += len(piece)
                meter.show(done)


class Compressed:
    """A plain layer, compressed while it is sent. The bytes are the same each time, so that it can be resumed."""

    size: int | None = None

    def __init__(self, content: Content, plain: Blob, slots: asyncio.Semaphore) -> None:
        self._content = content
        self._plain = plain
        self._slots = slots
        self._blob: Blob | None = None
        self.total = plain.size

    @property
    def blob(self) -> Blob:
        assert self._blob is not None, "it has not been read to its end"
        return self._blob

    async def read(self, offset: int, meter: Meter) -> AsyncGenerator[bytes, None]:
        digest, size = hashlib.sha256(), 0
        async with (
            self._slots,
            aclosing(self._plain_bytes(meter)) as plain,
            aclosing(gzipped(plain)) as pieces,
        ):
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                if size > offset:
                    yield piece[-(size - offset) :] if size - len(piece) < offset else piece
        self._blob = Blob(Digest(PREFIX + digest.hexdigest()), size)

    async def _plain_bytes(self, meter: Meter) -> AsyncGenerator[bytes, None]:
        done = 0
        async with aclosing(read_blob(self._content.open(self._plain.digest))) as pieces:
            async for piece in pieces:
                yield piece
                done += len(piece)
                meter.show(done)


class Upload:
    """Of one payload to one repository."""

    def __init__(
        self, remote: Remote, payload: Payload, options: Options, report: Progress, id: str
    ) -> None:
        self._remote, self._payload, self._options = remote, payload, options
        self._report, self._id = report, id
        self._location: str | None = None

    async def mount(self, digest: Digest, repository: str) -> bool:
        """Whether the registry takes the blob from another repository of its own; when it does not, the
        upload it has begun instead is used."""
        query = urlencode({"mount": digest, "from": repository})
        request = Request("POST", self._remote.url(f"blobs/uploads/?{query}"), self._remote.host)
        scopes = self._remote.session.scopes | {f"repository:{repository}:pull"}
        try:
            async with self._remote.session.request(request, scopes=scopes) as response:
                if response.status == 201:
                    return True
                self._location = self._next(request.url, response)
        except (RegistryError, AuthFailed) as error:
            log.info("%s is not mounted from %s: %s", digest, repository, error)
        return False

    async def run(self) -> Blob:
        """Send it all. Raises SampanError when that is impossible, or has failed too often."""
        retry = Retry(self._options)
        offset, renewed = 0, False
        while True:
            try:
                if self._location is None:
                    self._location, offset = await self._begin(), 0
                return await self._send(self._location, offset)
            except SampanError as error:
                if isinstance(error, RegistryError) and error.http_status == 401 and not renewed:
                    renewed = True  # the token has run out meanwhile
                else:
                    await self._pause(retry, error)
                before, offset = offset, await self._arrived()
                if offset - before >= self._options.timeouts.drip_bytes:
                    retry.reset()

    async def _begin(self) -> str:
        request = Request("POST", self._remote.url("blobs/uploads/"), self._remote.host, body=b"")
        async with self._remote.session.request(request) as response:
            return self._next(request.url, response)

    async def _send(self, location: str, offset: int) -> Blob:
        meter = Meter(self._report, "Pushing", self._id, self._payload.total)
        size = self._payload.size
        if size is not None and size <= SMALL:
            data = b"".join([piece async for piece in self._payload.read(0, meter)])
            await self._finish(location, self._payload.blob, data)
        else:
            location = await self._patch(location, offset, meter)
            await self._finish(location, self._payload.blob, b"")
        return self._payload.blob

    async def _patch(self, location: str, offset: int, meter: Meter) -> str:
        """All bytes from `offset` on; where to go on. Raises Cut when the registry has not got all."""
        size = self._payload.size
        headers = {"Content-Type": "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size - offset)
            if offset:
                headers["Content-Range"] = f"{offset}-{size - 1}"
        async with self._alive(self._payload.read(offset, meter)) as body:
            host = self._host_of(location)
            request = Request("PATCH", location, host, headers, body, document=False)
            async with self._request(request) as response:
                following = self._next(location, response)
                arrived = _RANGE.fullmatch(response.headers.get("Range", ""))
        self._location = following
        if arrived is not None and int(arrived[1]) + 1 < self._payload.blob.size:
            raise Cut(f"the registry has {arrived[1]} of {self._payload.blob.size} bytes")
        return following

    @asynccontextmanager
    async def _alive(self, pieces: AsyncGenerator[bytes, None]) -> AsyncIterator[_Body]:
        """A registry that takes nothing for too long is given up."""
        silence = self._options.timeouts.silence
        try:
            async with asyncio.timeout(silence) as timeout, _Body(pieces, timeout, silence) as body:
                yield body
        except TimeoutError:
            raise Cut("the registry takes no more bytes") from None

    async def _finish(self, location: str, blob: Blob, data: bytes) -> None:
        url = with_query(location, digest=blob.digest)
        headers = {"Content-Type": "application/octet-stream"}
        request = Request("PUT", url, self._host_of(location), headers, data)
        async with self._request(request) as response:
            said = response.headers.get("Docker-Content-Digest")
        if said is not None and said != blob.digest:
            raise RegistryError(
                f"the registry has stored {failures.clean(said)[:80]} as {blob.digest}"
            )

    async def _arrived(self) -> int:
        """After a failure: how much of the upload is there. Forgets it when there is none."""
        location, self._location = self._location, None
        if location is None:
            return 0
        request = Request("GET", location, self._host_of(location))
        try:
            async with self._request(request) as response:
                arrived = _RANGE.fullmatch(response.headers.get("Range", ""))
                # `0-0` is said of one byte and of none: begin anew.
                if arrived is None or int(arrived[1]) == 0:
                    return 0
                self._location = self._next(location, response)
                return int(arrived[1]) + 1
        except SampanError:
            return 0

    async def _pause(self, retry: Retry, error: SampanError) -> None:
        delay = retry.after(error)
        log.info("upload: %s; trying again in %.1f s", error, delay)
        if delay >= 1:
            self._report(status(f"Retrying in {round(delay)} seconds", self._id))
        await asyncio.sleep(delay)

    @asynccontextmanager
    async def _request(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """With credentials to the registry itself, without to any other host."""
        session = self._remote.session
        if same_origin(request.url, self._remote.host.origin):
            async with session.request(request) as response:
                yield response
            return
        async with session.client.send(request) as response:
            if not 200 <= response.status < 300:
                raise await failure_of(response)
            yield response

    def _next(self, url: str, response: aiohttp.ClientResponse) -> str:
        location = response.headers.get("Location")
        if not location:
            raise RegistryError("the registry does not say where to upload to")
        target = urljoin(url, location)
        self._host_of(target)
        return target

    def _host_of(self, location: str) -> Host:
        host = self._remote.host
        if same_origin(location, host.origin):
            return host
        try:
            return self._remote.session.client.host_of(location, plain=host.scheme == "http")
        except InvalidParameter as error:
            raise RegistryError(f"upload location refused: {error}") from None


class _Body:
    """Pieces on their way through aiohttp; each moves the deadline.

    aiohttp's writer may be in the middle of a piece when the request fails, and forgets what it reads from, so that
    files would stay open until the next collection of garbage: whoever made this closes it.
    """

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], timeout: asyncio.Timeout, silence: float
    ) -> None:
        self._pieces, self._timeout, self._silence = pieces, timeout, silence
        self._reading = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> _Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        async with self._reading:
            await self._pieces.aclose()

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        async with self._reading:
            if self._closed:  # an end would be taken for the end of the blob
                raise ConnectionError("the upload has been given up")
            self._move_deadline()
            try:
                return await anext(self._pieces)
            finally:
                self._move_deadline()

    def _move_deadline(self) -> None:
        if not self._closed:
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._silence)
