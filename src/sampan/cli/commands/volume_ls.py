"""`volume ls`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.table import print_rows
from sampan.cli.formats.volumes import HEADERS, VolumeRow, volume_format
from sampan.cli.kinds import FILTER, STRING, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("filter", "f", FILTER, "Show only what fits (name=value)"),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("quiet", "q", SWITCH, "Show names only", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    source = values["format"]
    if not source and not values["quiet"]:
        source = app.config.text("volumesFormat")
    answer = app.client.get("/volumes", {"filters": encode_filters(values["filter"])})
    volumes = sorted(answer["Volumes"] or [], key=lambda volume: volume["Name"])
    rows: list[Record] = [VolumeRow(volume) for volume in volumes]
    print_rows(volume_format(source, quiet=values["quiet"]), rows, HEADERS)
    return 0
