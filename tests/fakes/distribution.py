"""The registry client that has no network: records what it is asked, answers what a test says."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan.distribution.credentials import Credentials
from sampan.distribution.inspect import Inspected
from sampan.distribution.login import LoggedIn
from sampan.distribution.progress import Message, Progress
from sampan.distribution.search import SearchResult
from sampan.spec.image import DOCKER_INDEX, Descriptor
from sampan.spec.platform import Platform
from sampan.spec.reference import Reference
from sampan.store.images import Image

DIGEST = "sha256:" + "ab" * 32


class FakeDistribution:
    """`messages` are reported first, then `failure` is raised, or `gate` waited for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.credentials = Credentials()
        self.messages: list[Message] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.cancelled = asyncio.Event()
        self.images: list[Image] = []

    async def _work(self, progress: Progress, credentials: Credentials, *call: Any) -> None:
        self.calls.append((call[0], call[1:]))
        self.credentials = credentials
        for message in self.messages:
            progress(message)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.failure is not None:
            raise self.failure

    async def pull(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Credentials,
        progress: Progress,
        *,
        all_tags: bool = False,
    ) -> list[Image]:
        await self._work(progress, credentials, "pull", reference.familiar(), platform, all_tags)
        return self.images

    async def push(
        self,
        reference: Reference,
        credentials: Credentials,
        progress: Progress,
        *,
        all_tags: bool = False,
        with_index: bool = True,
    ) -> None:
        await self._work(progress, credentials, "push", reference.familiar(), all_tags)

    async def search(
        self, term: str, credentials: Credentials, *, limit: int, filters: Any
    ) -> list[SearchResult]:
        await self._work(lambda _: None, credentials, "search", term, limit, filters)
        return [SearchResult(star_count=3, is_official=True, name="busybox", description="Base")]

    async def inspect(self, reference: Reference, credentials: Credentials) -> Inspected:
        await self._work(lambda _: None, credentials, "inspect", reference.familiar())
        descriptor = Descriptor(media_type=DOCKER_INDEX, digest=DIGEST, size=7)
        return Inspected(descriptor, [Platform("linux", "arm", "v7"), Platform("linux", "amd64")])

    async def login(self, credentials: Credentials) -> LoggedIn:
        await self._work(lambda _: None, credentials, "login", credentials.server_address)
        return LoggedIn("Login Succeeded", "token")
