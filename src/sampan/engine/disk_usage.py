"""`docker system df`: what images, containers and volumes take of the disk, as du(1) counts it.

A layer or a blob that several images have counts once in the sum. An image is its layers as folders and its blobs;
what a container wrote and has given to an image is the image's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from sampan.engine import images, volumes
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound
from sampan.store.images import Image
from sampan.store.metadata import Metadata
from sampan.store.volumes import Volume

KINDS = ("container", "image", "volume", "build-cache")


async def disk_usage(
    services: Services, kinds: Collection[str] = (), *, verbose: bool = True
) -> dict[str, Any]:
    """The API's SystemDataUsage in its newest form and, of those `kinds`, the older ones' besides.

    Without `verbose` the newest form has sums only. Raises InvalidParameter for a kind that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidParameter(f"unknown object type: {kind}")
    wanted = kinds or KINDS
    body: dict[str, Any] = {}
    if "image" in wanted:
        body |= await _images(services)
    if "container" in wanted:
        body |= await _containers(services)
    if "volume" in wanted:
        body |= await _volumes(services)
    if "build-cache" in wanted:
        usage = _usage([], active=0, reclaimable=0, size=0)
        body |= {"BuildCache": [], "BuilderSize": 0, "BuildCacheUsage": usage}
    if not verbose:
        for name in body:
            if name.endswith("Usage"):
                body[name] = {key: value for key, value in body[name].items() if key != "Items"}
    return body


class ImageSizes:
    """What every image takes, and what only it takes."""

    def __init__(self, layers: dict[str, int], blobs: dict[str, int], metadata: Metadata) -> None:
        self._parts: dict[str, list[int]] = {}
        self._shared: dict[str, int] = {}
        for sizes, sql in (
            (layers, "SELECT image, chain FROM image_layers"),
            (blobs, "SELECT image, digest FROM image_blobs"),
        ):
            rows = [(str(image), str(part)) for image, part in metadata.rows(sql)]
            times = Counter(part for _, part in rows)
            for image, part in rows:
                size = sizes.get(part, 0)
                self._parts.setdefault(image, []).append(size)
                if times[part] > 1:
                    self._shared[image] = self._shared.get(image, 0) + size

    def size(self, image_id: str) -> int:
        return sum(self._parts.get(image_id, ()))

    def shared(self, image_id: str) -> int:
        return self._shared.get(image_id, 0)


async def part_sizes(services: Services) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of the disk of every layer, by ChainID, and of every blob, by digest."""
    store = services.store
    layers: dict[str, int] = {}
    for chain in store.snapshots.layers_top_first():
        try:
            layers[chain] = await store.snapshots.disk(chain)
        except FileNotFoundError:  # removed since
            continue
    return layers, {digest: store.content.disk(digest) for digest in store.content.digests()}


async def _images(services: Services) -> dict[str, Any]:
    layers, blobs = await part_sizes(services)
    sizes = ImageSizes(layers, blobs, services.store.metadata)
    items = [_image_item(services, image, sizes) for image in services.store.images.list()]
    total = sum(layers.values()) + sum(blobs.values())
    used = sum(
        item["Size"] - item["SharedSize"] for item in items if item["Containers"]
    )  # as clients compute it themselves from the older form
    usage = _usage(
        items,
        active=sum(item["Containers"] > 0 for item in items),
        reclaimable=max(total - used, 0),
        size=total,
    )
    return {"LayersSize": total, "Images": items, "ImageUsage": usage}


def _image_item(services: Services, image: Image, sizes: ImageSizes) -> dict[str, Any]:
    size = sizes.size(image.id)
    return {
        "Containers": images.count_containers(services, image.id),
        "Created": images.created_of(image) // 1_000_000_000,
        "Id": image.id,
        "Labels": image.config.config.labels,
        "ParentId": image.parent,
        "RepoDigests": image.repo_digests,
        "RepoTags": image.repo_tags,
        "SharedSize": sizes.shared(image.id),
        "Size": size,
        "VirtualSize": size,
    }


async def _containers(services: Services) -> dict[str, Any]:
    items = [await _container_item(services, record) for record in services.containers.all()]
    usage = _usage(
        items,
        active=sum(_runs(item) for item in items),
        reclaimable=sum(item["SizeRw"] for item in items if not _runs(item)),
        size=sum(item["SizeRw"] for item in items),
    )
    return {"Containers": items, "ContainerUsage": usage}


def _runs(item: dict[str, Any]) -> bool:
    return item["State"] in ("running", "paused", "restarting")


async def _container_item(services: Services, record: ContainerRecord) -> dict[str, Any]:
    """What it takes; how a container is shown is the API's affair."""
    try:
        written = (await services.store.snapshots.usage(record.id)).disk
    except (NotFound, FileNotFoundError):  # it is being removed
        written = 0
    image = services.store.images.get(record.image_id)
    return {
        "Id": record.id,
        "State": str(record.state),
        "SizeRw": written,
        "SizeRootFs": written + (image.size if image is not None else 0),
    }


async def _volumes(services: Services) -> dict[str, Any]:
    items = [await _volume_item(services, volume) for volume in services.store.volumes.list()]
    usage = _usage(
        items,
        active=sum(item["UsageData"]["RefCount"] > 0 for item in items),
        reclaimable=_sizes(item for item in items if not item["UsageData"]["RefCount"]),
        size=_sizes(items),
    )
    return {"Volumes": items, "VolumeUsage": usage}


def _sizes(items: Iterable[dict[str, Any]]) -> int:
    return sum(max(item["UsageData"]["Size"], 0) for item in items)


async def _volume_item(services: Services, volume: Volume) -> dict[str, Any]:
    usage = await volumes.usage(services, volume)
    return {
        "CreatedAt": volume.created_at,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": services.store.volumes.mountpoint(volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "UsageData": {"RefCount": usage.references, "Size": usage.size},
    }


def _usage(
    items: list[dict[str, Any]], *, active: int, reclaimable: int, size: int
) -> dict[str, Any]:
    return {
        "ActiveCount": active,
        "TotalCount": len(items),
        "Reclaimable": reclaimable,
        "TotalSize": size,
        "Items": items,
    }
