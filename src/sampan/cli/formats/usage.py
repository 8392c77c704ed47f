"""What takes the disk, as rows of `system df`: one a kind, or one a thing of each kind."""

from __future__ import annotations

import time

from sampan.cli.failure import Failure
from sampan.cli.formats import containers, images
from sampan.cli.formats.table import (
    TABLE,
    is_table_format,
    render_rows,
    short_id,
    template_text,
)
from sampan.cli.formats.volumes import VolumeRow, volume_format
from sampan.cli.units import human_duration, human_size
from sampan.spec.template.executor import ExecutionError, Template, TemplateError
from sampan.spec.template.values import Moment, Record, Slice, Struct

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
_CACHE = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}
_GO_NAMES = {
    "Images": "Images",
    "Containers": "Containers",
    "Local Volumes": "Volumes",
    "Build Cache": "Builder",
}
RAW = (
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n"
    "reclaimable: {{.Reclaimable}}\n"
)
_RAW_CACHE = (
    ("cache_id", "ID"),
    *(("parent_id", "Parent"), ("build_cache_type", "CacheType"), ("description", "Description")),
    *(("created_at", "CreatedAt"), ("created_since", "CreatedSince")),
    *(("last_used_at", "LastUsedAt"), ("last_used_since", "LastUsedSince")),
    *(("usage_count", "UsageCount"), ("in_use", "InUse"), ("shared", "Shared")),
)


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
        self.type_name = f"*formatter.diskUsage{_GO_NAMES[kind]}Context"
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
    boxes = [_BoxRow(each, truncate=True) for each in usage.get("Containers") or []]
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


def verbose_format(usage: dict[str, Any], source: str) -> str:
    """By a template over all there is: lists of `Images`, `Containers`, `Volumes` and `BuildCache`; no newline
    after it. Raises Failure."""
    truncate = is_table_format(source)
    lists: dict[str, tuple[str, list[Record]]] = {
        "Images": ("*formatter.imageContext", [_image(i, truncate) for i in usage["Images"] or []]),
        "Containers": (
            "*formatter.ContainerContext",
            [_BoxRow(each, truncate=truncate) for each in usage["Containers"] or []],
        ),
        "Volumes": ("*formatter.volumeContext", list(map(_VolumeRow, usage["Volumes"] or []))),
        "BuildCache": (
            "*formatter.buildCacheContext",
            [_CacheRow(each, truncate=truncate) for each in usage.get("BuildCache") or []],
        ),
    }
    fields = {name: Slice(rows, f"[]{kind}") for name, (kind, rows) in lists.items()}
    found = Struct("*formatter.diskUsageContext", fields, fields, frozenset())
    try:
        return Template(template_text(_verbose_raw() if source == "raw" else source)).execute(found)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}") from None
    except ExecutionError as error:
        raise Failure(str(error)) from None


def _verbose_raw() -> str:
    kinds = (
        ("Images", "Image", images.image_format("raw", quiet=False, digests=True)),
        ("Containers", "Container", containers.container_format("raw", quiet=False, size=True)),
        ("Volumes", "Volume", volume_format("raw", quiet=False)),
        ("BuildCache", "Build Cache", "".join(f"{k}: {{{{.{c}}}}}\n" for k, c in _RAW_CACHE)),
    )
    return "".join(
        f"{{{{range .{field}}}}}type: {kind}\n{text}\n{{{{end -}}}}\n"
        for field, kind, text in kinds
    )


def _image(image: dict[str, Any], truncate: bool) -> images.ImageRow:
    row = images.image_rows([_under_one_name(image)], source="", digests=False, truncate=truncate)
    columns = row[0].columns()
    return images.ImageRow(image, columns["Repository"](), columns["Tag"](), "", truncate=truncate)


def _cache_table(usage: dict[str, Any]) -> str:
    rows: list[Record] = [_CacheRow(each, truncate=True) for each in usage.get("BuildCache") or []]
    return _table(tuple(_CACHE), rows, _CACHE)


class _BoxRow(containers.ContainerRow):
    """Of a container, only what it has written itself."""

    def __init__(self, container: dict[str, Any], *, truncate: bool) -> None:
        super().__init__({**container, "SizeRootFs": 0}, truncate=truncate)


class _VolumeRow(VolumeRow):
    """Of a volume, also what it takes and who uses it."""

    def columns(self) -> dict[str, Callable[..., Any]]:
        data = self._volume["UsageData"]
        return {
            **super().columns(),
            "Links": lambda: str(data["RefCount"]),
            "Size": lambda: "N/A" if data["Size"] < 0 else human_size(data["Size"]),
        }


class _CacheRow(Record):
    """A record of a builder, which other engines may have."""

    type_name = "*formatter.buildCacheContext"

    def __init__(self, entry: dict[str, Any], *, truncate: bool) -> None:
        self._entry = entry
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        entry = self._entry
        return {
            "ID": lambda: self._short(entry["ID"]) + ("*" if entry.get("InUse") else ""),
            "Parent": lambda: self._short(
                ", ".join(entry.get("Parents") or ()) or entry.get("Parent") or ""
            ),
            "CacheType": lambda: entry["Type"],
            "Description": lambda: entry.get("Description", ""),
            "Size": lambda: human_size(entry["Size"], 3),
            "CreatedAt": lambda: _moment(entry.get("CreatedAt")),
            "CreatedSince": lambda: _since(entry.get("CreatedAt")),
            "LastUsedAt": lambda: _moment(entry.get("LastUsedAt")),
            "LastUsedSince": lambda: _since(entry.get("LastUsedAt")),
            "UsageCount": lambda: str(entry.get("UsageCount", 0)),
            "InUse": lambda: str(bool(entry.get("InUse"))).lower(),
            "Shared": lambda: str(bool(entry.get("Shared"))).lower(),
        }

    def _short(self, identity: str) -> str:
        return short_id(identity) if self._truncate else identity


def _moment(text: str | None) -> str:
    return str(Moment(text)) if text else ""


def _since(text: str | None) -> str:
    from sampan.cli.moments import parse_date

    moment = parse_date(text) if text else None
    return f"{human_duration(time.time() - moment[0])} ago" if moment else ""
