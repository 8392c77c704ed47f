"""`docker load`: images from an archive, as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING, Any

from sampan.store.images import Image

if TYPE_CHECKING:
    from sampan.store.store import Store


async def load(
    store: Store,
    chunks: AsyncIterable[bytes],
    progress: Callable[[dict[str, Any]], Any],
    *,
    quiet: bool,
) -> list[Image]:
    raise NotImplementedError
