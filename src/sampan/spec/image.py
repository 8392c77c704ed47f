"""Images as documents: descriptors, manifests, indexes and the config, of OCI and of Docker alike.

Decoders are strict about what sampan relies on (digests, sizes, the layers' DiffIDs) and tolerant
about the rest; whoever stores an image keeps the raw bytes beside what is parsed here.
Sources: OCI image-spec v1.1 (manifest, image-index, config, descriptor), Docker image spec v1.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from sampan.errors import InvalidParameter
from sampan.spec.container import ContainerConfig
from sampan.spec.digest import PREFIX, Digest, parse_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
INDEXES = frozenset((OCI_INDEX, DOCKER_INDEX))

DOCUMENT_LIMIT = 4 << 20  # bytes of a manifest, an index or a config, as registries have it
LAYER_LIMIT = 512  # the kernel takes 500 lower layers, Docker 127
INDEX_LIMIT = 256

_Document = TypeVar("_Document", bound=Struct)


class Platform(Struct, kw_only=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = field(default="", name="os.version")


class Descriptor(Struct, kw_only=True, omit_defaults=True):
    media_type: str = field(default="", name="mediaType")
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(Struct, kw_only=True, omit_defaults=True):
    schema_version: int = field(default=0, name="schemaVersion")
    media_type: str = field(default="", name="mediaType")
    config: Descriptor
    layers: list[Descriptor]


class Index(Struct, kw_only=True, omit_defaults=True):
    schema_version: int = field(default=0, name="schemaVersion")
    media_type: str = field(default="", name="mediaType")
    manifests: list[Descriptor]


class RootFS(Struct, kw_only=True):
    type: str = "layers"
    diff_ids: list[str] = field(default_factory=list)


class History(Struct, kw_only=True, omit_defaults=True):
    created: str = ""
    author: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(Struct, kw_only=True):
    """The config blob; its digest is the image's id. `created` is the text as it stands there."""

    architecture: str = ""
    variant: str = ""
    os: str = ""
    os_version: str = field(default="", name="os.version")
    created: str = ""
    author: str = ""
    comment: str = ""
    container: str = ""
    docker_version: str = ""
    parent: str = ""
    config: ContainerConfig = field(default_factory=ContainerConfig)
    rootfs: RootFS = field(default_factory=RootFS)
    history: list[History] = field(default_factory=list)


def parse_manifest(raw: bytes) -> Manifest:
    """Raises InvalidParameter; digests and sizes of the result are valid."""
    document = _decode(raw, Manifest)
    if "manifests" in document or "fsLayers" in document:  # CVE-2021-41190: two meanings in one
        raise InvalidParameter("invalid manifest: ambiguous or not an image manifest")
    manifest = _convert(document, Manifest)
    if len(manifest.layers) > LAYER_LIMIT:
        raise InvalidParameter(f"invalid manifest: more than {LAYER_LIMIT} layers")
    check_descriptors([manifest.config, *manifest.layers])
    return manifest


def parse_index(raw: bytes) -> Index:
    """Raises InvalidParameter; digests and sizes of the result are valid."""
    document = _decode(raw, Index)
    if "layers" in document or "config" in document:
        raise InvalidParameter("invalid index: ambiguous or not an image index")
    index = _convert(document, Index)
    if len(index.manifests) > INDEX_LIMIT:
        raise InvalidParameter(f"invalid index: more than {INDEX_LIMIT} manifests")
    check_descriptors(index.manifests)
    return index


def parse_config(raw: bytes) -> ImageConfig:
    """Raises InvalidParameter; the DiffIDs of the result are valid digests."""
    config = _convert(_decode(raw, ImageConfig), ImageConfig)
    if config.rootfs.type not in ("", "layers"):
        raise InvalidParameter(f"unsupported rootfs type: {config.rootfs.type[:80]}")
    if len(config.rootfs.diff_ids) > LAYER_LIMIT:
        raise InvalidParameter(f"invalid image config: more than {LAYER_LIMIT} layers")
    for diff_id in config.rootfs.diff_ids:
        parse_digest(diff_id)
    return config


def check_descriptors(descriptors: Iterable[Descriptor]) -> None:
    for descriptor in descriptors:
        parse_digest(descriptor.digest)
        if not 0 <= descriptor.size < 1 << 62:
            raise InvalidParameter(f"invalid size {descriptor.size} of {descriptor.digest}")


def chain_ids(diff_ids: Iterable[str]) -> list[Digest]:
    """The ChainID of every layer, bottom first (OCI image-spec, config.md, "Layer ChainID")."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        text = f"{chain[-1]} {diff_id}" if chain else ""
        chain.append(
            Digest(PREFIX + hashlib.sha256(text.encode()).hexdigest()) if text else Digest(diff_id)
        )
    return chain


def encode(document: Any) -> bytes:
    """Compact JSON of one of the structs above, or of a plain value."""
    return msgspec.json.encode(document)


def _decode(raw: bytes, kind: type[Struct]) -> dict[str, Any]:
    if len(raw) > DOCUMENT_LIMIT:
        raise InvalidParameter(f"{kind.__name__.lower()} is larger than {DOCUMENT_LIMIT} bytes")
    try:
        document = _without_nulls(msgspec.json.decode(raw))
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise InvalidParameter(f"invalid {kind.__name__.lower()}: {error}") from None
    if not isinstance(document, dict):
        raise InvalidParameter(f"invalid {kind.__name__.lower()}: expected an object")
    return document


def _convert(document: dict[str, Any], kind: type[_Document]) -> _Document:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid {kind.__name__.lower()}: {error}") from None


def _without_nulls(value: Any) -> Any:
    """Null means the zero value to Go, on any level; msgspec would refuse it."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
