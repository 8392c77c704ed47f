"""`docker pull`: images from a registry, or the news that they are here."""

from __future__ import annotations

from sampan.distribution.credentials import Credentials
from sampan.distribution.progress import Progress
from sampan.engine.registries import reference_of, tell
from sampan.engine.services import Services
from sampan.spec import platform as platforms
from sampan.store.images import Image


async def pull_image(
    services: Services,
    name: str,
    *,
    tag: str = "",
    platform: str = "",
    credentials: Credentials,
    progress: Progress,
) -> list[Image]:
    """`tag` may be a digest; without one in either place every tag is pulled. `progress` gets dockerd's messages.

    Raises InvalidParameter, NotFound, SampanError with dockerd's texts."""
    wanted = platforms.parse(platform) if platform else None
    reference = reference_of(name, tag)
    all_tags = reference.tag is None and reference.digest is None
    images = await services.distribution.pull(
        reference, wanted, credentials, progress, all_tags=all_tags
    )
    tell(services, "pull", reference, images[0] if images and not all_tags else None)
    return images
