"""`images`: the list of images."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.images import HEADERS, image_format, image_rows
from sampan.cli.formats.table import TABLE, print_rows
from sampan.cli.kinds import FILTER, STRING, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("all", "a", SWITCH, "Show those too that are only parts of others", default=False),
    Flag("digests", "", SWITCH, "Show digests", default=False),
    Flag("filter", "f", FILTER, "Show only what fits (name=value)"),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
    Flag("quiet", "q", SWITCH, "Show ids only", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    filters = [*values["filter"], *(("reference", name) for name in arguments)]
    query = {"all": values["all"], "filters": encode_filters(filters)}
    images: list[dict[str, Any]] = app.client.get("/images/json", query)
    source = values["format"]
    if not source:
        source = TABLE if values["quiet"] else app.config.text("imagesFormat") or TABLE
    shown = image_format(source, quiet=values["quiet"], digests=values["digests"])
    rows = image_rows(
        images, source=shown, digests=values["digests"], truncate=not values["no-trunc"]
    )
    print_rows(shown, rows, HEADERS)
    return 0
