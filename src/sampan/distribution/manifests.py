"""What a registry's answer is: verified, of one kind, and for which platform. Pure.

An answer is taken for what its Content-Type says, and its own `mediaType` has to agree (CVE-2021-41190); its digest
has to be the one that was asked for, its size what the descriptor said. Texts are Docker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sampan.distribution.remote import SCHEMA1, SIGNED_SCHEMA1, Answered
from sampan.errors import InvalidParameter, NotFound
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of, parse_digest
from sampan.spec.image import Descriptor, Index, Manifest
from sampan.spec.platform import Platform, normalise
from sampan.spec.reference import Reference

CONFIGS = frozenset((spec.DOCKER_CONFIG, spec.OCI_CONFIG))
_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
_NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
LAYERS = frozenset(
    (
        *(spec.DOCKER_LAYER, f"{spec.DOCKER_LAYER}.gzip", f"{spec.DOCKER_LAYER}.zstd"),
        *(spec.OCI_LAYER, f"{spec.OCI_LAYER}+gzip", f"{spec.OCI_LAYER}+zstd"),
        *(_FOREIGN, f"{_FOREIGN}.gzip", _NON_DISTRIBUTABLE),
        *(f"{_NON_DISTRIBUTABLE}+gzip", f"{_NON_DISTRIBUTABLE}+zstd"),
    )
)
PLAIN_LAYERS = frozenset((spec.DOCKER_LAYER, spec.OCI_LAYER))
# What proxies and old registries put on everything.
_GENERIC = frozenset(("", "application/json", "application/octet-stream", "text/plain"))


class NoMatch(NotFound):
    """Nothing in an index is for the platform."""

    def __init__(self, wanted: Platform) -> None:
        super().__init__(f"no matching manifest for {wanted} in the manifest list entries")


@dataclass(frozen=True)
class Document:
    """A verified answer: either `manifest` or `index` is there."""

    raw: bytes
    digest: Digest
    media_type: str
    manifest: Manifest | None = None
    index: Index | None = None


class _Kind(msgspec.Struct):
    media_type: str | None = msgspec.field(name="mediaType", default="")
    schema_version: int | None = msgspec.field(name="schemaVersion", default=0)


def examine(
    answered: Answered, *, digest: Digest | None = None, descriptor: Descriptor | None = None
) -> Document:
    """`digest` is what was asked for, when it was a digest; `descriptor` the entry of an index that led here.

    Raises InvalidParameter.
    """
    found = digest_of(answered.raw)
    expected = [str(digest)] if digest is not None else []
    expected += [answered.digest] if answered.digest.startswith("sha256:") else []
    if any(found != text for text in expected):
        raise InvalidParameter(
            f"manifest verification failed for digest {digest or answered.digest[:80]}"
        )
    if descriptor is not None and len(answered.raw) != descriptor.size:
        raise InvalidParameter(
            f"manifest {found} has {len(answered.raw)} bytes where the index says {descriptor.size}"
        )
    kind = _kind_of(answered)
    if descriptor is not None and descriptor.media_type != kind:
        raise _mismatch(descriptor.media_type, kind)
    if kind in spec.INDEXES:
        return Document(answered.raw, found, kind, index=spec.parse_index(answered.raw))
    return Document(answered.raw, found, kind, manifest=_manifest(answered.raw))


def _kind_of(answered: Answered) -> str:
    said = answered.content_type
    if said in (SCHEMA1, SIGNED_SCHEMA1):
        raise _too_old()
    own = _peek(answered.raw)
    if own.schema_version == 1:
        raise _too_old()
    own_kind = own.media_type or ""
    kind = own_kind if said in _GENERIC else said
    if own_kind and own_kind != kind:
        raise _mismatch(kind, own_kind)
    if kind not in spec.MANIFESTS | spec.INDEXES:
        raise InvalidParameter(
            f"unsupported manifest media type and no default available: {kind[:100]}"
        )
    return kind


def _peek(raw: bytes) -> _Kind:
    try:
        return msgspec.json.decode(raw, type=_Kind)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"invalid manifest: {error}") from None


def _mismatch(expected: str, found: str) -> InvalidParameter:
    return InvalidParameter(
        f"mediaType in manifest should be '{expected[:100]}' not '{found[:100]}'"
    )


def _too_old() -> InvalidParameter:
    return InvalidParameter(
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported: the author has to "
        "upgrade the image to the OCI Format or Docker Image manifest v2, schema 2"
    )


def _manifest(raw: bytes) -> Manifest:
    """An image's, and nothing else's: charts, plugins and signatures are no images."""
    manifest = spec.parse_manifest(raw)
    kind = manifest.config.media_type
    if kind not in CONFIGS:
        what = "plugin" if kind == "application/vnd.docker.plugin.v1+json" else "unknown"
        raise InvalidParameter(f'Encountered remote "{kind[:100]}"({what}) when fetching')
    for layer in manifest.layers:
        if layer.media_type not in LAYERS:
            raise InvalidParameter(f"unsupported layer media type {layer.media_type[:100]!r}")
    return manifest


def acceptable(wanted: Platform) -> list[Platform]:
    """What runs where `wanted` does, the best first: lower variants, and 32-bit siblings behind them.

    Source: containerd's platforms.Only.
    """
    os, architecture, variant = wanted
    if architecture == "arm":
        return [Platform(os, "arm", f"v{n}") for n in range(_number(variant, 7), 4, -1)]
    if architecture == "arm64":
        own = [Platform(os, "arm64", f"v{n}") for n in range(_number(variant, 8), 8, -1)]
        return [*own, Platform(os, "arm64"), *acceptable(Platform(os, "arm", "v8"))]
    if architecture == "amd64":
        own = [Platform(os, "amd64", f"v{n}") for n in range(_number(variant, 1), 1, -1)]
        return [*own, Platform(os, "amd64"), Platform(os, "386")]
    return [wanted]


def _number(variant: str, default: int) -> int:
    digits = variant.removeprefix("v")
    return min(int(digits), 9) if digits.isascii() and digits.isdigit() else default


def runs(wanted: Platform, platform: Platform) -> bool:
    """Whether an image for `platform` is one that `wanted` asks for."""
    return _normal(*platform) in [_normal(*other) for other in acceptable(wanted)]


def candidates(index: Index, wanted: Platform) -> list[Descriptor]:
    """The entries of an index that may lead to an image for `wanted`, the best first.

    Entries without a platform may be anything (a nested index, or a manifest that says it in its config), so
    they come last. Raises NoMatch when there is none.
    """
    order = [_normal(*platform) for platform in acceptable(wanted)]
    ranked: list[tuple[int, Descriptor]] = []
    for descriptor in index.manifests:
        if descriptor.media_type not in spec.MANIFESTS | spec.INDEXES:
            continue
        said = descriptor.platform
        if said is None or not said.os:
            ranked.append((len(order), descriptor))
        elif (found := _normal(said.os, said.architecture, said.variant)) in order:
            ranked.append((order.index(found), descriptor))
    if not ranked:
        raise NoMatch(wanted)
    return [descriptor for _, descriptor in sorted(ranked, key=lambda pair: pair[0])]


def _normal(os: str, architecture: str, variant: str) -> Platform:
    known, variant = normalise(architecture.lower(), variant.lower())
    return Platform(os.lower(), known, variant or ("v7" if known == "arm" else ""))


def blobs_of(manifest: Manifest) -> list[Digest]:
    """Config first, then the layers."""
    return [parse_digest(d.digest) for d in (manifest.config, *manifest.layers)]


def check_config(config: spec.ImageConfig, manifest: Manifest, reference: Reference) -> None:
    """Raises InvalidParameter unless the config is of this manifest, and of Linux."""
    if config.os not in ("", "linux"):
        raise InvalidParameter(
            f'image operating system "{config.os[:40]}" cannot be used on this platform: {reference.familiar()}'
        )
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise InvalidParameter("layers from manifest don't match image configuration")
