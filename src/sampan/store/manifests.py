"""Manifests and configs of images that are made here, and media types of their layers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import Digest, parse_digest
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


def layers_of(raw_manifest: bytes) -> list[LayerBlob]:
    """The layers of a manifest, Docker's media types in OCI's words. Raises InvalidParameter."""
    found = []
    for layer in spec.parse_manifest(raw_manifest).layers:
        media_type = layer.media_type
        if media_type.startswith(spec.DOCKER_LAYER):
            media_type = spec.OCI_LAYER + media_type[len(spec.DOCKER_LAYER) :].replace(".", "+")
        found.append(LayerBlob(Blob(parse_digest(layer.digest), layer.size), media_type))
    return found


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


def encode_child(
    parent: bytes,
    config: ContainerConfig,
    diff: Digest | None,
    *,
    author: str,
    message: str,
    created_by: str,
    created: str,
) -> bytes:
    """The config blob of what was committed on top of the image with the config `parent`; without `diff` nothing was
    written. `created` is RFC 3339."""
    document: dict[str, Any] = msgspec.json.decode(parent)
    kept = {key: document[key] for key in _INHERITED if document.get(key)}
    step: dict[str, Any] = {"created": created}
    if author:
        step["author"] = author
    step["created_by"] = created_by
    if message:
        step["comment"] = message
    if diff is None:
        step["empty_layer"] = True
    below = spec.parse_config(parent).rootfs.diff_ids
    return spec.encode(
        kept
        | ({"author": author} if author else {})
        | ({"comment": message} if message else {})
        | {
            "config": _image_config(config),
            "created": created,
            "history": [*(document.get("history") or []), step],
            "rootfs": {"type": "layers", "diff_ids": [*below, *([diff] if diff else [])]},
        }
    )


_INHERITED = ("architecture", "os", "variant", "os.version", "os.features")


def _image_config(config: ContainerConfig) -> dict[str, Any]:
    """What an image says; the rest of a container's config is the container's own affair."""
    body: dict[str, Any] = msgspec.to_builtins(config)
    return {key: body[key] for key in _IMAGE_CONFIG if body.get(key)}


_IMAGE_CONFIG = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Healthcheck", "ArgsEscaped", "Volumes"),
    *("WorkingDir", "OnBuild", "Labels", "StopSignal", "StopTimeout", "Shell"),
)
