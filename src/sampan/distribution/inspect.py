"""`GET /distribution/NAME/json`: what a name means on its registry, and for which platforms, without fetching it."""

from __future__ import annotations

from typing import NamedTuple

from sampan.distribution import manifests
from sampan.distribution.failures import RegistryError
from sampan.distribution.manifests import Document
from sampan.distribution.registries import Registries
from sampan.distribution.remote import Remote
from sampan.distribution.resolve import get_config
from sampan.errors import Forbidden, NotFound, SampanError, Unauthorized
from sampan.spec import image as spec
from sampan.spec.image import Descriptor
from sampan.spec.platform import Platform
from sampan.spec.reference import Reference

_KINDS: dict[int, type[SampanError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}


class Inspected(NamedTuple):
    descriptor: Descriptor
    platforms: list[Platform]


async def inspect(registries: Registries, reference: Reference) -> Inspected:
    """Raises NotFound, Unauthorized, Forbidden as the registry says; SampanError."""

    async def look(remote: Remote) -> Inspected:
        answered = await remote.get_manifest(str(reference.digest or reference.tag))
        document = manifests.examine(answered, digest=reference.digest)
        descriptor = Descriptor(
            media_type=document.media_type, digest=document.digest, size=len(document.raw)
        )
        return Inspected(descriptor, await _platforms(remote, document))

    try:
        return (await registries.first(look))[1]
    except RegistryError as error:
        raise _KINDS.get(error.http_status, SampanError)(str(error)) from error


async def _platforms(remote: Remote, document: Document) -> list[Platform]:
    """As the index says, or the config of a lone manifest."""
    if document.index is not None:
        said = (entry.platform for entry in document.index.manifests)
        return [Platform(p.os, p.architecture, p.variant) for p in said if p is not None]
    assert document.manifest is not None
    config = spec.parse_config(await get_config(remote, document.manifest))
    if not (config.os or config.architecture):
        return []
    return [Platform(config.os, config.architecture, config.variant)]
