"""A repository on one registry: manifests, blobs and tags, for reading. The writing side is `upload.py`.

Bytes are handed on as they came; `manifests.py` says what they are, the store whether they are what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

import aiohttp
import msgspec

from sampan.distribution.client import Request, same_origin
from sampan.distribution.failures import Cut, RegistryError
from sampan.distribution.session import Session
from sampan.errors import InvalidParameter, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, parse_digest
from sampan.spec.reference import check_tag

SIGNED_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
ACCEPT = ", ".join(
    (
        *(spec.DOCKER_MANIFEST, spec.DOCKER_INDEX, spec.OCI_MANIFEST, spec.OCI_INDEX),
        f"{SIGNED_SCHEMA1}; q=0.5",  # only to say clearly that it is too old
    )
)
_TAGS_LIMIT = 4 << 20  # bytes of one page
_PAGES = 1000
_TAGS = 50_000
_NEXT = re.compile(r'\s*<([^>]*)>\s*;.*\brel="?next"?')


class Answered(NamedTuple):
    """A manifest or an index as it came."""

    raw: bytes
    content_type: str  # without parameters, lower case; may be empty
    digest: str  # what the registry says in Docker-Content-Digest; may be empty


class Remote:
    """`name` is the repository's path there."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.host = session.host

    def url(self, rest: str) -> str:
        return self.host.url(f"{self.name}/{rest}")

    async def head_manifest(self, tag_or_digest: str) -> Digest | None:
        """What a tag means there, when the registry says so. Raises RegistryError, AuthFailed, Unreachable."""
        request = Request("HEAD", self._manifest_url(tag_or_digest), self.host, {"Accept": ACCEPT})
        try:
            response, _ = await self.session.document(request, 0)
        except RegistryError as error:
            if error.http_status in (401, 429) or error.http_status >= 500:
                raise
            return None  # a GET has a body that says why
        try:
            return parse_digest(response.headers.get("Docker-Content-Digest", ""))
        except InvalidParameter:
            return None

    async def get_manifest(self, tag_or_digest: str) -> Answered:
        """Raises RegistryError, Unreachable, AuthFailed."""
        request = Request("GET", self._manifest_url(tag_or_digest), self.host, {"Accept": ACCEPT})
        response, raw = await self.session.document(request, spec.DOCUMENT_LIMIT)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Answered(raw, kind, response.headers.get("Docker-Content-Digest", ""))

    async def get_document(self, digest: Digest, limit: int) -> bytes:
        """A small blob, whole and unverified."""
        _, raw = await self.session.document(self._blob_request("GET", digest), limit)
        return raw

    async def has_blob(self, digest: Digest) -> bool:
        """Raises RegistryError unless the answer is yes or no."""
        try:
            await self.session.document(self._blob_request("HEAD", digest), 0)
        except RegistryError as error:
            if error.http_status == 404:
                return False
            raise
        return True

    @asynccontextmanager
    async def open_blob(self, digest: Digest, size: int, offset: int) -> AsyncIterator[BlobStream]:
        """The bytes of a blob from `offset` on. Raises RegistryError, Unreachable."""
        request = self._blob_request("GET", digest, offset)
        async with self.session.request(request) as response:
            yield BlobStream(response, _skip(response, size, offset))

    async def tags(self) -> list[str]:
        """Every tag, page by page. Raises RegistryError."""
        found: list[str] = []
        url: str | None = self.url("tags/list")
        for _ in range(_PAGES):
            if url is None:
                return found
            response, body = await self.session.document(
                Request("GET", url, self.host), _TAGS_LIMIT
            )
            found += _parse_tags(body)
            url = self._next(url, response)
            if len(found) > _TAGS:
                break
        raise RegistryError(f"{self.name} has too many tags")

    def _next(self, url: str, response: aiohttp.ClientResponse) -> str | None:
        match = _NEXT.match(response.headers.get("Link", ""))
        target = urljoin(url, match[1]) if match else None
        if target is not None and not same_origin(target, self.host.origin):
            raise RegistryError("the next page of tags is on another host")
        return target

    def _manifest_url(self, tag_or_digest: str) -> str:
        return self.url(f"manifests/{tag_or_digest}")

    def _blob_request(self, method: str, digest: Digest, offset: int = 0) -> Request:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        document = offset == 0 and method == "HEAD"
        return Request(method, self.url(f"blobs/{digest}"), self.host, headers, document=document)


class BlobStream:
    """`read()` until it is empty; the beginning that is here already is passed over."""

    def __init__(self, response: aiohttp.ClientResponse, skip: int) -> None:
        self._response = response
        self._skip = skip

    async def read(self) -> bytes:
        while True:
            piece = await self._response.content.readany()
            if not self._skip or not piece:
                return piece
            skipped = min(self._skip, len(piece))
            self._skip -= skipped
            if len(piece) > skipped:
                return piece[skipped:]


_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


def _skip(response: aiohttp.ClientResponse, size: int, offset: int) -> int:
    """How many bytes of this answer come before `offset`. Raises RegistryError when it is another blob."""
    length = response.content_length
    if response.status == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) > offset or match[3] not in ("*", str(size)):
            raise RegistryError("the registry answers with another range than was asked for")
        return offset - int(match[1])
    if response.status != 200:
        raise RegistryError(f"received unexpected HTTP status: {response.status} {response.reason}")
    if length is not None and length != size:
        raise RegistryError(f"the registry has {length} bytes where the manifest says {size}")
    return offset


def cut(received: int, size: int) -> Cut:
    return Cut(f"unexpected EOF after {received} of {size} bytes")


def _parse_tags(body: bytes) -> list[str]:
    try:
        document = msgspec.json.decode(body)
        tags = document.get("tags") or []
        for tag in tags:
            check_tag(tag)
    except (ValueError, RecursionError, AttributeError, TypeError, SampanError):
        raise RegistryError("the registry's list of tags is malformed") from None
    return list(tags)


def with_query(url: str, **parameters: str) -> str:
    """`url` with more parameters behind those it has, which stay as they are: they may be signed."""
    more = urlencode(parameters, quote_via=quote)
    parts = urlsplit(url)
    return parts._replace(query="&".join(part for part in (parts.query, more) if part)).geturl()
