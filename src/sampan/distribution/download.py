"""`docker import URL`: a root file system from wherever it lies, which need not be a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from sampan.distribution.failures import from_exception
from sampan.distribution.progress import Progress, status
from sampan.errors import InvalidParameter

PIECE = 256 << 10


async def download(source: str, progress: Progress) -> AsyncIterator[bytes]:
    """The root file system at a URL. Raises InvalidParameter."""
    url = source if "://" in source else f"http://{source}"
    if not url.startswith(("http://", "https://")):
        raise InvalidParameter(f"unsupported protocol scheme in {url!r}")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url) as response,
        ):
            if response.status >= 400:
                raise InvalidParameter(
                    f"failed to GET {url} with status {response.status} {response.reason}"
                )
            progress(status(f"Downloading from {url}"))
            async for piece in response.content.iter_chunked(PIECE):
                yield piece
    except (aiohttp.ClientError, ValueError, TimeoutError) as error:
        raise InvalidParameter(str(from_exception("GET", url, error))) from None
