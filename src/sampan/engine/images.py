"""Images as the API sees them: the store does the work, the engine knows which containers use them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from sampan.engine import filters as rules
from sampan.engine import times
from sampan.engine.filters import Filters
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.spec.reference import parse
from sampan.store.image_remove import Use
from sampan.store.images import Image

ACCEPTED = frozenset(("before", "dangling", "label", "label!", "reference", "since", "until"))
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Deleted:
    """In the order in which it was done."""

    records: tuple[dict[str, str], ...] = ()  # {"Untagged": name} or {"Deleted": digest}

    @property
    def untagged(self) -> tuple[str, ...]:
        return tuple(record["Untagged"] for record in self.records if "Untagged" in record)

    @property
    def deleted(self) -> tuple[str, ...]:
        return tuple(record["Deleted"] for record in self.records if "Deleted" in record)


def list_images(
    services: Services, *, everything: bool = False, filters: dict[str, list[str]] | None = None
) -> list[Image]:
    """Newest first. There are no intermediate images, so `everything` makes no difference.

    Raises InvalidParameter, NotFound (before, since)."""
    filters = filters or {}
    rules.check_filters(filters, ACCEPTED)
    found = services.store.images.list()
    for key in ("before", "since"):
        for ref in filters.get(key, ()):
            limit = created_of(services.store.images.resolve(ref))
            found = [image for image in found if _beside(key, created_of(image), limit)]
    for text in filters.get("until", ()):
        limit = _until(services, text)
        found = [image for image in found if created_of(image) < limit]
    dangling = rules.boolean(filters, "dangling")
    return [image for image in found if _wanted(image, filters, dangling)]


def _beside(key: str, created: int, limit: int) -> bool:
    return created < limit if key == "before" else created > limit


def _wanted(image: Image, filters: Filters, dangling: bool | None) -> bool:
    labels = image.config.config.labels or {}
    if not rules.labels_hold(filters, "label", labels):
        return False
    if filters.get("label!") and rules.label_exists(filters["label!"], labels):
        return False
    if dangling is not None and dangling != (not image.repo_tags):
        return False
    patterns = filters.get("reference")
    return not patterns or any(
        _names(name, patterns) for name in image.repo_tags + image.repo_digests
    )


def _names(name: str, patterns: list[str]) -> bool:
    """A pattern without a tag stands for every tag."""
    bare = name.partition("@")[0]
    repository = bare.rpartition(":")[0] if ":" in bare.rpartition("/")[2] else bare
    return any(fnmatchcase(text, pattern) for pattern in patterns for text in (name, repository))


def _until(services: Services, text: str) -> int:
    """A time, or a duration before now ("24h")."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return times.from_parameter(text, name="until")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return services.clock.now() - int((hours * 3600 + minutes * 60 + seconds) * 1e9)


def created_of(image: Image) -> int:
    """Nanoseconds; 0 when the image does not say, or nonsense."""
    try:
        return times.from_text(image.created) if image.created else 0
    except ValueError:
        return 0


def inspect_image(services: Services, ref: str) -> Image:
    """Raises NotFound."""
    return services.store.images.resolve(ref)


def count_containers(services: Services, image_id: str) -> int:
    """How many containers were made from the image."""
    return sum(image_id in images_of(record) for record in services.containers.all())


def images_of(record: ContainerRecord) -> set[str]:
    """Ids: of what it was made from, and of what it mounts."""
    return {record.image_id, *(p.name for p in record.mounts if p.type == "image")}


async def import_image(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    reference: str = "",
    changes: list[str] | None = None,
    message: str = "",
    platform: str = "",
) -> Image:
    """A root file system as a tar stream becomes an image. `reference` is `repo[:tag]`, or empty.

    Raises InvalidParameter for a bad archive or change."""
    image = await services.store.import_rootfs(
        chunks, reference=reference, changes=changes or (), message=message, platform=platform
    )
    _tell(services, "import", image.id, reference)
    return image


async def load_images(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    quiet: bool,
    progress: Callable[[dict[str, Any]], Any],
) -> None:
    """`docker load`: `progress` gets JSON messages ({"stream": …}) while it goes. Raises InvalidParameter."""
    for image in await services.store.load(chunks, progress, quiet=quiet):
        _tell(services, "load", image.id, image.id)


async def tag_image(services: Services, ref: str, *, repo: str, tag: str) -> None:
    """Raises NotFound, InvalidParameter."""
    image = services.store.tag(ref, repo=repo, tag=tag)
    name = parse(f"{repo}:{tag}" if tag else repo).familiar()
    _tell(services, "tag", image.id, name)


async def delete_image(
    services: Services, ref: str, *, force: bool = False, prune: bool = True
) -> Deleted:
    """Raises NotFound, Conflict (in use)."""
    uses: dict[str, list[Use]] = {}
    for record in services.containers.all():
        running = record.state.alive or record.state is State.RESTARTING
        for image_id in images_of(record):
            uses.setdefault(image_id, []).append(Use(record.id, running))
    image = services.store.images.resolve(ref)
    records = services.store.remove_image(ref, uses=uses, force=force, prune=prune)
    for done in records:
        if "Untagged" in done:
            _tell(services, "untag", image.id, image.id)
        elif done["Deleted"] == image.id:
            _tell(services, "delete", image.id, image.id)
    return Deleted(tuple(records))


def _tell(services: Services, action: str, image_id: str, name: str) -> None:
    labels: dict[str, str] = {}
    image = services.store.images.get(image_id)
    if image is not None:
        labels = dict(image.config.config.labels or {})
    services.events.emit("image", action, image_id, {**labels, "name": name})
