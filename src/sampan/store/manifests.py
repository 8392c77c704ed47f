"""Manifests and configs of images that are made here, and media types of their layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import Digest
from sampan.spec.platform import Platform
from sampan.store.content import Blob

# Other compressions have no media type, so their content is stored plain.
_SUFFIXES = {"": "", "gzip": "+gzip", "zstd": "+zstd"}


class LayerBlob(NamedTuple):
    blob: Blob
    media_type: str


def has_media_type(compression: str) -> bool:
    return compression in _SUFFIXES


def layer_blob(blob: Blob, compression: str) -> LayerBlob:
    """A layer of a manifest. Raises InvalidParameter for a compression without a media type."""
    if compression not in _SUFFIXES:
        raise InvalidParameter(f"layers compressed with {compression} are not supported")
    return LayerBlob(blob, spec.OCI_LAYER + _SUFFIXES[compression])


def encode_manifest(config: Blob, layers: Sequence[LayerBlob]) -> bytes:
    """An OCI image manifest."""
    manifest = spec.Manifest(
        schema_version=2,
        media_type=spec.OCI_MANIFEST,
        config=spec.Descriptor(media_type=spec.OCI_CONFIG, digest=config.digest, size=config.size),
        layers=[
            spec.Descriptor(
                media_type=layer.media_type, digest=layer.blob.digest, size=layer.blob.size
            )
            for layer in layers
        ],
    )
    return spec.encode(manifest)


def encode_config(
    config: ContainerConfig,
    diff_ids: Sequence[Digest],
    *,
    platform: Platform,
    message: str,
    created: str,
) -> bytes:
    """The config blob of an image that was made in one step; `created` is RFC 3339."""
    document: dict[str, Any] = {
        "architecture": platform.architecture,
        "comment": message,
        "config": {key: value for key, value in msgspec.to_builtins(config).items() if value},
        "created": created,
        "history": [{"created": created, "comment": message}],
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    if platform.variant:
        document["variant"] = platform.variant
    return spec.encode(document)
