"""What an archive says it holds: `manifest.json` of Docker, or `index.json` of an OCI layout.

Pure: an `Archive` in, descriptions out. Every document is bounded and every name checked before
anything is committed. Names of images: `RepoTags`, or the annotations `io.containerd.image.name` and
`org.opencontainers.image.ref.name` (when that is a whole name; skopeo writes a mere tag, too).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sampan.errors import InvalidParameter
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of, hex_of, parse_digest
from sampan.spec.image import Descriptor, ImageConfig, parse_config, parse_index, parse_manifest
from sampan.spec.platform import Platform, host, normalise
from sampan.spec.reference import Reference, parse
from sampan.store.archive import Archive

_IMAGE_LIMIT = 1000
_DEPTH_LIMIT = 4
IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


class Described(NamedTuple):
    """One image of an archive; `layers` are names of files in it, bottom first."""

    raw_config: bytes
    config: ImageConfig
    layers: list[str]
    references: list[Reference]
    raw_manifest: bytes | None


class _Entry(msgspec.Struct):
    config: str = msgspec.field(name="Config")
    repo_tags: list[str] | None = msgspec.field(name="RepoTags", default=None)
    layers: list[str] | None = msgspec.field(name="Layers", default=None)


def describe(archive: Archive) -> list[Described]:
    """The images of an archive. Raises InvalidParameter."""
    if archive.has("manifest.json"):
        return _docker(archive)
    if archive.has("index.json"):
        return _oci(archive)
    raise InvalidParameter("invalid archive: neither manifest.json nor index.json is in it")


def _docker(archive: Archive) -> list[Described]:
    raw = archive.read("manifest.json", spec.DOCUMENT_LIMIT)
    try:
        entries = msgspec.json.decode(raw, type=list[_Entry])
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"invalid manifest.json: {error}") from None
    if len(entries) > _IMAGE_LIMIT:
        raise InvalidParameter(f"manifest.json names more than {_IMAGE_LIMIT} images")
    manifests = _manifests_by_config(archive)
    described = []
    for entry in entries:
        raw_config = archive.read(entry.config, spec.DOCUMENT_LIMIT)
        layers = entry.layers or []
        config = _config(raw_config, len(layers))
        references = [_tag(text) for text in entry.repo_tags or []]
        manifest = manifests.get(digest_of(raw_config))
        described.append(Described(raw_config, config, layers, references, manifest))
    return described


def _tag(text: str) -> Reference:
    reference = parse(text, default_tag=None)
    if reference.tag is None or reference.digest is not None:
        raise InvalidParameter(f'invalid tag "{text}"')
    return reference


def _config(raw: bytes, layers: int) -> ImageConfig:
    config = parse_config(raw)
    expected = len(config.rootfs.diff_ids)
    if expected != layers:
        raise InvalidParameter(
            f"invalid manifest, layers length mismatch: expected {expected}, got {layers}"
        )
    if config.os not in ("", "linux"):
        raise InvalidParameter(f"cannot load {config.os[:40]} image on linux")
    return config


def _manifests_by_config(archive: Archive) -> dict[Digest, bytes]:
    """The manifests that an archive with both documents has in its index."""
    found: dict[Digest, bytes] = {}
    if archive.has("index.json"):
        index = parse_index(archive.read("index.json", spec.DOCUMENT_LIMIT))
        for descriptor in index.manifests:
            if descriptor.media_type in spec.MANIFESTS and archive.has(_blob_name(descriptor)):
                raw = _document(archive, descriptor)
                found[parse_digest(parse_manifest(raw).config.digest)] = raw
    return found


def _oci(archive: Archive) -> list[Described]:
    index = parse_index(archive.read("index.json", spec.DOCUMENT_LIMIT))
    described = []
    for descriptor in index.manifests:
        raw = _image_manifest(archive, descriptor, 0)
        if raw is not None:
            described.append(_oci_image(archive, raw, _references(descriptor)))
    if not described:
        raise InvalidParameter(f"no image of the archive is for {host()}")
    return described


def _oci_image(archive: Archive, raw: bytes, references: list[Reference]) -> Described:
    manifest = parse_manifest(raw)
    raw_config = _document(archive, manifest.config)
    config = _config(raw_config, len(manifest.layers))
    for layer in manifest.layers:
        _check(archive, layer)
    layers = [_blob_name(layer) for layer in manifest.layers]
    return Described(raw_config, config, layers, references, raw)


def _image_manifest(archive: Archive, descriptor: Descriptor, depth: int) -> bytes | None:
    """The manifest a descriptor leads to, through indexes, for this machine; None when it is for
    another one or is no image (an attestation)."""
    if depth > _DEPTH_LIMIT:
        raise InvalidParameter("invalid index: nested too deeply")
    if not _runs_here(descriptor):
        return None
    raw = _document(archive, descriptor)
    if descriptor.media_type in spec.MANIFESTS:
        return raw
    if descriptor.media_type not in spec.INDEXES:
        raise InvalidParameter(
            f'unsupported media type "{descriptor.media_type[:80]}" in the index'
        )
    for inner in parse_index(raw).manifests:
        found = _image_manifest(archive, inner, depth + 1)
        if found is not None:
            return found
    return None


def _runs_here(descriptor: Descriptor) -> bool:
    wanted = descriptor.platform
    if wanted is None or not wanted.os:
        return True
    return host().runs(Platform(wanted.os, *normalise(wanted.architecture, wanted.variant)))


def _references(descriptor: Descriptor) -> list[Reference]:
    annotations = descriptor.annotations or {}
    name = annotations.get(IMAGE_NAME) or annotations.get(REF_NAME) or ""
    if IMAGE_NAME not in annotations and not ("/" in name or ":" in name):
        return []  # a tag without a name
    return [parse(name)]


def _document(archive: Archive, descriptor: Descriptor) -> bytes:
    _check(archive, descriptor)
    return archive.read(_blob_name(descriptor), spec.DOCUMENT_LIMIT)


def _check(archive: Archive, descriptor: Descriptor) -> None:
    """The file is what the descriptor says, in digest and size."""
    blob = archive.blob(_blob_name(descriptor))
    if blob.digest != descriptor.digest or blob.size != descriptor.size:
        raise InvalidParameter(
            f"invalid archive: {descriptor.digest} is not what its descriptor says"
        )


def _blob_name(descriptor: Descriptor) -> str:
    return f"blobs/sha256/{hex_of(parse_digest(descriptor.digest))}"
