"""`docker push`: a tag, or all tags of a repository, to its registry."""

from __future__ import annotations

from sampan.distribution.credentials import Credentials
from sampan.distribution.progress import Progress
from sampan.engine.images import check_platform
from sampan.engine.registries import reference_of, tell
from sampan.engine.services import Services
from sampan.spec.platform import Platform


async def push_image(
    services: Services,
    name: str,
    *,
    tag: str = "",
    platform: Platform | None = None,
    credentials: Credentials,
    progress: Progress,
) -> None:
    """Without a tag in either place all tags of the repository go. `platform`: nothing but the manifest for it, which
    has to be what the tag names here. `progress` gets dockerd's messages.

    Raises InvalidParameter, NotFound, SampanError with dockerd's texts."""
    reference = reference_of(name, tag)
    all_tags = reference.tag is None
    if platform is not None and not all_tags:
        name = reference.familiar()
        check_platform(services.store.images.resolve(name), name, [platform])
    await services.distribution.push(
        reference, credentials, progress, all_tags=all_tags, with_index=platform is None
    )
    tell(services, "push", reference, None)
