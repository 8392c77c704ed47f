"""`network ls`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.networks import HEADERS, NetworkRow, network_format
from sampan.cli.formats.table import print_rows
from sampan.cli.kinds import FILTER, STRING, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("filter", "f", FILTER, "Show only what fits (name=value)"),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
    Flag("quiet", "q", SWITCH, "Show ids only", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    source = values["format"]
    if not source and not values["quiet"]:
        source = app.config.text("networksFormat")
    found = app.client.get("/networks", {"filters": encode_filters(values["filter"])})
    networks = sorted(found or [], key=lambda network: network["Name"])
    truncate = not values["no-trunc"]
    rows: list[Record] = [NetworkRow(network, truncate=truncate) for network in networks]
    print_rows(network_format(source, quiet=values["quiet"]), rows, HEADERS)
    return 0
