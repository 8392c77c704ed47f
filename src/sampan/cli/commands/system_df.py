"""`system df`: what takes the disk."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.table import TABLE, print_rows
from sampan.cli.formats.usage import (
    COLUMNS,
    HEADERS,
    RAW,
    usage_rows,
    verbose_format,
    verbose_text,
)
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("verbose", "v", SWITCH, "Show every image, container and volume", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    source = values["format"] or TABLE
    usage = _older_form(app.client.get("/system/df", {"verbose": values["verbose"]}))
    if values["verbose"]:
        out(verbose_text(usage) if source == TABLE else verbose_format(usage, source))
        return 0
    if source == TABLE:
        source = f"{TABLE} " + "\t".join(f"{{{{.{name}}}}}" for name in COLUMNS)
    print_rows(RAW if source == "raw" else source, usage_rows(usage), HEADERS)
    return 0


def _older_form(usage: dict[str, Any]) -> dict[str, Any]:
    """Since API 1.53 there are sums by kind, and the things inside."""
    if "ImageUsage" not in usage or "LayersSize" in usage:
        return usage
    names = {"ImageUsage": "Images", "ContainerUsage": "Containers"}
    names |= {"VolumeUsage": "Volumes", "BuildCacheUsage": "BuildCache"}
    found = {older: usage[newer].get("Items") or [] for newer, older in names.items()}
    return {**found, "LayersSize": usage["ImageUsage"]["TotalSize"]}
