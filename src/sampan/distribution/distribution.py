"""The door of this room: what a daemon asks of registries.

    distribution = Distribution(store, options)
    image = await distribution.pull(reference, platform, credentials, progress)
    await distribution.push(reference, credentials, progress)
    results = await distribution.search("busybox", credentials, limit=25, filters={})
    found = await distribution.inspect(reference, credentials)
    answer = await distribution.login(credentials)
    await distribution.close()

`progress` gets dockerd's JSON messages as dicts. Failures are SampanErrors with dockerd's texts. Each call may be
cancelled at any time; a pull goes on where it was when it is called again, in this daemon or its successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.distribution import hosts
from sampan.distribution.client import Client, RateLimit
from sampan.distribution.credentials import NOBODY, Credentials
from sampan.distribution.inspect import Inspected, inspect
from sampan.distribution.layers import Layers
from sampan.distribution.login import LoggedIn, log_in
from sampan.distribution.options import Options
from sampan.distribution.progress import Progress, status
from sampan.distribution.pull import Puller
from sampan.distribution.push import Pusher, Uploads
from sampan.distribution.registries import Registries
from sampan.distribution.search import SearchResult, find
from sampan.spec.platform import Platform
from sampan.spec.reference import Reference
from sampan.store.disk import disk_told
from sampan.store.images import Image
from sampan.store.store import Store


class Distribution:
    """One a daemon. Raises InvalidParameter for options that make no sense."""

    def __init__(self, store: Store, options: Options) -> None:
        hosts.check(options)
        self.options = options
        self._store = store
        self._client = Client(options)
        self._layers = Layers(store, options)
        self._uploads = Uploads(options)

    def reconfigure(self, options: Options) -> None:
        """Whatever begins from now on goes by these. Raises InvalidParameter, and then nothing has changed."""
        hosts.check(options)
        self.options = options
        self._client.options = options
        self._layers.reconfigure(options)
        self._uploads.reconfigure(options)

    async def close(self) -> None:
        """Ends idle connections; calls that are under way have been cancelled before."""
        await self._client.close()

    @property
    def rate_limits(self) -> Mapping[str, RateLimit]:
        """What registries said last about how much they still let us have, by host."""
        return self._client.rate_limits

    async def pull(
        self,
        reference: Reference,
        platform: Platform | None,
        credentials: Credentials,
        progress: Progress,
        *,
        all_tags: bool = False,
    ) -> list[Image]:
        """`docker pull`: what was pulled, in order; without `all_tags` that is one image.

        A reference without tag and digest means `latest`. Without `platform` it is this machine's.
        """
        puller = Puller(
            self._store, self._client, self._layers, credentials or NOBODY, progress, platform
        )
        before = dict(self._client.rate_limits)
        with disk_told():
            if all_tags:
                images = await puller.pull_all(reference)
            else:
                images = [await puller.pull(reference)]
        for host, limit in self._client.rate_limits.items():
            if before.get(host) != limit and (text := limit.warning(host)):
                progress(status(text))
        return images

    async def push(
        self,
        reference: Reference,
        credentials: Credentials,
        progress: Progress,
        *,
        all_tags: bool = False,
        with_index: bool = True,
    ) -> None:
        """`docker push`: one tag, or all tags that the repository has here; `with_index` of a pulled index all that
        it names, when all of it is here, else the image's own manifest."""
        pusher = Pusher(self._store, self._client, self._uploads, credentials, progress)
        with disk_told():
            await pusher.push(reference, all_tags=all_tags, with_index=with_index)

    async def search(
        self,
        term: str,
        credentials: Credentials,
        *,
        limit: int = 25,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> list[SearchResult]:
        """`docker search`: `[registry/]word`."""
        return await find(self._client, term, credentials, limit=limit, filters=filters or {})

    async def inspect(self, reference: Reference, credentials: Credentials) -> Inspected:
        """What a name means on its registry; `latest` without tag and digest. Raises NotFound, SampanError."""
        if reference.tag is None and reference.digest is None:
            reference = reference.with_tag("latest")
        return await inspect(Registries(self._client, reference, credentials), reference)

    async def login(self, credentials: Credentials) -> LoggedIn:
        """`POST /auth`: whether the registry knows the user. Raises Unauthorized, SampanError."""
        return await log_in(self._client, credentials)
