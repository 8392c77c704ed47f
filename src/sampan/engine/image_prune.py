"""`docker image prune`: images without a name, or with `dangling=false` all that no container was made from."""

from __future__ import annotations

from sampan.engine import disk_usage, images
from sampan.engine import filters as rules
from sampan.engine.services import Services
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.store.images import Image

ACCEPTED = frozenset(("dangling", "label", "label!", "until"))


async def prune_images(
    services: Services, filters: dict[str, list[str]]
) -> tuple[list[dict[str, str]], int]:
    """What was done, as a removal says it, and the bytes of the disk that are free now.

    Raises InvalidParameter for a filter that there is not."""
    rules.check_filters(filters, ACCEPTED)
    dangling = rules.boolean(filters, "dangling")
    limit = _until(services, filters)
    before = await sizes(services)
    done: list[dict[str, str]] = []
    for image in services.store.images.list():
        if images.labels_fit(image, filters) and (
            limit is None or images.created_of(image) <= limit
        ):
            done += await _prune(services, image, dangling=dangling is not False)
    freed = before - await sizes(services) if done else 0
    services.events.emit("image", "prune", "", {"reclaimed": str(freed)})
    return done, freed


async def _prune(services: Services, image: Image, *, dangling: bool) -> list[dict[str, str]]:
    if images.uses(services).get(image.id) or services.store.images.get(image.id) is None:
        return []
    if dangling and image.repo_tags:
        return []
    if not image.names and services.store.images.children(image.id):
        return []  # it goes with the last of them
    done: list[dict[str, str]] = []
    for name in image.names or (image.id,):
        try:
            done += (await images.delete_image(services, name)).records
        except (Conflict, NotFound):  # somebody was faster
            continue
    return done


def _until(services: Services, filters: dict[str, list[str]]) -> int | None:
    texts = filters.get("until")
    if not texts:
        return None
    if len(texts) > 1:
        raise InvalidParameter("more than one until filter specified")
    return images.until(services, texts[0])


async def sizes(services: Services) -> int:
    """Bytes of the disk that all images take."""
    layers, blobs = await disk_usage.part_sizes(services)
    return sum(layers.values()) + sum(blobs.values())
