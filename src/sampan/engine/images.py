"""Images as the API sees them: the store does the work, the engine knows which containers use them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from sampan.engine import filters as rules
from sampan.engine import times
from sampan.engine.filters import Filters
from sampan.engine.records import ContainerRecord, State
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound
from sampan.spec.patterns import path_match
from sampan.spec.platform import Platform
from sampan.spec.reference import Reference, parse
from sampan.store import save
from sampan.store.disk import disk_told
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
    """Newest first, each with the names that fit. `everything`: those too that are only parts of others.

    Raises InvalidParameter, NotFound (before, since)."""
    filters = filters or {}
    rules.check_filters(filters, ACCEPTED)
    found = services.store.images.list()
    for key in ("before", "since"):
        for ref in filters.get(key, ()):
            limit = created_of(services.store.images.resolve(ref))
            found = [image for image in found if _beside(key, created_of(image), limit)]
    for text in filters.get("until", ()):
        limit = until(services, text)
        found = [image for image in found if created_of(image) < limit]
    dangling = rules.boolean(filters, "dangling")
    shown = [_with_fitting_names(image, filters.get("reference")) for image in found]
    return [
        image
        for image in shown
        if labels_fit(image, filters)
        and _is_shown(services, image, filters, dangling, everything=everything)
    ]


def _beside(key: str, created: int, limit: int) -> bool:
    return created < limit if key == "before" else created > limit


def labels_fit(image: Image, filters: Filters) -> bool:
    labels = image.config.config.labels or {}
    if not rules.labels_hold(filters, "label", labels):
        return False
    return not (filters.get("label!") and rules.label_exists(filters["label!"], labels))


def _with_fitting_names(image: Image, patterns: list[str] | None) -> Image:
    """A pattern without a tag stands for every tag."""
    if not patterns:
        return image
    fitting = [name for name in image.names if _fits(parse(name), patterns)]
    return image._replace(names=tuple(fitting))


def _fits(name: Reference, patterns: list[str]) -> bool:
    texts = (name.familiar(), name.familiar_name)
    return any(path_match(pattern, text) for pattern in patterns for text in texts)


def _is_shown(
    services: Services,
    image: Image,
    filters: Filters,
    dangling: bool | None,
    *,
    everything: bool,
) -> bool:
    """moby's rules: what has no name is dangling unless an image was made of it."""
    if image.names:
        return not (dangling and image.repo_tags)
    if filters.get("reference") or dangling is False:
        return False
    is_part = bool(services.store.images.children(image.id))
    return not is_part or (everything and not dangling)


def until(services: Services, text: str) -> int:
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
    with disk_told():
        image = await services.store.import_rootfs(
            chunks, reference=reference, changes=changes or (), message=message, platform=platform
        )
    tell(services, "import", image.id, reference)
    return image


async def load_images(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    quiet: bool,
    platforms: Sequence[Platform] = (),
    progress: Callable[[dict[str, Any]], Any],
) -> None:
    """`docker load`: `progress` gets JSON messages ({"stream": …}) while it goes. Raises InvalidParameter, NotFound."""
    with disk_told():
        loaded = await services.store.load(chunks, progress, quiet=quiet, platforms=platforms)
    for image in loaded:
        tell(services, "load", image.id, image.id)


def check_platform(image: Image, name: str, wanted: Sequence[Platform]) -> None:
    """An image is for one platform here; whoever asks for another one must not get this one. Raises NotFound."""
    config = image.config
    actual = Platform(config.os or "linux", config.architecture, config.variant)
    if wanted and not any(platform.runs(actual) for platform in wanted):
        raise NotFound(
            f"image with reference {name} was found but its platform ({actual}) does not match the specified "
            f"platform ({wanted[0]})"
        )


async def tag_image(services: Services, ref: str, *, repo: str, tag: str) -> None:
    """Raises NotFound, InvalidParameter."""
    image = services.store.tag(ref, repo=repo, tag=tag)
    name = parse(f"{repo}:{tag}" if tag else repo).familiar()
    tell(services, "tag", image.id, name)


async def delete_image(
    services: Services, ref: str, *, force: bool = False, prune: bool = True
) -> Deleted:
    """Raises NotFound, Conflict (in use)."""
    image = services.store.images.resolve(ref)
    parents = {image.id, *(parent.id for parent in _ancestors(services, image))}
    records = services.store.remove_image(ref, uses=uses(services), force=force, prune=prune)
    for done in records:
        if "Untagged" in done:
            tell(services, "untag", image.id, image.id)
        elif done["Deleted"] in parents:
            tell(services, "delete", done["Deleted"], done["Deleted"])
    return Deleted(tuple(records))


def uses(services: Services) -> dict[str, list[Use]]:
    """Which containers were made from which image."""
    found: dict[str, list[Use]] = {}
    for record in services.containers.all():
        running = record.state.alive or record.state is State.RESTARTING
        for image_id in images_of(record):
            found.setdefault(image_id, []).append(Use(record.id, running))
    return found


def _ancestors(services: Services, image: Image) -> Iterator[Image]:
    found = services.store.images.get(image.parent) if image.parent else None
    while found is not None:
        yield found
        found = services.store.images.get(found.parent) if found.parent else None


def save_images(
    services: Services, names: Sequence[str], *, platforms: Sequence[Platform] = ()
) -> AsyncGenerator[bytes, None]:
    """`docker save`: one archive of all of them, each of which must be for one of `platforms` if there are any.

    Raises NotFound, InvalidParameter; the stream raises OSError, SampanError."""
    if not names:
        raise InvalidParameter("no image to save was named")
    chosen = save.choose(services.store, names)
    for saved in chosen:
        shown = [reference.familiar() for reference in saved.references]
        check_platform(saved.image, shown[0] if shown else saved.image.id, platforms)
        tell(services, "save", saved.image.id, saved.image.id)
    return _archive(services, chosen)


async def _archive(services: Services, chosen: list[save.Saved]) -> AsyncGenerator[bytes, None]:
    with services.store.leases.open() as lease:
        async with aclosing(save.save(services.store, chosen, lease)) as pieces:
            async for piece in pieces:
                yield piece


def tell(services: Services, action: str, image_id: str, name: str) -> None:
    labels: dict[str, str] = {}
    image = services.store.images.get(image_id)
    if image is not None:
        labels = dict(image.config.config.labels or {})
    services.events.emit("image", action, image_id, {**labels, "name": name})
