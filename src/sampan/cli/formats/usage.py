"""What takes the disk, as rows of `system df`: one a kind, or one a thing of each kind."""

from __future__ import annotations

import time

from sampan.cli.formats import containers, images
from sampan.cli.formats.table import TABLE, ellipsis, render_rows
from sampan.cli.template.values import Record
from sampan.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_IMAGES = (
    "Repository",
    "Tag",
    "ID",
    "CreatedSince",
    "Size",
    "SharedSize",
    "UniqueSize",
    "Containers",
)
_CONTAINERS = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
_VOLUMES = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_CACHE = ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED")


def usage_rows(usage: dict[str, Any]) -> list[Record]:
    """`usage` is what the API answers, in the form before 1.52."""
    found, created = usage.get("Images") or [], usage.get("Containers") or []
    volumes, cache = usage.get("Volumes") or [], usage.get("BuildCache") or []
    layers = usage.get("LayersSize") or 0
    used = sum(image["Size"] - image["SharedSize"] for image in found if image["Containers"])
    active = [each for each in created if _runs(each)]
    written = sum(each.get("SizeRw") or 0 for each in created)
    idle = written - sum(each.get("SizeRw") or 0 for each in active)
    sizes = [(max(v["UsageData"]["Size"], 0), v["UsageData"]["RefCount"]) for v in volumes]
    building = sum(each["Size"] for each in cache)
    return [
        UsageRow("Images", found, sum(i["Containers"] > 0 for i in found), layers, layers - used),
        UsageRow("Containers", created, len(active), written, idle),
        UsageRow(
            "Local Volumes",
            volumes,
            sum(links > 0 for _, links in sizes),
            sum(size for size, _ in sizes),
            sum(size for size, links in sizes if not links),
        ),
        UsageRow("Build Cache", cache, 0, building, building, percent=False),
    ]


def _runs(container: dict[str, Any]) -> bool:
    return container["State"] in ("running", "paused", "restarting")


class UsageRow(Record):
    type_name = "*formatter.diskUsageContext"

    def __init__(
        self,
        kind: str,
        items: list[dict[str, Any]],
        active: int,
        size: int,
        free: int,
        *,
        percent: bool = True,
    ) -> None:
        self._kind, self._items, self._active = kind, items, active
        self._size, self._free, self._percent = size, free, percent

    def columns(self) -> dict[str, Callable[..., Any]]:
        return {
            "Type": lambda: self._kind,
            "TotalCount": lambda: str(len(self._items)),
            "Active": lambda: str(self._active),
            "Size": lambda: human_size(self._size),
            "Reclaimable": self._reclaimable,
        }

    def _reclaimable(self) -> str:
        text = human_size(self._free)
        if self._size > 0 and self._percent:
            return f"{text} ({self._free * 100 // self._size}%)"
        return text


def verbose_text(usage: dict[str, Any]) -> str:
    """Every thing of every kind, a table each."""
    found = [_under_one_name(each) for each in usage.get("Images") or []]
    rows = images.image_rows(found, source=TABLE, digests=False, truncate=True)
    boxes = [_BoxRow(each) for each in usage.get("Containers") or []]
    volumes: list[Record] = [_VolumeRow(each) for each in usage.get("Volumes") or []]
    building = sum(each["Size"] for each in usage.get("BuildCache") or [])
    parts = (
        ("Images space usage:", _table(_IMAGES, rows, images.HEADERS)),
        ("Containers space usage:", _table(_CONTAINERS, [*boxes], containers.HEADERS)),
        ("Local Volumes space usage:", _table(tuple(_VOLUMES), volumes, _VOLUMES)),
        (f"Build cache usage: {human_size(building)}", _cache_table(usage)),
    )
    return "\n".join(f"{title}\n\n{table}" for title, table in parts)


def _under_one_name(image: dict[str, Any]) -> dict[str, Any]:
    """However many it has: what it takes is listed once."""
    tags, digests = image.get("RepoTags") or [], image.get("RepoDigests") or []
    return {**image, "RepoTags": tags[:1], "RepoDigests": [] if tags else digests[:1]}


def _table(columns: tuple[str, ...], rows: list[Record], headers: dict[str, str]) -> str:
    source = f"{TABLE} " + "\t".join(f"{{{{.{name}}}}}" for name in columns)
    return render_rows(source, rows, headers)


def _cache_table(usage: dict[str, Any]) -> str:
    names = {title.title().replace(" ", ""): title for title in _CACHE}
    rows: list[Record] = [_CacheRow(each, names) for each in usage.get("BuildCache") or []]
    return _table(tuple(names), rows, names)


class _BoxRow(containers.ContainerRow):
    """Of a container, only what it has written itself."""

    def __init__(self, container: dict[str, Any]) -> None:
        super().__init__({**container, "SizeRootFs": 0}, truncate=True)


class _VolumeRow(Record):
    type_name = "*formatter.volumeContext"

    def __init__(self, volume: dict[str, Any]) -> None:
        self._volume = volume

    def columns(self) -> dict[str, Callable[..., Any]]:
        data = self._volume["UsageData"]
        return {
            "Name": lambda: self._volume["Name"],
            "Links": lambda: str(data["RefCount"]),
            "Size": lambda: "N/A" if data["Size"] < 0 else human_size(data["Size"]),
        }


class _CacheRow(Record):
    """A record of a builder, which other engines may have."""

    type_name = "*formatter.buildCacheContext"

    def __init__(self, entry: dict[str, Any], names: dict[str, str]) -> None:
        self._entry = entry
        self._names = names

    def columns(self) -> dict[str, Callable[..., Any]]:
        entry = self._entry
        values = (
            lambda: ellipsis(entry["ID"], 12),
            lambda: entry["Type"],
            lambda: human_size(entry["Size"], 3),
            lambda: _since(entry.get("CreatedAt")),
            lambda: _since(entry.get("LastUsedAt")),
            lambda: str(entry.get("UsageCount", 0)),
            lambda: str(bool(entry.get("Shared"))).lower(),
        )
        return dict(zip(self._names, values))


def _since(text: str | None) -> str:
    from sampan.cli.moments import parse_date

    moment = parse_date(text) if text else None
    return f"{human_duration(time.time() - moment[0])} ago" if moment else ""
