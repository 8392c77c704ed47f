from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sampan.engine.services import Services


@dataclass(frozen=True, slots=True)
class Deleted:
    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def list_images(
    services: Services, *, everything: bool = False, filters: dict[str, list[str]] | None = None
) -> list[Any]:
    """`store.Image`s, newest first."""
    raise NotImplementedError


def inspect_image(services: Services, ref: str) -> Any:
    """The `store.Image`. Raises NotFound."""
    raise NotImplementedError


def count_containers(services: Services, image_id: str) -> int:
    """How many containers use the image."""
    raise NotImplementedError


async def import_image(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    reference: str = "",
    changes: list[str] | None = None,
    message: str = "",
    platform: str = "",
) -> Any:
    """A root file system as a tar stream becomes an image; the `store.Image`. `reference` is `repo[:tag]`."""
    raise NotImplementedError


async def load_images(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    quiet: bool,
    progress: Callable[[dict[str, Any]], Any],
) -> None:
    """`docker load`: `progress` gets JSON messages ({"stream": …}, {"status": …}) while it goes."""
    raise NotImplementedError


async def tag_image(services: Services, ref: str, *, repo: str, tag: str) -> None:
    raise NotImplementedError


async def delete_image(
    services: Services, ref: str, *, force: bool = False, prune: bool = True
) -> Deleted:
    """Raises NotFound, Conflict (in use)."""
    raise NotImplementedError
