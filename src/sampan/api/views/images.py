"""Images as the API shows them: ImageInspect, ImageSummary and the history (Engine API 1.55)."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.engine import times
from sampan.spec.container import ContainerConfig
from sampan.store.images import HistoryEntry, Image

_CONFIG_OMITTED = (
    "ExposedPorts",
    "Healthcheck",
    "NetworkDisabled",
    "StopSignal",
    "StopTimeout",
    "Shell",
)
_NONE_TAG, _NONE_DIGEST = "<none>:<none>", "<none>@<none>"


def seconds(text: str) -> int:
    """An image's date as seconds since the epoch; 0 when it has none that can be read."""
    try:
        return times.from_text(text) // 1_000_000_000
    except ValueError:
        return 0


def inspect(image: Image, *, graph_driver: dict[str, Any]) -> dict[str, Any]:
    config = image.config
    body: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Parent": image.parent or config.parent,
        "Comment": config.comment or (config.history[-1].comment if config.history else ""),
        "Created": config.created,
        "Container": config.container,
        "ContainerConfig": _config(ContainerConfig()),
        "DockerVersion": config.docker_version,
        "Author": config.author,
        "Config": _config(config.config),
        "Architecture": config.architecture,
    }
    if config.variant:
        body["Variant"] = config.variant
    body["Os"] = config.os
    if config.os_version:
        body["OsVersion"] = config.os_version
    return body | {
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": graph_driver,
        "RootFS": {"Type": config.rootfs.type, "Layers": list(config.rootfs.diff_ids)},
        "Metadata": {"LastTagTime": image.tagged or times.ZERO},
    }


def _config(value: ContainerConfig) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(value)
    for name in _CONFIG_OMITTED:
        if not body[name]:
            del body[name]
    return body


def summary(image: Image, *, containers: int, old_names: bool) -> dict[str, Any]:
    """`old_names`: before API 1.43 an image without a name had `<none>:<none>`."""
    tags, repo_digests = image.repo_tags, image.repo_digests
    if old_names and not tags and not repo_digests:
        tags, repo_digests = [_NONE_TAG], [_NONE_DIGEST]
    return {
        "Id": image.id,
        "ParentId": image.parent or image.config.parent,
        "RepoTags": tags,
        "RepoDigests": repo_digests,
        "Created": seconds(image.created),
        "Size": image.size,
        "SharedSize": -1,
        "VirtualSize": image.size,
        "Labels": image.config.config.labels,
        "Containers": containers,
    }


def history(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "Id": entry.id,
        "Created": seconds(entry.created),
        "CreatedBy": entry.created_by,
        "Tags": list(entry.tags) or None,
        "Size": entry.size,
        "Comment": entry.comment,
    }
