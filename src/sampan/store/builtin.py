"""The built-in image `hello-world:latest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sampan.store.store import Store


async def install(store: Store) -> None:
    """Make `hello-world:latest` once in the life of a data root, so that an `rmi` stays."""
