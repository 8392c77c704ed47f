"""`docker import`: a root file system as a tar stream becomes an image of one layer.

The stream goes two ways at once: into a blob, and through a pipe to the worker that unpacks it. The bytes
stay as they came: gzip and zstd are layers of a registry already, and a plain tar is one too
(`application/vnd.oci.image.layer.v1.tar`), whose digest is its DiffID. Compressing would take three times
as long as all the rest and buy nothing until a push, which may do it then. Other compressions have
no media type: what the worker reads from xz and bzip2 is stored plain.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterable, Sequence
from typing import TYPE_CHECKING

from sampan.errors import InvalidParameter
from sampan.spec import dockerfile, image, platform
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import Digest, digest_of
from sampan.spec.reference import Reference, parse
from sampan.store import layer_types
from sampan.store.content import Blob, Ingest
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.pipe import PipeWriter
from sampan.store.unpack import Unpacked

if TYPE_CHECKING:
    from sampan.store.store import Store


async def import_rootfs(
    store: Store,
    chunks: AsyncIterable[bytes],
    *,
    reference: str,
    changes: Sequence[str],
    message: str,
    platform: str,
) -> Image:
    raise NotImplementedError


def target_reference(repo: str, tag: str) -> Reference:
    """The name that `repo` and `tag` of a request make. Raises InvalidParameter."""
    reference = parse(f"{repo}:{tag}" if tag and "@" not in repo else repo)
    if reference.digest is not None:
        raise InvalidParameter("refusing to create a tag with a digest reference")
    return reference
