"""`docker search`: words in a registry's list of repositories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.distribution.credentials import Credentials
from sampan.distribution.search import SearchResult
from sampan.engine.services import Services


async def search_images(
    services: Services,
    term: str,
    *,
    limit: int = 0,
    filters: Mapping[str, Sequence[str]],
    credentials: Credentials,
) -> list[SearchResult]:
    """`[registry/]word`; a limit of 0 is dockerd's default. Raises InvalidParameter, SampanError."""
    return await services.distribution.search(term, credentials, limit=limit, filters=filters)
