"""Images as registries have them, made of bytes: blobs by digest, manifests, indexes.

image = make_image([archive(…), archive(…)])         # gzip layers, a config that fits, Docker's manifest
index = make_index([(image, "linux/amd64")])
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of
from sampan.spec.platform import host
from tests.archives import archive, directory, file


@dataclass
class Document:
    """What is asked for by tag or digest, and the blobs it needs."""

    raw: bytes
    media_type: str
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    children: list[Document] = field(default_factory=list)
    config: bytes = b""
    layers: list[bytes] = field(default_factory=list)

    @property
    def digest(self) -> Digest:
        return digest_of(self.raw)

    @property
    def id(self) -> Digest:
        return digest_of(self.config)

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    def changed(self, **changes: Any) -> Document:
        """The same blobs under another manifest."""
        raw = json.dumps({**self.document, **changes}).encode()
        kind = changes.get("mediaType") or self.media_type
        return Document(raw, kind, self.blobs, self.children, self.config, self.layers)


def compressed(data: bytes) -> bytes:
    """The same bytes each time."""
    return gzip.compress(data, 1, mtime=0)


def plain_layer(number: int, size: int = 1000) -> bytes:
    """A tar with a file that does not compress."""
    import random

    content = random.Random(number).randbytes(size)
    return archive(directory(f"layer{number}"), file(f"layer{number}/file", content))


def make_config(diffs: Sequence[bytes | str], platform: str = "", **more: Any) -> bytes:
    os, architecture, *variant = (platform or str(host())).split("/")
    document = {
        "os": os,
        "architecture": architecture,
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [diff if isinstance(diff, str) else digest_of(diff) for diff in diffs],
        },
        **({"variant": variant[0]} if variant else {}),
        **more,
    }
    return json.dumps(document).encode()


def make_image(
    plain: Sequence[bytes],
    *,
    oci: bool = False,
    compress: Callable[[bytes], bytes] = compressed,
    layer_type: str = "",
    platform: str = "",
    config: bytes | None = None,
) -> Document:
    """`plain` are the layers' tars, bottom first."""
    config = make_config(plain, platform) if config is None else config
    layers = [compress(data) for data in plain]
    kind = layer_type or (f"{spec.OCI_LAYER}+gzip" if oci else f"{spec.DOCKER_LAYER}.gzip")
    document = {
        "schemaVersion": 2,
        "mediaType": spec.OCI_MANIFEST if oci else spec.DOCKER_MANIFEST,
        "config": described(config, spec.OCI_CONFIG if oci else spec.DOCKER_CONFIG),
        "layers": [described(layer, kind) for layer in layers],
    }
    blobs = {digest_of(data): data for data in [config, *layers]}
    raw = json.dumps(document).encode()
    return Document(raw, str(document["mediaType"]), blobs, config=config, layers=layers)


def make_index(entries: Sequence[tuple[Document, str]], *, oci: bool = False) -> Document:
    """`entries` are documents and their platforms (`os/architecture[/variant]`, or empty)."""
    manifests = []
    for entry, platform in entries:
        descriptor = described(entry.raw, entry.media_type)
        if platform:
            os, architecture, *variant = platform.split("/")
            descriptor["platform"] = {"os": os, "architecture": architecture}
            descriptor["platform"] |= {"variant": variant[0]} if variant else {}
        manifests.append(descriptor)
    kind = spec.OCI_INDEX if oci else spec.DOCKER_INDEX
    raw = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).encode()
    return Document(raw, kind, children=[entry for entry, _ in entries])


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
